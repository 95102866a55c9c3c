# SPDX-License-Identifier: Apache-2.0
"""From the objects, background and camera of a video to its frames and masks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .objects import Shape, sample_shapes
from .scenarios import PLAIN, SCENARIOS
from .scene import background, film

MIN_IMAGE_SIDE = 16
"""Shortest side of a frame, in pixels."""

_UNITS = 256  # a pixel's side in fixed-point coordinates
_SCANLINES = 4  # lines a pixel along which coverage is measured
_FULL_COVERAGE = _SCANLINES * _UNITS


@dataclass(frozen=True)
class ShapesVideo:
    """One rendered video of T frames with N instances.

    Attributes:
        frames: (T, H, W, 3) uint8, RGB.
        masks: (N, T, H, W) bool, the visible part of each instance. Masks of one frame are disjoint; an instance that
            cannot be seen on a frame has an empty mask there. Each instance is seen on at least one frame.
        class_ids: (N,) int64, contiguous: the position of the class in `CATEGORIES`.
    """

    frames: np.ndarray
    masks: np.ndarray
    class_ids: np.ndarray


def render_video(
    seed: int,
    height: int,
    width: int,
    length: int,
    *,
    num_instances: int | tuple[int, int] = (1, 5),
    video_index: int = 0,
    scenario: str = PLAIN,
    absence: tuple[int, int] | None = None,
) -> ShapesVideo:
    """Render one video in memory.

    Args:
        seed: not negative; every seed is a data set of its own.
        height, width: size of the frames in pixels, at least `MIN_IMAGE_SIDE`.
        length: number of frames T.
        num_instances: how many instances the video has; a pair draws from that range, ends included. An instance that
            can be seen on no frame (always behind others or outside) is left out, so there may be fewer, never none.
        video_index: which of the seed's videos.
        scenario: a name in `SCENARIOS`.
        absence: range of the number of frames that an object is out of sight, for a scenario in which some are.

    Returns:
        The frames, masks and class ids. A frame on which fewer than 4 pixels (or 1/2000 of the frame, where that is
        more) of an instance can be seen counts as one without it.

    Raises:
        ValueError: if an argument is out of range.
    """
    instance_range = check_video_arguments(seed, height, width, length, num_instances)
    absence = check_scenario(scenario, absence, length, instance_range)
    check_at_least("video_index", video_index, 0)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(video_index,))))
    image_size, times = (height, width), np.arange(length, dtype=np.float64)
    frames = background(rng, image_size, times)
    shapes = sample_shapes(rng, instance_range, image_size, times, SCENARIOS[scenario].travelers)
    shapes = SCENARIOS[scenario].stage(rng, shapes, frames, absence)
    masks = np.empty((len(shapes), length, height, width), dtype=bool)
    indices = np.arange(len(shapes), dtype=np.int16)[:, None, None]
    for time, frame in enumerate(frames):
        np.equal(draw_shapes(frame, shapes, time), indices, out=masks[:, time])
    film(rng, frames, times)

    masks[masks.sum(axis=(2, 3)) < max(4, height * width / 2000)] = False
    is_seen = masks.any(axis=(1, 2, 3))
    class_ids = np.array([shape.class_id for shape in shapes], dtype=np.int64)
    return ShapesVideo(frames=frames, masks=masks[is_seen], class_ids=class_ids[is_seen])


def check_at_least(name: str, value: int, minimum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ValueError(f"{name}: found {value!r}, expected a whole number of at least {minimum}")


def check_video_arguments(
    seed: int, height: int, width: int, length: int, num_instances: int | tuple[int, int]
) -> tuple[int, int]:
    """Raise ValueError for the first argument that is out of range; give `num_instances` as a range."""
    least = {"seed": (seed, 0), "height": (height, MIN_IMAGE_SIDE), "width": (width, MIN_IMAGE_SIDE)}
    for name, (value, minimum) in (least | {"length": (length, 1)}).items():
        check_at_least(name, value, minimum)
    return _check_range("num_instances", (num_instances,) * 2 if isinstance(num_instances, int) else num_instances)


def check_scenario(
    scenario: str, absence: tuple[int, int] | None, length: int, instance_range: tuple[int, int]
) -> tuple[int, int] | None:
    """Raise ValueError for a scenario that there is not, or that does not fit; give its absence."""
    if scenario not in SCENARIOS:
        raise ValueError(f"scenario: found {scenario!r}, expected one of {', '.join(SCENARIOS)}")
    chosen = SCENARIOS[scenario]
    if absence is not None and chosen.absence is None:
        raise ValueError(f"absence: found {absence!r}, expected none, as no object is absent in scenario {scenario!r}")
    absence = chosen.absence if absence is None else _check_range("absence", absence)
    of_scenario = f" of scenario {scenario!r}"
    check_at_least(f"num_instances{of_scenario}", instance_range[0], chosen.fewest)
    if absence is not None:
        of_scenario += f" with absences of up to {absence[1]} frames"
    check_at_least(f"length{of_scenario}", length, chosen.shortest + (absence[1] if absence else 0))
    return absence


def _check_range(name: str, pair: Sequence[int]) -> tuple[int, int]:
    if len(pair) != 2:
        raise ValueError(f"{name}: found {pair!r}, expected a number or a pair (smallest, largest)")
    check_at_least(name, pair[0], 1)
    check_at_least(name, pair[1], pair[0])
    return tuple(pair)


def draw_shapes(frame: np.ndarray, shapes: Sequence[Shape], time: int) -> np.ndarray:
    """Draw the shapes over `frame` (H, W, 3) uint8, in place, the rearmost first.

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


def _coverage(shape: Shape, time: int, image_size: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]] | None:
    """How much of each pixel a shape covers on one frame.

    Returns:
        The coverage (h, w), from 0 to `_FULL_COVERAGE`, of the part of the frame around the shape, and the (x, y) of
        that part's upper left pixel. None if the shape is outside the frame.
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
    """Area of each pixel that polygons cover, along `_SCANLINES` lines a pixel and in whole numbers throughout.

    Where an edge crosses a line, everything to its right is gained or lost, depending on the edge's direction. The
    gains and losses of all edges are gathered at the crossings' pixels and added up from left to right.

    Args:
        contours: polygons (V, 2) of (x, y) in pixels, pixel i being the interval [i, i + 1]. Holes turn the other way.
        size: (h, w).

    Returns:
        (h, w) int64, from 0 to `_FULL_COVERAGE`.
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


def _texture_in_frame(shape: Shape, time: int, corner: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """The shape's texture over the `size` (h, w) part of the frame whose upper left pixel is `corner` (x, y)."""
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
