# SPDX-License-Identifier: Apache-2.0
"""A synthetic video instance segmentation data set: textured shapes that move over a textured background.

Each video shows a few instances of six outlines. They translate, rotate, change size, occlude one another, leave the
frame and come back, and often several of them share a class. Texture says nothing about the class; color hints at it,
as it does in nature, but the hues of neighboring classes overlap.

A video is a function of (seed, video index, size, length, number of instances) alone: video 7 of a seed is the same
whether ten or a thousand videos are made, in one process or in several. Masks come from polygons that are filled in
whole numbers, so the annotation files have the same bytes on every machine and with every version of OpenCV and NumPy;
in the frames, these may differ in the rounding of a gray level.

:func:`render_video` makes one video in memory, :func:`write_ytvis` a split on disk in YouTube-VIS's format, and
:func:`write_coco` describes frames of such a split in COCO's format.
"""

import colorsys
import contextlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from ..files import write_json
from ..parallel import map_videos

__all__ = ["CATEGORIES", "ShapesVideo", "render_video", "write_coco", "write_ytvis"]

CATEGORIES: dict[int, str] = {1: "disk", 3: "square", 4: "triangle", 6: "star", 9: "cross", 10: "ring"}
"""Category id in the annotation files -> name, in the order of the contiguous class ids. The ids have gaps, as those of
real data sets do, so that whoever confuses them with class ids finds out."""

MIN_IMAGE_SIDE = 16
"""Shortest side of a frame, in pixels."""

_UNITS = 256  # a pixel's side in fixed-point coordinates
_SCANLINES = 4  # lines a pixel along which coverage is measured
_FULL_COVERAGE = _SCANLINES * _UNITS
_JPEG_QUALITY = 90
_HUE_DEVIATION = 25 / 360  # of an object's hue from its class's; those of neighboring classes are 60 / 360 apart
_TEXTURES = ("stripes", "checks", "dots", "gradient", "noise")


@dataclass(frozen=True)
class ShapesVideo:
    """One rendered video of T frames with N instances.

    Attributes:
        frames: (T, H, W, 3) uint8, RGB.
        masks: (N, T, H, W) bool, the visible part of each instance. Masks of one frame are disjoint; an instance that
            cannot be seen on a frame has an empty mask there. Each instance is seen on at least one frame.
        class_ids: (N,) int64, contiguous: the position of the class in :data:`CATEGORIES`.
    """

    frames: np.ndarray
    masks: np.ndarray
    class_ids: np.ndarray


# --------------------------------------------------------------------------------------------------------------------
# What there is to see: outlines, textures, movement
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Wave:
    """offset + amplitude * sin(2 pi t / period + phase), with t in frames."""

    offset: float
    amplitude: float
    period: float
    phase: float

    def at(self, times: np.ndarray) -> np.ndarray:
        """Values at ``times``, elementwise."""
        return self.offset + self.amplitude * np.sin(2 * math.pi * times / self.period + self.phase)


@dataclass(frozen=True)
class _Shape:
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
    """``num_vertices`` points around the origin, at distances that repeat ``radii``. Shape (num_vertices, 2)."""
    angles = np.arange(num_vertices) * (2 * math.pi / num_vertices)
    distances = np.resize(np.asarray(radii, dtype=np.float64), num_vertices)
    return distances[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _cross(length: float, width: float) -> np.ndarray:
    """A plus sign with arms of half-length ``length`` and half-width ``width``. Shape (12, 2)."""
    arm = np.array([(length, -width), (length, width), (width, width)])
    turns = (np.array([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]]) for a in np.arange(4) * math.pi / 2)
    return np.concatenate([arm @ turn for turn in turns])


# The radii give the classes comparable areas, so that size does not tell them apart.
_OUTLINES: dict[str, tuple[np.ndarray, ...]] = {
    "disk": (_polygon(64, [0.80]),),
    "square": (_polygon(4, [1.0]),),
    "triangle": (_polygon(3, [1.0]),),
    "star": (_polygon(10, [1.0, 0.42]),),
    "cross": (_cross(0.92, 0.32),),
    "ring": (_polygon(64, [0.85]), _polygon(64, [0.40])[::-1]),
}


def _smooth_noise(rng: np.random.Generator, grid: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Uniform noise on a coarse (rows, columns) grid, interpolated to ``size`` (height, width). float32 in [0, 1]."""
    coarse = rng.random(grid, dtype=np.float32)
    return np.clip(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC), 0, 1)


def _random_color(rng: np.random.Generator, hue: float, saturation: tuple[float, float], value: tuple[float, float]):
    """An RGB color (3,) float32 in [0, 255] with the given hue and saturation and value from the given ranges."""
    rgb = colorsys.hsv_to_rgb(hue % 1.0, rng.uniform(*saturation), rng.uniform(*value))
    return np.array(rgb, dtype=np.float32) * 255


def _two_shades(rng: np.random.Generator, class_id: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright and a dark shade of one color, whose hue lies around the typical one of the class."""
    hue = class_id / len(CATEGORIES) + rng.normal(0, _HUE_DEVIATION)
    bright = _random_color(rng, hue, (0.65, 1.0), (0.7, 1.0))
    return bright, _random_color(rng, hue + rng.uniform(-0.06, 0.06), (0.65, 1.0), (0.3, 0.6))


def _object_texture(rng: np.random.Generator, class_id: int, size: int) -> np.ndarray:
    """A pattern of two shades, darker toward the rim. Shape (size, size, 3), uint8."""
    first, second = _two_shades(rng, class_id)
    kind = _TEXTURES[rng.integers(len(_TEXTURES))]
    frequency, angle = rng.uniform(1.5, 3.5), rng.uniform(0, math.pi)
    line = ((np.arange(size) + 0.5) * (2 / size) - 1).astype(np.float32)
    x, y = np.meshgrid(line, line)
    along = math.cos(angle) * x + math.sin(angle) * y
    across = math.cos(angle) * y - math.sin(angle) * x
    if kind == "stripes":
        mix = 0.5 + 3 * np.sin(math.pi * frequency * along)
    elif kind == "checks":
        mix = 0.5 + 3 * np.sin(math.pi * frequency * along) * np.sin(math.pi * frequency * across)
    elif kind == "dots":
        mix = 0.5 + 3 * (np.cos(math.pi * frequency * along) + np.cos(math.pi * frequency * across) - 0.5)
    elif kind == "gradient":
        mix = 0.5 + 0.6 * along
    else:
        mix = 0.5 + 4 * (_smooth_noise(rng, (8, 8), (size, size)) - 0.5)
    mix = np.clip(mix, 0, 1)[..., None]
    shade = 1 - 0.3 * np.minimum(x * x + y * y, 1)[..., None]
    return np.rint((first * (1 - mix) + second * mix) * shade).astype(np.uint8)


def _resident_axis(rng: np.random.Generator, extent: int, width: int) -> tuple[_Wave, _Wave]:
    """One coordinate of an instance that stays within the frame: a slow wave and a little faster one on top."""
    amplitude = extent * rng.uniform(0.05, 0.28)
    peak_speed = width * rng.uniform(0.005, 0.045)  # pixels a frame
    slow = _Wave(
        extent * rng.uniform(0.3, 0.7), amplitude, 2 * math.pi * amplitude / peak_speed, rng.uniform(0, 2 * math.pi)
    )
    quick = _Wave(0.0, extent * rng.uniform(0, 0.03), rng.uniform(8, 16), rng.uniform(0, 2 * math.pi))
    return slow, quick


def _traveler_axis(rng: np.random.Generator, extent: int, width: int, radius: float) -> tuple[_Wave, _Wave]:
    """One coordinate of an instance that leaves through one of the two edges and comes back, again and again."""
    outermost = -radius - extent * rng.uniform(0.02, 0.15)
    innermost = extent * rng.uniform(0.3, 0.6)
    amplitude = (innermost - outermost) / 2
    center = (innermost + outermost) / 2
    if rng.uniform(0, 1) < 0.5:  # through the far edge
        center = extent - center
    peak_speed = width * rng.uniform(0.03, 0.08)  # pixels a frame
    return (
        _Wave(center, amplitude, 2 * math.pi * amplitude / peak_speed, rng.uniform(0, 2 * math.pi)),
        _Wave(0.0, 0.0, 1.0, 0.0),
    )


def _sample_shape(
    rng: np.random.Generator,
    class_id: int,
    is_traveler: bool,
    mean_radius: float,
    image_size: tuple[int, int],
    times: np.ndarray,
) -> _Shape:
    """Draw the look and the way of one instance over the frames ``times``."""
    height, width = image_size
    swell = _Wave(1.0, rng.uniform(0, 0.22), rng.uniform(16, 60), rng.uniform(0, 2 * math.pi))
    swing = _Wave(rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.6), rng.uniform(12, 48), rng.uniform(0, 2 * math.pi))
    spin = rng.uniform(-0.12, 0.12)  # radians a frame
    largest = mean_radius * (1 + swell.amplitude)
    leaving_axis = rng.integers(2) if is_traveler else None
    coordinates = []
    for axis, extent in enumerate((width, height)):
        if axis == leaving_axis:
            waves = _traveler_axis(rng, extent, width, largest)
        else:
            waves = _resident_axis(rng, extent, width)
        coordinates.append(waves[0].at(times) + waves[1].at(times))
    return _Shape(
        class_id=class_id,
        contours=tuple(_OUTLINES.values())[class_id],
        texture=_object_texture(rng, class_id, min(512, max(16, math.ceil(2 * largest)))),
        centers=np.stack(coordinates, axis=1),
        radii=mean_radius * swell.at(times),
        angles=swing.at(times) + spin * times,
    )


def _sample_shapes(
    rng: np.random.Generator, num_instances: tuple[int, int], image_size: tuple[int, int], times: np.ndarray
) -> list[_Shape]:
    """Draw the instances of a video, the rearmost first. The foremost one never leaves: no video is empty."""
    number = int(rng.integers(num_instances[0], num_instances[1] + 1))
    # The more there are, the smaller each is; below five pixels an outline is no more than a blot.
    scale = 0.5 * min(image_size) * max(0.5, 1 - 0.05 * (number - 1))
    shapes: list[_Shape] = []
    for index in range(number):
        if shapes and rng.uniform(0, 1) < 0.4:
            class_id = shapes[rng.integers(len(shapes))].class_id
        else:
            class_id = int(rng.integers(len(CATEGORIES)))
        is_traveler = rng.uniform(0, 1) < 0.35 and index < number - 1
        radius = max(2.5, scale * rng.uniform(0.36, 0.64))
        shapes.append(_sample_shape(rng, class_id, is_traveler, radius, image_size, times))
    return shapes


# --------------------------------------------------------------------------------------------------------------------
# Drawing
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Backdrop:
    """A background larger than the frame, seen through a frame that wanders over it.

    Attributes:
        plate: (H', W', 3) uint8.
        corners: (T, 2), the point (x, y) of the plate at the frame's upper left corner.
        zooms: (T,), pixels of the plate a pixel of the frame.
    """

    plate: np.ndarray
    corners: np.ndarray
    zooms: np.ndarray

    def draw(self, time: int, image_size: tuple[int, int]) -> np.ndarray:
        """The background at frame ``time``. Shape (H, W, 3), uint8."""
        zoom, (left, top) = self.zooms[time], self.corners[time]
        to_plate = np.array([[zoom, 0, left], [0, zoom, top]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(self.plate, to_plate, image_size[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT_101)


def _sample_backdrop(rng: np.random.Generator, image_size: tuple[int, int], times: np.ndarray) -> _Backdrop:
    """Draw a background of three dull colors, smooth on the whole with a faint texture, and its slow movement."""
    margins = [math.ceil(0.12 * side) for side in image_size]
    size = (image_size[0] + 2 * margins[0], image_size[1] + 2 * margins[1])
    colors = [_random_color(rng, rng.uniform(0, 1), (0.0, 0.35), (0.2, 0.8)) for _ in range(3)]
    plate = np.broadcast_to(colors[0], (*size, 3))
    for color, grid in zip(colors[1:], ((3, 4), (7, 10)), strict=True):
        mix = _smooth_noise(rng, grid, size)[..., None]
        plate = plate * (1 - mix) + color * mix
    strength = rng.uniform(0, 30)
    plate = plate + strength * (_smooth_noise(rng, (24, 36), size) - 0.5)[..., None]
    waves = [
        _Wave(margin, margin * rng.uniform(0.1, 0.7), rng.uniform(30, 90), rng.uniform(0, 2 * math.pi))
        for margin in margins[::-1]
    ]
    zoom = _Wave(1.0, rng.uniform(0, 0.04), rng.uniform(30, 90), rng.uniform(0, 2 * math.pi))
    return _Backdrop(
        plate=np.rint(np.clip(plate, 0, 255)).astype(np.uint8),
        corners=np.stack([wave.at(times) for wave in waves], axis=1),
        zooms=zoom.at(times),
    )


def _coverage(shape: _Shape, time: int, image_size: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]] | None:
    """How much of each pixel a shape covers on one frame.

    Returns:
        The coverage (h, w), from 0 to ``_FULL_COVERAGE``, of the part of the frame around the shape, and the
        (x, y) of that part's upper left pixel. None if the shape is outside the frame.
    """
    cosine, sine = math.cos(shape.angles[time]), math.sin(shape.angles[time])
    turn = np.array([[cosine, sine], [-sine, cosine]]) * shape.radii[time]
    contours = [contour @ turn + shape.centers[time] for contour in shape.contours]
    low = np.maximum(np.floor(contours[0].min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(contours[0].max(axis=0)), image_size[::-1]).astype(int)
    width, height = (int(extent) for extent in high - low)
    if width <= 0 or height <= 0:
        return None
    coverage = _fill([contour - low for contour in contours], (height, width))
    return coverage, (int(low[0]), int(low[1]))


def _fill(contours: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Area of each pixel that polygons cover, along ``_SCANLINES`` lines a pixel and in whole numbers throughout.

    Where an edge crosses a line, everything to its right is gained or lost, depending on the edge's direction. The
    gains and losses of all edges are gathered at the crossings' pixels and added up from left to right.

    Args:
        contours: polygons (V, 2) of (x, y) in pixels, pixel i being the interval [i, i + 1]. Holes turn the other way.
        size: (h, w).

    Returns:
        (h, w) int64, from 0 to ``_FULL_COVERAGE``.
    """
    height, width = size
    vertices = [np.rint(contour * _UNITS).astype(np.int64) for contour in contours]
    starts = np.concatenate(vertices)
    ends = np.concatenate([np.roll(contour, -1, axis=0) for contour in vertices])
    spacing = _UNITS // _SCANLINES
    lines = np.arange(height * _SCANLINES)[:, None] * spacing + spacing // 2
    is_below_start, is_below_end = lines >= starts[:, 1], lines >= ends[:, 1]
    line, edge = np.nonzero(is_below_start != is_below_end)
    (x, y), (dx, dy) = starts[edge].T, (ends - starts)[edge].T
    crossings = np.clip(x + (lines[line, 0] - y) * dx // dy, 0, width * _UNITS)
    gains = np.sign(dy)

    column, fraction = np.divmod(crossings, _UNITS)
    position = line // _SCANLINES * (width + 2) + column
    steps = np.zeros(height * (width + 2), dtype=np.int64)
    np.add.at(steps, position, gains * (_UNITS - fraction))
    np.add.at(steps, position + 1, gains * fraction)
    return np.abs(steps.reshape(height, width + 2).cumsum(axis=1)[:, :width])


def _texture_in_frame(shape: _Shape, time: int, corner: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """The shape's texture over the ``size`` (h, w) part of the frame whose upper left pixel is ``corner`` (x, y)."""
    half = len(shape.texture) / 2
    scale = half / shape.radii[time]
    cosine, sine = scale * math.cos(shape.angles[time]), scale * math.sin(shape.angles[time])
    to_texture = np.array([[cosine, sine], [-sine, cosine]])
    # The center of the part's first pixel, relative to the shape, lies at this texture pixel.
    offset = to_texture @ (np.asarray(corner) + 0.5 - shape.centers[time]) + half - 0.5
    return cv2.warpAffine(
        shape.texture,
        np.column_stack([to_texture, offset]),
        size[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def _draw_shapes(frame: np.ndarray, shapes: Sequence[_Shape], time: int) -> np.ndarray:
    """Draw the shapes over ``frame`` (H, W, 3) uint8, in place, the rearmost first.

    Returns:
        (H, W) int16, the index of the shape that is seen at each pixel; -1 for the background.
    """
    image_size = frame.shape[:2]
    owners = np.full(image_size, -1, dtype=np.int16)
    for index, shape in enumerate(shapes):
        covered = _coverage(shape, time, image_size)
        if covered is None:
            continue
        coverage, (left, top) = covered
        height, width = coverage.shape
        part = (slice(top, top + height), slice(left, left + width))
        texture = _texture_in_frame(shape, time, (left, top), (height, width))
        alpha = coverage.astype(np.float32)[..., None] / _FULL_COVERAGE
        behind = frame[part].astype(np.float32)
        frame[part] = np.rint(behind + alpha * (texture - behind)).astype(np.uint8)
        owners[part][2 * coverage >= _FULL_COVERAGE] = index
    return owners


@dataclass(frozen=True)
class _Camera:
    """What a camera adds: a slightly soft image, slowly changing light, and noise.

    Attributes:
        softness: standard deviation of the blur, in pixels.
        gains: (T,), factor of the light.
        grain: (H + R, W + R, 3) uint8, noise around 128; a frame takes a part of it.
        grain_offsets: (T, 2), the (row, column) of the part that each frame takes.
    """

    softness: float
    gains: np.ndarray
    grain: np.ndarray
    grain_offsets: np.ndarray

    def take(self, frame: np.ndarray, time: int) -> np.ndarray:
        """``frame`` (H, W, 3) uint8 as the camera sees it at frame ``time``. Shape (H, W, 3), uint8."""
        row, column = self.grain_offsets[time]
        grain = self.grain[row : row + frame.shape[0], column : column + frame.shape[1]]
        blurred = cv2.GaussianBlur(frame, (3, 3), self.softness)
        return cv2.addWeighted(blurred, float(self.gains[time]), grain, 1.0, -128.0)


def _sample_camera(rng: np.random.Generator, image_size: tuple[int, int], times: np.ndarray) -> _Camera:
    """Draw the properties of a camera."""
    room = 32
    light = _Wave(1.0, rng.uniform(0, 0.12), rng.uniform(20, 80), rng.uniform(0, 2 * math.pi))
    softness, strength = rng.uniform(0.3, 0.8), rng.uniform(1, 5)
    noise = rng.standard_normal((image_size[0] + room, image_size[1] + room, 3), dtype=np.float32)
    return _Camera(
        softness=softness,
        gains=light.at(times),
        grain=np.rint(np.clip(128 + strength * noise, 0, 255)).astype(np.uint8),
        grain_offsets=rng.integers(0, room + 1, size=(len(times), 2)),
    )


def render_video(
    seed: int,
    height: int,
    width: int,
    length: int,
    *,
    num_instances: int | tuple[int, int] = (1, 5),
    video_index: int = 0,
) -> ShapesVideo:
    """Render one video in memory.

    Args:
        seed: not negative; every seed is a data set of its own.
        height, width: size of the frames in pixels, at least ``MIN_IMAGE_SIDE``.
        length: number of frames T.
        num_instances: how many instances the video has; a pair draws from that range, ends included. An instance that
            can be seen on no frame (always behind others or outside) is left out, so there may be fewer, never none.
        video_index: which of the seed's videos.

    Returns:
        The frames, masks and class ids. A frame on which fewer than 4 pixels (or 1/2000 of the frame, where that is
        more) of an instance can be seen counts as one without it.

    Raises:
        ValueError: if an argument is out of range.
    """
    instance_range = _check_video_arguments(seed, height, width, length, num_instances)
    _check_at_least("video_index", video_index, 0)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(video_index,))))
    image_size, times = (height, width), np.arange(length, dtype=np.float64)
    backdrop = _sample_backdrop(rng, image_size, times)
    shapes = _sample_shapes(rng, instance_range, image_size, times)
    camera = _sample_camera(rng, image_size, times)

    frames = np.empty((length, height, width, 3), dtype=np.uint8)
    masks = np.empty((len(shapes), length, height, width), dtype=bool)
    indices = np.arange(len(shapes), dtype=np.int16)[:, None, None]
    for time in range(length):
        frame = backdrop.draw(time, image_size)
        owners = _draw_shapes(frame, shapes, time)
        frames[time] = camera.take(frame, time)
        np.equal(owners, indices, out=masks[:, time])

    masks[masks.sum(axis=(2, 3)) < max(4, height * width / 2000)] = False
    is_seen = masks.any(axis=(1, 2, 3))
    class_ids = np.array([shape.class_id for shape in shapes], dtype=np.int64)
    return ShapesVideo(frames=frames, masks=masks[is_seen], class_ids=class_ids[is_seen])


def _check_at_least(name: str, value: int, minimum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ValueError(f"{name}: found {value!r}, expected a whole number of at least {minimum}")


def _check_video_arguments(
    seed: int, height: int, width: int, length: int, num_instances: int | tuple[int, int]
) -> tuple[int, int]:
    """Raise ValueError for the first argument that is out of range; give ``num_instances`` as a range."""
    _check_at_least("seed", seed, 0)
    _check_at_least("height", height, MIN_IMAGE_SIDE)
    _check_at_least("width", width, MIN_IMAGE_SIDE)
    _check_at_least("length", length, 1)
    instance_range = (num_instances, num_instances) if isinstance(num_instances, int) else tuple(num_instances)
    if len(instance_range) != 2:
        raise ValueError(f"num_instances: found {num_instances!r}, expected a number or a pair (smallest, largest)")
    _check_at_least("num_instances", instance_range[0], 1)
    _check_at_least("num_instances", instance_range[1], instance_range[0])
    return instance_range


# --------------------------------------------------------------------------------------------------------------------
# Files
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _SplitPaths:
    """Where the files of a split are, below ``root``."""

    root: Path
    split: str

    @property
    def folder(self) -> Path:
        return self.root / self.split

    @property
    def images(self) -> Path:
        return self.folder / "JPEGImages"

    @property
    def ytvis_json(self) -> Path:
        return self.root / f"{self.split}.json"

    @property
    def coco_json(self) -> Path:
        return self.root / f"coco_{self.split}.json"


def _split_paths(root: str | os.PathLike, split: str) -> _SplitPaths:
    """The paths of a split; ValueError if its name cannot be that of a file."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", split) or split.startswith("coco_"):
        raise ValueError(
            f"split: found {split!r}, expected a name of letters, digits, '_', '-' and '.' that begins with a letter "
            "or a digit, and not with 'coco_'"
        )
    return _SplitPaths(Path(root), split)


def write_ytvis(
    root: str | os.PathLike,
    split: str,
    num_videos: int,
    *,
    seed: int,
    image_size: tuple[int, int] = (128, 192),
    length: int = 24,
    num_instances: int | tuple[int, int] = (1, 5),
    num_workers: int = 1,
    overwrite: bool = False,
    show_progress: bool = False,
) -> Path:
    """Make a split on disk, in YouTube-VIS's format.

    Frames go to ``<root>/<split>/JPEGImages/<video>/<frame>.jpg``, annotations to ``<root>/<split>.json``. Both appear
    under these names only when everything is written.

    Args:
        root: folder of the data set; made if missing.
        split: name of the split.
        num_videos: how many videos; they are the seed's first ones, so splits that must not share any need
            different seeds.
        seed, length, num_instances: as for :func:`render_video`.
        image_size: (height, width) of the frames in pixels.
        num_workers: number of processes that render; 1 works in this process. It does not change the result.
        overwrite: replace a split of that name, and remove the COCO annotations made from it.
        show_progress: show a progress bar on stderr.

    Returns:
        The path of the annotation file.

    Raises:
        ValueError: if an argument is out of range.
        FileExistsError: if the split exists and ``overwrite`` is False.
    """
    paths = _split_paths(root, split)
    _check_at_least("num_videos", num_videos, 1)
    _check_at_least("num_workers", num_workers, 1)
    height, width = image_size
    instance_range = _check_video_arguments(seed, height, width, length, num_instances)
    existing = [path for path in (paths.folder, paths.ytvis_json, paths.coco_json) if path.exists()]
    if existing and not overwrite:
        raise FileExistsError(f"{existing[0]} exists already; ask for overwriting to replace split {split!r}")

    paths.root.mkdir(parents=True, exist_ok=True)
    staging = _SplitPaths(Path(tempfile.mkdtemp(prefix=f".{split}.", dir=paths.root)), split)
    try:
        staging.images.mkdir(parents=True)
        write = partial(_write_video, staging.images, seed, (height, width), length, instance_range)
        bar, one_thread = split if show_progress else None, partial(cv2.setNumThreads, 1)
        with contextlib.closing(map_videos(write, range(num_videos), num_workers, bar, one_thread)) as records:
            content = _ytvis_content(records, seed)
        staging.ytvis_json.write_text(json.dumps(content, separators=(",", ":")), encoding="ascii")
        # The annotation file goes first and comes last: where it is, the frames it names are there.
        paths.ytvis_json.unlink(missing_ok=True)
        paths.coco_json.unlink(missing_ok=True)
        if paths.folder.exists():
            os.replace(paths.folder, staging.root / "replaced")
        os.replace(staging.folder, paths.folder)
        os.replace(staging.ytvis_json, paths.ytvis_json)
    finally:
        shutil.rmtree(staging.root, ignore_errors=True)
    return paths.ytvis_json


def _write_video(
    images: Path,
    seed: int,
    image_size: tuple[int, int],
    length: int,
    num_instances: tuple[int, int],
    video_index: int,
) -> dict[str, Any]:
    """Render one video and write its frames below ``images``.

    Returns:
        ``{"video": its entry of "videos", "annotations": its entries of "annotations", without their ids}``.
    """
    video = render_video(seed, *image_size, length, num_instances=num_instances, video_index=video_index)
    folder = f"{video_index:05d}"
    (images / folder).mkdir()
    file_names = [f"{folder}/{frame:05d}.jpg" for frame in range(length)]
    for file_name, frame in zip(file_names, video.frames, strict=True):
        encoded, content = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        if not encoded:
            raise RuntimeError(f"{images / file_name}: OpenCV could not encode the frame as JPEG")
        (images / file_name).write_bytes(content)
    height, width = image_size
    video_id = video_index + 1
    annotations = [
        {
            "video_id": video_id,
            "category_id": list(CATEGORIES)[class_id],
            "iscrowd": 0,
            "height": height,
            "width": width,
            "length": length,
            **_encode_track(track),
        }
        for track, class_id in zip(video.masks, video.class_ids, strict=True)
    ]
    entry = {"id": video_id, "height": height, "width": width, "length": length, "file_names": file_names}
    return {"video": entry, "annotations": annotations}


def _encode_track(track: np.ndarray) -> dict[str, list]:
    """RLE, box [x, y, width, height] and area of each of the masks (T, H, W); None where a mask is empty."""
    in_fortran_order = np.ascontiguousarray(track.transpose(0, 2, 1)).view(np.uint8).transpose(2, 1, 0)  # (H, W, T)
    encoded = mask_utils.encode(in_fortran_order)
    areas = [area or None for area in track.sum((1, 2)).tolist()]
    boxes = mask_utils.toBbox(encoded).astype(int).tolist()
    return {
        "segmentations": [
            {"size": rle["size"], "counts": rle["counts"].decode("ascii")} if area else None
            for rle, area in zip(encoded, areas, strict=True)
        ],
        "bboxes": [box if area else None for box, area in zip(boxes, areas, strict=True)],
        "areas": areas,
    }


def _ytvis_content(records: Iterable[dict[str, Any]], seed: int) -> dict[str, Any]:
    """What an annotation file of YouTube-VIS's format holds, from what :func:`_write_video` returned."""
    videos, annotations = [], []
    for record in records:
        videos.append(record["video"])
        annotations.extend(record["annotations"])
    return {
        "info": {"description": "Synthetic videos of moving shapes", "seed": seed},
        "categories": _categories(),
        "videos": videos,
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations, start=1)],
    }


def _categories() -> list[dict[str, Any]]:
    return [{"id": number, "name": name, "supercategory": "shape"} for number, name in CATEGORIES.items()]


def write_coco(root: str | os.PathLike, split: str, *, frame_stride: int = 1, overwrite: bool = False) -> Path:
    """Describe frames of a split that :func:`write_ytvis` made as images, in COCO's format.

    Args:
        root, split: as for :func:`write_ytvis`.
        frame_stride: take each video's frames 0, frame_stride, 2 * frame_stride, ...
        overwrite: replace an existing file.

    Returns:
        The path of the file, ``<root>/coco_<split>.json``. Its file names are relative to the split's JPEGImages.

    Raises:
        ValueError: if an argument is out of range.
        FileNotFoundError: if there is no such split.
        FileExistsError: if the file exists and ``overwrite`` is False.
    """
    paths = _split_paths(root, split)
    _check_at_least("frame_stride", frame_stride, 1)
    if not paths.ytvis_json.is_file():
        raise FileNotFoundError(f"{paths.ytvis_json}: no such file, expected the annotations of split {split!r}")
    if paths.coco_json.exists() and not overwrite:
        raise FileExistsError(f"{paths.coco_json} exists already; ask for overwriting to replace it")
    content = _coco_content(json.loads(paths.ytvis_json.read_text(encoding="ascii")), frame_stride)
    write_json(paths.coco_json, content, separators=(",", ":"))
    return paths.coco_json


def _coco_content(ytvis: dict[str, Any], frame_stride: int) -> dict[str, Any]:
    """Turn the content of a YouTube-VIS annotation file into that of a COCO one."""
    images: list[dict[str, Any]] = []
    image_ids: dict[tuple[int, int], int] = {}  # (video id, frame) -> image id
    for video in ytvis["videos"]:
        for frame in range(0, video["length"], frame_stride):
            image_ids[video["id"], frame] = len(images) + 1
            images.append(
                {
                    "id": len(images) + 1,
                    "file_name": video["file_names"][frame],
                    "height": video["height"],
                    "width": video["width"],
                }
            )
    annotations: list[dict[str, Any]] = []
    for track in ytvis["annotations"]:
        for frame in range(0, track["length"], frame_stride):
            if track["segmentations"][frame] is None:
                continue
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_ids[track["video_id"], frame],
                    "category_id": track["category_id"],
                    "iscrowd": track["iscrowd"],
                    "segmentation": track["segmentations"][frame],
                    "bbox": track["bboxes"][frame],
                    "area": track["areas"][frame],
                }
            )
    return {
        "info": ytvis["info"],
        "categories": ytvis["categories"],
        "images": images,
        "annotations": annotations,
    }
