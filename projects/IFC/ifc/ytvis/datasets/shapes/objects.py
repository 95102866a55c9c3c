# SPDX-License-Identifier: Apache-2.0
"""The objects of a video: their outlines, how they look, and where they are on each frame."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .sampling import random_color, smooth_noise, wave

CATEGORIES: dict[int, str] = {1: "disk", 3: "square", 4: "triangle", 6: "star", 9: "cross", 10: "ring"}
"""Category id in the annotation files -> name, in the order of the contiguous class ids. The ids have gaps, as those of
real data sets do, so that whoever confuses them with class ids finds out."""

_TEXTURES = ("stripes", "checks", "dots", "gradient", "noise")
TRAVELERS = 0.35
"""Share of the objects of a plain video that leave the frame and come back, again and again."""
_HUE_DEVIATION = 25 / 360  # of an object's hue from its class's; those of neighboring classes are 60 / 360 apart


@dataclass(frozen=True)
class Shape:
    """One instance: how it looks, and where it is on each of T frames.

    Attributes:
        class_id: contiguous class id.
        contours: its outline as polygons (V, 2) of (x, y) within the unit circle; a second one cuts a hole.
        texture: (S, S, 3) uint8, covering [-1, 1] x [-1, 1] of the outline's coordinates.
        centers: (T, 2) of (x, y) in pixels.
        radii: (T,) of the outline's unit, in pixels.
        angles: (T,) in radians.
    """

    class_id: int
    contours: tuple[np.ndarray, ...]
    texture: np.ndarray
    centers: np.ndarray
    radii: np.ndarray
    angles: np.ndarray


def _polygon(num_vertices: int, radii: Sequence[float]) -> np.ndarray:
    """`num_vertices` points around the origin, at distances that repeat `radii`. Shape (num_vertices, 2)."""
    angles = np.arange(num_vertices) * (2 * math.pi / num_vertices)
    distances = np.resize(np.asarray(radii, dtype=np.float64), num_vertices)
    return distances[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _cross(length: float, width: float) -> np.ndarray:
    """A plus sign with arms of half-length `length` and half-width `width`. Shape (12, 2)."""
    arm = np.array([(length, -width), (length, width), (width, width)])
    turns = (np.array([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]]) for a in np.arange(4) * math.pi / 2)
    return np.concatenate([arm @ turn for turn in turns])


# The radii give the classes comparable areas, so that size does not tell them apart.
OUTLINES: dict[str, tuple[np.ndarray, ...]] = {
    "disk": (_polygon(64, [0.80]),),
    "square": (_polygon(4, [1.0]),),
    "triangle": (_polygon(3, [1.0]),),
    "star": (_polygon(10, [1.0, 0.42]),),
    "cross": (_cross(0.92, 0.32),),
    "ring": (_polygon(64, [0.85]), _polygon(64, [0.40])[::-1]),
}


def sample_shapes(
    rng: np.random.Generator,
    num_instances: tuple[int, int],
    image_size: tuple[int, int],
    times: np.ndarray,
    travelers: float = TRAVELERS,
) -> list[Shape]:
    """Draw the instances of a video, the rearmost first. The foremost one never leaves: no video is empty.

    `travelers` is the share of the others that do, and come back.
    """
    number = int(rng.integers(num_instances[0], num_instances[1] + 1))
    # The more there are, the smaller each is; below five pixels an outline is no more than a blot.
    scale = 0.5 * min(image_size) * max(0.5, 1 - 0.05 * (number - 1))
    shapes: list[Shape] = []
    for index in range(number):
        if shapes and rng.uniform(0, 1) < 0.4:
            class_id = shapes[rng.integers(len(shapes))].class_id
        else:
            class_id = int(rng.integers(len(CATEGORIES)))
        is_traveler = rng.uniform(0, 1) < travelers and index < number - 1
        radius = max(2.5, scale * rng.uniform(0.36, 0.64))
        shapes.append(sample_shape(rng, class_id, is_traveler, radius, image_size, times))
    return shapes


def sample_shape(
    rng: np.random.Generator,
    class_id: int,
    is_traveler: bool,
    mean_radius: float,
    image_size: tuple[int, int],
    times: np.ndarray,
) -> Shape:
    """Draw the look of one instance, and its way over the frames `times` (T,)."""
    height, width = image_size
    swelling = rng.uniform(0, 0.22)
    swell = wave(rng, times, 1.0, swelling, rng.uniform(16, 60))
    swing = wave(rng, times, rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.6), rng.uniform(12, 48))
    spin = rng.uniform(-0.12, 0.12)  # radians a frame
    largest = mean_radius * (1 + swelling)
    leaving_axis = rng.integers(2) if is_traveler else None
    coordinates = [
        _traveler_path(rng, times, extent, width, largest)
        if axis == leaving_axis
        else _resident_path(rng, times, extent, width)
        for axis, extent in enumerate((width, height))
    ]
    return Shape(
        class_id=class_id,
        contours=tuple(OUTLINES.values())[class_id],
        texture=object_texture(rng, class_hue(rng, class_id), min(512, max(16, math.ceil(2 * largest)))),
        centers=np.stack(coordinates, axis=1),
        radii=mean_radius * swell,
        angles=swing + spin * times,
    )


def _resident_path(rng: np.random.Generator, times: np.ndarray, extent: int, width: int) -> np.ndarray:
    """One coordinate, in pixels, of an instance that stays within the frame: a slow wave and a faster one on top."""
    amplitude = extent * rng.uniform(0.05, 0.28)
    peak_speed = width * rng.uniform(0.005, 0.045)  # pixels a frame
    slow = wave(rng, times, extent * rng.uniform(0.3, 0.7), amplitude, 2 * math.pi * amplitude / peak_speed)
    return slow + wave(rng, times, 0.0, extent * rng.uniform(0, 0.03), rng.uniform(8, 16))


def _traveler_path(rng: np.random.Generator, times: np.ndarray, extent: int, width: int, radius: float) -> np.ndarray:
    """One coordinate of an instance that leaves through one of the two edges and comes back, again and again."""
    outermost = -radius - extent * rng.uniform(0.02, 0.15)
    innermost = extent * rng.uniform(0.3, 0.6)
    amplitude = (innermost - outermost) / 2
    center = (innermost + outermost) / 2
    if rng.uniform(0, 1) < 0.5:  # through the far edge
        center = extent - center
    peak_speed = width * rng.uniform(0.03, 0.08)  # pixels a frame
    return wave(rng, times, center, amplitude, 2 * math.pi * amplitude / peak_speed)


def class_hue(rng: np.random.Generator, class_id: int) -> float:
    """Draw the hue of an object of a class; whole numbers are red."""
    return class_id / len(CATEGORIES) + rng.normal(0, _HUE_DEVIATION)


def object_texture(rng: np.random.Generator, hue: float, size: int) -> np.ndarray:
    """A pattern of two shades of one color, darker toward the rim. Shape (size, size, 3), uint8."""
    bright = random_color(rng, hue, (0.65, 1.0), (0.7, 1.0))
    dark = random_color(rng, hue + rng.uniform(-0.06, 0.06), (0.65, 1.0), (0.3, 0.6))
    kind = _TEXTURES[rng.integers(len(_TEXTURES))]
    frequency, angle = math.pi * rng.uniform(1.5, 3.5), rng.uniform(0, math.pi)
    line = ((np.arange(size) + 0.5) * (2 / size) - 1).astype(np.float32)
    x, y = np.meshgrid(line, line)
    along = math.cos(angle) * x + math.sin(angle) * y
    across = math.cos(angle) * y - math.sin(angle) * x
    if kind == "stripes":
        mix = 0.5 + 3 * np.sin(frequency * along)
    elif kind == "checks":
        mix = 0.5 + 3 * np.sin(frequency * along) * np.sin(frequency * across)
    elif kind == "dots":
        mix = 0.5 + 3 * (np.cos(frequency * along) + np.cos(frequency * across) - 0.5)
    elif kind == "gradient":
        mix = 0.5 + 0.6 * along
    else:
        mix = 0.5 + 4 * (smooth_noise(rng, (8, 8), (size, size)) - 0.5)
    mix = np.clip(mix, 0, 1)[..., None]
    shade = 1 - 0.3 * np.minimum(x * x + y * y, 1)[..., None]
    return np.rint((bright * (1 - mix) + dark * mix) * shade).astype(np.uint8)
