# SPDX-License-Identifier: Apache-2.0
"""What objects and background are made of, drawn at random: waves over time, colors, noise over a picture."""

import colorsys
import math

import cv2
import numpy as np


def wave(rng: np.random.Generator, times: np.ndarray, offset: float, amplitude: float, period: float) -> np.ndarray:
    """offset + amplitude * sin(2 pi t / period + phase) at `times` (T,), in frames. The phase is random."""
    phase = rng.uniform(0, 2 * math.pi)
    return offset + amplitude * np.sin(2 * math.pi * times / period + phase)


def smooth_noise(rng: np.random.Generator, grid: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Uniform noise on a coarse (rows, columns) grid, interpolated to `size` (height, width). float32 in [0, 1]."""
    coarse = rng.random(grid, dtype=np.float32)
    return np.clip(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC), 0, 1)


def random_color(
    rng: np.random.Generator, hue: float, saturation: tuple[float, float], value: tuple[float, float]
) -> np.ndarray:
    """An RGB color (3,) float32 in [0, 255] of a hue, and of a saturation and value in these ranges."""
    rgb = colorsys.hsv_to_rgb(hue % 1.0, rng.uniform(*saturation), rng.uniform(*value))
    return np.array(rgb, dtype=np.float32) * 255
