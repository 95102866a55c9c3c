# SPDX-License-Identifier: Apache-2.0
"""What is around the objects of a video: the background behind them, and the camera that films them."""

import math

import cv2
import numpy as np

from .sampling import random_color, smooth_noise, wave

_GRAIN_ROOM = 32  # pixels by which the grain is larger than a frame: every frame takes another part of it


def background(rng: np.random.Generator, image_size: tuple[int, int], times: np.ndarray) -> np.ndarray:
    """Three dull colors, smooth on the whole with a faint texture, over which the frame wanders slowly.

    Returns:
        (T, H, W, 3) uint8.
    """
    margins = [math.ceil(0.12 * side) for side in image_size]
    size = (image_size[0] + 2 * margins[0], image_size[1] + 2 * margins[1])
    colors = [random_color(rng, rng.uniform(0, 1), (0.0, 0.35), (0.2, 0.8)) for _ in range(3)]
    plate = np.broadcast_to(colors[0], (*size, 3))
    for color, grid in zip(colors[1:], ((3, 4), (7, 10)), strict=True):
        mix = smooth_noise(rng, grid, size)[..., None]
        plate = plate * (1 - mix) + color * mix
    strength = rng.uniform(0, 30)
    plate = plate + strength * (smooth_noise(rng, (24, 36), size) - 0.5)[..., None]
    plate = np.rint(np.clip(plate, 0, 255)).astype(np.uint8)
    left, top = (wave(rng, times, m, m * rng.uniform(0.1, 0.7), rng.uniform(30, 90)) for m in margins[::-1])
    zoom = wave(rng, times, 1.0, rng.uniform(0, 0.04), rng.uniform(30, 90))

    frames = np.empty((len(times), *image_size, 3), dtype=np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for frame, *(z, x, y) in zip(frames, zoom, left, top, strict=True):
        to_plate = np.array([[z, 0, x], [0, z, y]])
        cv2.warpAffine(plate, to_plate, image_size[::-1], dst=frame, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return frames


def film(rng: np.random.Generator, frames: np.ndarray, times: np.ndarray) -> None:
    """Add to `frames` (T, H, W, 3) uint8, in place, what a camera adds: a soft image, slowly changing light, noise."""
    height, width = frames.shape[1:3]
    gains = wave(rng, times, 1.0, rng.uniform(0, 0.12), rng.uniform(20, 80))
    softness, strength = rng.uniform(0.3, 0.8), rng.uniform(1, 5)
    noise = rng.standard_normal((height + _GRAIN_ROOM, width + _GRAIN_ROOM, 3), dtype=np.float32)
    grain = np.rint(np.clip(128 + strength * noise, 0, 255)).astype(np.uint8)
    corners = rng.integers(0, _GRAIN_ROOM + 1, size=(len(times), 2))
    for frame, gain, (row, column) in zip(frames, gains, corners, strict=True):
        blurred = cv2.GaussianBlur(frame, (3, 3), softness)
        cv2.addWeighted(blurred, gain, grain[row : row + height, column : column + width], 1.0, -128.0, dst=frame)
