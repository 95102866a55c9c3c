# SPDX-License-Identifier: Apache-2.0
"""The masks of a track: RLE of either kind or polygons, checked, and brought to compressed RLE.

pycocotools reads beyond the end of a malformed mask and rasterizes what takes all memory, so nothing reaches it
unchecked.
"""

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from .rle import Runs, as_bytes, decode

MAX_SIDE = 2**14  # pixels of a frame's height and width, more than twice those of 8K
MAX_OUTLINE = 2**20  # pixels along a polygon, of each of which rasterizing takes about 80 bytes
DECODED_CHARACTERS = 2**16  # of a track's masks decoded at once, each of which takes about 40 bytes
LARGEST_NUMBER = 1e100  # squares and sums of numbers up to here stay finite
MOST_SHOWN = 120  # characters of a value in an error message

Rle = dict[str, Any]  # pycocotools' compressed run-length mask: {"size": [height, width], "counts": bytes}


@dataclass(frozen=True)
class Video:
    """Size of a video: `length` in frames, `height` and `width` in pixels."""

    length: int
    height: int
    width: int


def read_masks(segmentations: Any, video: Video, where: str) -> tuple[list[Rle | None], np.ndarray]:
    """The masks of a track as compressed RLE, None where absent, and their areas (T,) int64.

    Raises:
        ValueError: the first fault found.
    """
    segmentations = list_of_masks(segmentations, video, where)
    masks = [
        None if mask is None else _to_compressed_rle(mask, video, f"{where}.segmentations[{frame}]")
        for frame, mask in enumerate(segmentations)
    ]
    areas = np.zeros(video.length, dtype=np.int64)
    frames = [frame for frame, mask in enumerate(masks) if mask is not None]
    for some in _batches(frames, masks):
        _check_masks(masks, areas, some, video, where)
    return masks, areas


def _batches(frames: list[int], masks: list[Rle | None]) -> Iterator[list[int]]:
    """The frames in turn, as many at once as `DECODED_CHARACTERS` allow, but at least one."""
    batch, characters = [], 0
    for frame in frames:
        length = len(masks[frame]["counts"])
        if batch and characters + length > DECODED_CHARACTERS:
            yield batch
            batch, characters = [], 0
        batch.append(frame)
        characters += length
    if batch:
        yield batch


def list_of_masks(segmentations: Any, video: Video, where: str) -> Sequence:
    """A track's segmentations, one a frame, which are not checked yet."""
    if not isinstance(segmentations, Sequence) or isinstance(segmentations, str | bytes):
        raise ValueError(f"{where}.segmentations: found {brief(segmentations)}, expected a list, one entry a frame")
    if len(segmentations) != video.length:
        found = f"found {len(segmentations)} entries, expected {brief(video.length)}"
        raise ValueError(f"{where}.segmentations: {found}, one a frame")
    return segmentations


def check_mask(segmentations: Sequence, frame: int, video: Video, where: str) -> None:
    """Check the mask of one frame of a track alone.

    Raises:
        ValueError: the first fault of this mask.
    """
    if segmentations[frame] is not None:
        mask = _to_compressed_rle(segmentations[frame], video, f"{where}.segmentations[{frame}]")
        _check_masks({frame: mask}, np.zeros(video.length, dtype=np.int64), [frame], video, where)


def _to_compressed_rle(segmentation: Any, video: Video, where: str) -> Rle:
    """A segmentation of any of the three kinds as compressed RLE; a compressed one is not checked yet."""
    if isinstance(segmentation, list | tuple):
        return _rasterize(segmentation, video, where)
    if not isinstance(segmentation, Mapping):
        raise ValueError(f"{where}: found {brief(segmentation)}, expected an RLE, a list of polygons or null")
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list | tuple) or list(size) != [video.height, video.width]:
        raise ValueError(f"{where}.size: found {brief(size)}, expected the video's [{video.height}, {video.width}]")
    if isinstance(counts, str | bytes):
        return {"size": [video.height, video.width], "counts": as_bytes(counts)}
    if not isinstance(counts, list | tuple):
        raise ValueError(f"{where}.counts: found {brief(counts)}, expected a string or a list of run lengths")
    faults = [run for run, length in enumerate(counts) if type(length) is not int or length < 0]
    if faults:
        raise ValueError(
            f"{where}.counts[{faults[0]}]: found {brief(counts[faults[0]])}, expected an integer, 0 or more"
        )
    if sum(counts) != video.height * video.width:
        expected = f"expected {video.height} x {video.width} = {video.height * video.width}"
        raise ValueError(f"{where}.counts: found run lengths of {brief(sum(counts))} pixels, {expected}")
    return _encode(np.array(counts), video)


def _rasterize(polygons: Sequence, video: Video, where: str) -> Rle:
    """The union of polygons as compressed RLE. They may leave the frame by no more than its longer side."""
    if len(polygons) == 0:
        return _encode(np.array([video.height * video.width]), video)
    margin = max(video.height, video.width)
    for index, polygon in enumerate(polygons):
        if not isinstance(polygon, list | tuple) or len(polygon) < 6 or len(polygon) % 2:
            expected = "expected x1, y1, x2, y2, ... of 3 points or more"
            raise ValueError(f"{where}[{index}]: found {brief(polygon)}, {expected}")
        for position, coordinate in enumerate(polygon):
            if not is_number(coordinate) or not -margin <= coordinate <= 2 * margin:
                expected = f"expected a number of pixels between {-margin} and {2 * margin}"
                raise ValueError(f"{where}[{index}][{position}]: found {brief(coordinate)}, {expected}")
        points = np.array(polygon, dtype=np.float64).reshape(-1, 2)
        outline = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum()
        if outline > MAX_OUTLINE:
            raise ValueError(
                f"{where}[{index}]: found an outline of {outline:.0f} pixels, expected at most {MAX_OUTLINE}"
            )
    return mask_utils.merge(mask_utils.frPyObjects([list(polygon) for polygon in polygons], video.height, video.width))


def _check_masks(
    masks: list[Rle | None] | dict[int, Rle], areas: np.ndarray, frames: list[int], video: Video, where: str
) -> None:
    """Check the compressed masks of some frames of a track and fill in their areas, both in place.

    Runs of length 0 inside a mask, at which pycocotools may stop intersecting early, are taken out.
    """
    num_pixels = video.height * video.width
    strings = [masks[frame]["counts"] for frame in frames]
    runs = _decode(strings, num_pixels)
    if runs is None:
        frame = next(
            frame for frame, string in zip(frames, strings, strict=True) if _decode([string], num_pixels) is None
        )
        expected = f"expected a compressed RLE of {video.height} x {video.width} = {num_pixels} pixels"
        found = brief(masks[frame]["counts"].decode("utf-8", errors="backslashreplace"))
        raise ValueError(f"{where}.segmentations[{frame}].counts: found {found}, {expected}")

    areas[frames] = runs.areas()
    for index in np.flatnonzero(runs.have_empty()):
        masks[frames[index]] = _encode(_without_empty_runs(runs.of(index)), video)


def _decode(strings: list[bytes], num_pixels: int) -> Runs | None:
    """The runs of compressed RLEs of `num_pixels` pixels each; None if any is malformed or of another size."""
    runs = decode(strings)
    return None if runs is None or (runs.totals() != num_pixels).any() else runs


def _without_empty_runs(run_lengths: np.ndarray) -> np.ndarray:
    """The same mask with no run of length 0 but a first one: borders that coincide cancel in pairs."""
    num_pixels = run_lengths.sum()
    borders, times = np.unique(np.cumsum(run_lengths[:-1]), return_counts=True)
    borders = borders[(times % 2 == 1) & (borders < num_pixels)]
    return np.diff(borders, prepend=0, append=num_pixels)


def _encode(run_lengths: np.ndarray, video: Video) -> Rle:
    """Compressed RLE of a mask's run lengths."""
    size = [video.height, video.width]
    return mask_utils.frPyObjects({"size": size, "counts": run_lengths}, *size)


def is_number(value: Any) -> bool:
    """Whether a value is a number that can be reckoned with: finite, and no bool."""
    return isinstance(value, Real) and not isinstance(value, bool) and bool(abs(value) <= LARGEST_NUMBER)


def brief(value: Any) -> str:
    """A short form of any value for an error message."""
    if value is None:
        return "nothing"
    text = reprlib.repr(value)  # short but for what is nested
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"
