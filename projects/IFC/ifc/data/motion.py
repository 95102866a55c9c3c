# SPDX-License-Identifier: Apache-2.0
"""Smooth motion of an image over the frames of a pseudo-clip: a camera's view of it, and objects cut out of it."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from detectron2.data import transforms as T
from PIL import Image

from ..regions import region
from .augmentation import ClipAugmentation, FastResizeTransform, transform_masks
from .clip_masks import RunLengthMasks

PASTED_SCALES = (0.25, 0.75)  # of pasted objects, before their motion, relative to the frame's scale


@dataclass(frozen=True)
class Motion:
    """How much any two frames of a clip differ at most.

    Attributes:
        rotation: degrees.
        translation: share of the frame's height and width.
        scale: factor, at least 1.
    """

    rotation: float
    translation: float
    scale: float

    def draw(self, num_frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(T,) radians, (T, 2) shares of width and height, both around 0, and (T,) factors from 1 to `scale`."""
        angles = smooth_path(num_frames, math.radians(self.rotation))[:, 0]
        shifts = smooth_path(num_frames, self.translation, 2)
        zooms = np.exp(smooth_path(num_frames, math.log(self.scale))[:, 0] + math.log(self.scale) / 2)
        return angles, shifts, zooms


def smooth_path(num_frames: int, extent: float, num_dims: int = 1) -> np.ndarray:
    """(T, num_dims) points of a random quadratic Bézier curve, each coordinate within ± extent / 2."""
    first, middle, last = np.random.uniform(-extent / 2, extent / 2, (3, num_dims))
    t = np.linspace(0, 1, num_frames)[:, np.newaxis]
    return (1 - t) ** 2 * first + 2 * t * (1 - t) * middle + t**2 * last


def camera_path(
    augmentation: ClipAugmentation, motion: Motion, size: tuple[int, int], num_frames: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """The motion of a camera that looks at a part of an image, never past its borders but where it is turned.

    The part is at most the crop of `augmentation`, whose resize and flip are drawn too, all once a clip.

    Args:
        size: (height, width) of the image.

    Returns:
        (T, 2, 3) matrices, as `warp` takes them, and the (height, width) of all frames.
    """
    view, out_size, flips = augmentation.draw_view(size)
    angles, shifts, zooms = motion.draw(num_frames)
    sides, whole = np.array(view[::-1]), np.array(size[::-1])  # (width, height)
    halves = sides / 2 / zooms[:, np.newaxis]
    smallest = halves.min(axis=0)
    centers = np.random.uniform(smallest, whole - smallest) + shifts * sides / zooms.max()
    centers = np.clip(centers, halves, whole - halves)
    targets = np.broadcast_to(np.array(out_size[::-1]) / 2, centers.shape)
    scale = max(out_size[0] / view[0], out_size[1] / view[1])  # which differ by the rounding of out_size
    return _matrices(zooms * scale, angles, centers, targets, flips), out_size


def object_path(motion: Motion, center: np.ndarray, scale: float, size: tuple[int, int], num_frames: int) -> np.ndarray:
    """The motion of objects that come from another image, through a place of the frame that is drawn uniformly.

    Args:
        center: (x, y) of the objects in their image.
        scale: of the frame, relative to that image.
        size: (height, width) of the frame.

    Returns:
        (T, 2, 3) matrices, as `warp` takes them.
    """
    angles, shifts, zooms = motion.draw(num_frames)
    targets = (np.random.uniform(0, 1, 2) + shifts) * np.array(size[::-1])
    scales = zooms * scale * np.random.uniform(*PASTED_SCALES)
    return _matrices(scales, angles, np.broadcast_to(center, targets.shape), targets)


def _matrices(
    scales: np.ndarray, angles: np.ndarray, centers: np.ndarray, targets: np.ndarray, flips: tuple[int, int] = (1, 1)
) -> np.ndarray:
    """(T, 2, 3), which scale, turn and flip around `centers` (T, 2) and bring these to `targets` (T, 2)."""
    cosines, sines = scales * np.cos(angles), scales * np.sin(angles)
    linear = np.stack([cosines, -sines, sines, cosines], axis=1).reshape(-1, 2, 2) * np.reshape(flips, (2, 1))
    return np.dstack([linear, targets - (linear @ centers[..., np.newaxis])[..., 0]])


def warp(
    image: np.ndarray, masks: RunLengthMasks, matrices: np.ndarray, size: tuple[int, int]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """An image and its masks in motion: the image bilinear, the masks nearest-neighbor; what lies outside of it is 0.

    What every frame shows smaller is made smaller once and with antialiasing, for all of them.

    Args:
        image: (H, W, 3) uint8.
        masks: N of H × W.
        matrices: (T, 2, 3), from (x, y, 1) of the image to (x, y) of a frame, in pixels whose centers are at 0.5.
        size: (h, w) of the frames.

    Returns:
        T frames (h, w, 3) uint8, and T times their masks (N, h, w) uint8, 0 or 1.
    """
    height, width = image.shape[:2]
    scale = min(1.0, float(np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2]))).max()))
    resize = FastResizeTransform(height, width, math.ceil(scale * height), math.ceil(scale * width), Image.BILINEAR)
    smaller, stack = resize.apply_image(image), transform_masks(T.TransformList([resize]), masks)
    # From the smaller image, and from and to indices instead of centers.
    x_scale, y_scale = width / resize.new_w, height / resize.new_h
    matrices = matrices @ [[x_scale, 0, x_scale / 2], [0, y_scale, y_scale / 2], [0, 0, 1]] - [[0, 0, 0.5]]
    frames = [cv2.warpAffine(smaller, matrix, size[::-1]) for matrix in matrices]
    return frames, [_warp_masks(stack, matrix, size) for matrix in matrices]


@region("masks")
def _warp_masks(stack: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    warped = np.empty((len(stack), *size), dtype=np.uint8)
    for mask, moved in zip(stack, warped, strict=True):
        cv2.warpAffine(mask, matrix, size[::-1], dst=moved, flags=cv2.INTER_NEAREST)
    return warped
