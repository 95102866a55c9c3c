# SPDX-License-Identifier: Apache-2.0
"""Videos that are hard to track: what happens in them to objects that would else stay within the frame."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .objects import OUTLINES, TRAVELERS, Shape, class_hue, object_texture
from .scene import background

PLAIN = "plain"
"""The scenario of a video to which nothing is done."""

_SEEN = 6  # frames before and after an absence, at least
_SHOT = 8  # frames between two cuts, at least
_SHARE = 0.6  # of the objects that could be absent are so
_OCCLUDERS = ("disk", "square")  # outlines without holes, whose inside is large
_PAIR_DEVIATION = 8 / 360  # of the hues of two that look alike from their common one

Absence = tuple[int, int]


@dataclass(frozen=True)
class Scenario:
    """A kind of hard video.

    Attributes:
        stage: changes the shapes of a video, and for some scenarios its background (T, H, W, 3) in place.
        fewest: instances of a video.
        shortest: frames of a video, beside an absence.
        absence: range of the number of frames that an object is out of sight, unless another one is asked for; None
            where there is none to choose.
        travelers: see `sample_shapes`.
    """

    stage: Callable[[np.random.Generator, list[Shape], np.ndarray, Absence | None], list[Shape]]
    fewest: int = 1
    shortest: int = 1
    absence: Absence | None = None
    travelers: float = 0


def _occlusion(
    rng: np.random.Generator, shapes: list[Shape], frames: np.ndarray, absence: Absence | None
) -> list[Shape]:
    """Objects go behind the foremost one, stay there as it moves on, and come out."""
    occluder = _occluder(rng, shapes[-1], frames.shape[1:3])
    room = occluder.radii.min() * _inner_radius(occluder)
    behind = shapes[:-1]
    for index in _some(rng, len(behind)):
        shape = behind[index]
        shape = replace(shape, radii=shape.radii * min(1, 0.85 * room / _reach(shape)))
        behind[index] = _absent(rng, shape, absence, frames.shape[2], occluder.centers, occluder.centers)
    return [*behind, occluder]


def _occluder(rng: np.random.Generator, shape: Shape, image_size: tuple[int, int]) -> Shape:
    """A shape on the way of another one, large enough for others to hide behind it."""
    class_id = list(OUTLINES).index(_OCCLUDERS[rng.integers(len(_OCCLUDERS))])
    radii = shape.radii * (min(image_size) * rng.uniform(0.32, 0.4) / shape.radii.mean())
    texture = object_texture(rng, class_hue(rng, class_id), math.ceil(2 * radii.max()))
    return replace(shape, class_id=class_id, contours=OUTLINES[list(OUTLINES)[class_id]], radii=radii, texture=texture)


def _reentry(
    rng: np.random.Generator, shapes: list[Shape], frames: np.ndarray, absence: Absence | None
) -> list[Shape]:
    """Objects leave through a side of the frame and come back, often through another one."""
    moved = list(shapes)
    for index in _some(rng, len(moved)):
        out, back = (_outside(rng, moved[index], frames.shape[1:3]) for _ in range(2))
        moved[index] = _absent(rng, moved[index], absence, frames.shape[2], out, back)
    return moved


def _outside(rng: np.random.Generator, shape: Shape, image_size: tuple[int, int]) -> np.ndarray:
    """A center (2,) of a shape just outside of one of the four sides of the frame."""
    size = np.array(image_size[::-1], dtype=np.float64)
    place, axis, reach = size * rng.uniform(0.2, 0.8, 2), rng.integers(2), _reach(shape) + 1
    place[axis] = size[axis] + reach if rng.uniform(0, 1) < 0.5 else -reach
    return place


def _absent(
    rng: np.random.Generator, shape: Shape, absence: Absence | None, width: int, out: np.ndarray, back: np.ndarray
) -> Shape:
    """The shape, which leaves its way for a place where it is not seen, and returns to it.

    Args:
        absence: range of the number of frames there.
        width: that of the frame, by which speeds are measured.
        out, back: where the shape vanishes and appears, (2,), or (T, 2) of places that move.
    """
    length = len(shape.centers)
    duration = int(rng.integers(absence[0], absence[1] + 1))
    speed = width * rng.uniform(0.04, 0.08)  # pixels a frame
    to_out, to_back = (np.linalg.norm(shape.centers - place, axis=1) / speed for place in (out, back))
    # Of a few times, one at which its way is far from there: else it would be long before it is seen.
    firsts = rng.integers(_SEEN, length - duration - _SEEN + 1, 4)
    first = int(max(firsts, key=lambda first: min(to_out[first], to_back[first + duration - 1])))
    last = first + duration - 1
    times = np.arange(length)
    before, after = (first - times) / max(1, to_out[first]), (times - last) / max(1, to_back[last])
    on_way = np.clip(np.maximum(before, after), 0, 1)[:, None]  # 0 where it is not seen
    places = np.where(times[:, None] < (first + last) / 2, out, back)
    return replace(shape, centers=on_way * shape.centers + (1 - on_way) * places)


def _lookalikes(
    rng: np.random.Generator, shapes: list[Shape], frames: np.ndarray, absence: Absence | None
) -> list[Shape]:
    """Pairs of one class, size and color cross each other's way, again and again."""
    length, height, width = frames.shape[:3]
    moved, times, num_pairs = list(shapes), np.arange(length), len(shapes) // 2
    for pair in range(num_pairs):
        index = 2 * pair
        first = shapes[index]
        hue, size = class_hue(rng, first.class_id), len(first.texture)
        angle, period = rng.uniform(-0.5, 0.5), rng.uniform(28, 48)
        crossing = length * rng.uniform(0.25, 0.75)
        swing = width * rng.uniform(0.2, 0.32) * np.sin(2 * math.pi * (times - crossing) / period)
        center = width * rng.uniform(0.4, 0.6), height * ((pair + 1) / (num_pairs + 1) + rng.uniform(-0.1, 0.1))
        along = np.array([math.cos(angle), math.sin(angle)])
        across = np.array([-along[1], along[0]])
        way = swing[:, None] * along + 0.25 * first.radii.mean() * across
        for place, sign in ((index, 1), (index + 1, -1)):
            texture = object_texture(rng, hue + rng.normal(0, _PAIR_DEVIATION), size)
            own = {"angles": shapes[place].angles, "texture": texture, "centers": center + sign * way}
            moved[place] = replace(first, **own)
    return moved


def _cuts(rng: np.random.Generator, shapes: list[Shape], frames: np.ndarray, absence: Absence | None) -> list[Shape]:
    """The camera's view jumps: from one frame to the next another background, and objects elsewhere and of other size."""
    length, height, width = frames.shape[:3]
    number = int(rng.integers(1, min(3, length // _SHOT - 1) + 1))
    starts = np.sort(rng.integers(0, length - _SHOT * (number + 1) + 1, number)) + _SHOT * np.arange(1, number + 1)
    moved = [replace(shape, centers=shape.centers.copy(), radii=shape.radii.copy()) for shape in shapes]
    for start, end in zip(starts, [*starts[1:], length], strict=True):
        shot = slice(start, end)
        frames[shot] = background(rng, (height, width), np.arange(end - start, dtype=np.float64))
        zoom = rng.uniform(1.2, 1.5) ** (1 if rng.uniform(0, 1) < 0.5 else -1)
        for shape in moved:
            place = np.array([width, height]) * rng.uniform(0.25, 0.75, 2)
            shape.centers[shot] = place + 0.5 * (shape.centers[shot] - shape.centers[shot].mean(axis=0))
            shape.radii[shot] *= zoom
    return moved


def _some(rng: np.random.Generator, number: int) -> np.ndarray:
    """Some of the first whole numbers, at least one."""
    chosen = rng.uniform(0, 1, number) < _SHARE
    chosen[rng.integers(number)] = True
    return np.flatnonzero(chosen)


def _reach(shape: Shape) -> float:
    """How far a shape gets from its center, in pixels."""
    return float(shape.radii.max() * np.linalg.norm(shape.contours[0], axis=1).max())


def _inner_radius(shape: Shape) -> float:
    """Of the circle within a regular outline, in the outline's unit."""
    contour = shape.contours[0]
    return float(np.linalg.norm((contour + np.roll(contour, 1, axis=0)) / 2, axis=1).min())


SCENARIOS: dict[str, Scenario] = {
    PLAIN: Scenario(lambda rng, shapes, frames, absence: shapes, travelers=TRAVELERS),
    "occlusion": Scenario(_occlusion, fewest=2, shortest=2 * _SEEN, absence=(5, 15)),
    "reentry": Scenario(_reentry, shortest=2 * _SEEN, absence=(5, 15)),
    "lookalikes": Scenario(_lookalikes, fewest=2),
    "cuts": Scenario(_cuts, shortest=2 * _SHOT),
}
