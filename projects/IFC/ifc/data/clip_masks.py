# SPDX-License-Identifier: Apache-2.0
"""Segmentations of a frame as its json has them: what is wrong with them, and masks of any part and size from them."""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pycocotools.mask as mask_util

from ..ytvis.rle import as_bytes, decode

OBJECT_THEN_BACKGROUND = np.array([1, 0], dtype=np.uint8)
MAX_COORDINATE = 100_000  # of a polygon, in pixels; drawing one takes memory in proportion to its length


@dataclass(frozen=True)
class RunLengthMasks:
    """N masks of H × W as one sequence of runs, column by column and mask after mask.

    Attributes:
        size: (H, W).
        ends: (2P,) int64, ascending: the pixel of the stack before which each run ends; the last is N · H · W. Runs of
            an object and of background take turns, as in `Runs`.
        starts: (N,) int64, where in `ends` each mask starts.
    """

    size: tuple[int, int]
    ends: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def part(self, first: int, last: int) -> "RunLengthMasks":
        """The masks from number `first` to before number `last`."""
        start, end = np.append(self.starts, len(self.ends))[[first, last]]
        pixels_before = first * self.size[0] * self.size[1]
        return RunLengthMasks(self.size, self.ends[start:end] - pixels_before, self.starts[first:last] - start)

    def pick(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Some rows and columns of the masks, which is what a crop, a nearest-neighbor resize and a flip leave.

        It takes the time of the pixels that are picked, however large the masks are.

        Args:
            rows: (h,) indices in ascending or descending order, with or without repetitions, at least one.
            cols: (w,) likewise.

        Returns:
            (N, h, w) uint8, 0 or 1.
        """
        (height, width), num_masks = self.size, len(self)
        flips = [rows[0] > rows[-1], cols[0] > cols[-1]]
        rows, cols = (lines[::-1] if flip else lines for lines, flip in zip((rows, cols), flips, strict=True))
        kept_cols, places = np.unique(cols, return_inverse=True)
        # A run ends before pixel (mask, col, row). How many picked pixels come before that one is where it ends now.
        mask, pixel = np.divmod(self.ends, height * width)
        col, row = np.divmod(pixel, height)
        cols_before = np.searchsorted(kept_cols, np.arange(width + 1))
        rows_before = np.searchsorted(rows, np.arange(height + 1))
        ends = (mask * len(kept_cols) + cols_before[col]) * len(rows)
        ends += (cols_before[col + 1] - cols_before[col]) * rows_before[row]
        runs = np.repeat(np.tile(OBJECT_THEN_BACKGROUND, len(ends) // 2), np.diff(ends, prepend=0))
        picked = np.empty((num_masks, len(rows), len(cols)), dtype=np.uint8)
        if flips[1]:
            places = places[::-1]
        for mask, columns in zip(picked, runs.reshape(num_masks, len(kept_cols), len(rows)), strict=True):
            cv2.transpose(columns.take(places, axis=0) if flips[1] or len(kept_cols) < len(cols) else columns, dst=mask)
            if flips[0]:
                cv2.flip(mask, 0, dst=mask)
        return picked


def read_masks(segmentations: Sequence[Any], size: tuple[int, int], place: str) -> RunLengthMasks:
    """The masks of segmentations.

    Args:
        segmentations: a compressed or uncompressed RLE or a list of polygons each.
        size: (height, width) of the frame.
        place: named in errors.

    Raises:
        ValueError: a segmentation that is none, or one of another size.
    """
    height, width = size
    compressed: list[bytes] = []
    for segmentation in segmentations:
        fault = _form_fault(segmentation, height, width)
        if fault is not None:
            raise ValueError(f"{place}: {fault}")
        compressed.append(_compressed_counts(segmentation, size))
    if not compressed:
        return RunLengthMasks(size, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    runs = decode(compressed)
    if runs is None or (runs.totals() != height * width).any():
        fault = find_fault(segmentations, height, width)
        raise ValueError(f"{place}: {fault[1] if fault else 'found an RLE that does not decode'}")
    return RunLengthMasks(size, np.cumsum(runs.lengths), runs.starts)


def _compressed_counts(segmentation: Any, size: tuple[int, int]) -> bytes:
    """The counts of a segmentation without a fault in its form, as those of a compressed RLE."""
    if isinstance(segmentation, list):
        return mask_util.merge(mask_util.frPyObjects(segmentation, *size))["counts"]
    counts = segmentation["counts"]
    if isinstance(counts, list):
        return mask_util.frPyObjects(segmentation, *size)["counts"]
    return as_bytes(counts)


def find_fault(segmentations: Sequence[Any], height: int, width: int) -> tuple[int, str] | None:
    """The first fault among segmentations on frames of `height` × `width`: its index and what is wrong, or None.

    A segmentation is a compressed or uncompressed RLE or a list of polygons; None and empty ones are left out.
    """
    compressed = {}  # index -> counts
    for index, segmentation in enumerate(segmentations):
        if segmentation is None or segmentation == []:
            continue
        fault = _form_fault(segmentation, height, width)
        if fault is not None:
            return index, fault
        counts = segmentation["counts"] if isinstance(segmentation, dict) else None
        if isinstance(counts, str | bytes):
            compressed[index] = as_bytes(counts)
    if compressed:
        for index, total in zip(compressed, _count_pixels(list(compressed.values())), strict=True):
            if total != height * width:
                found = "counts that are no RLE" if total < 0 else f"counts that add up to {total}"
                return index, f"found an RLE with {found}, expected {height * width}, height times width"
    return None


def _form_fault(segmentation: Any, height: int, width: int) -> str | None:
    """What is wrong with a segmentation, but for the runs of a compressed RLE."""
    if isinstance(segmentation, list):
        return _polygons_fault(segmentation)
    if not isinstance(segmentation, dict):
        return f"found {type(segmentation).__name__}, expected an RLE, polygons or null"
    size = segmentation.get("size")
    if not isinstance(size, list | tuple) or list(size) != [height, width]:
        return f"found an RLE of size {reprlib.repr(size)}, expected [{height}, {width}]"
    counts = segmentation.get("counts")
    if isinstance(counts, str | bytes):
        return None if counts else "found an RLE with empty counts, expected at least one run"
    if not isinstance(counts, list):
        return f"found RLE counts of type {type(counts).__name__}, expected a string or a list"
    if not all(type(count) is int and count >= 0 for count in counts):
        return "found an RLE with counts that are not whole numbers, expected 0 or more pixels a run"
    if sum(counts) != height * width:
        found = reprlib.repr(sum(counts))
        return f"found an RLE with counts that add up to {found}, expected {height * width}, height times width"
    return None


def _polygons_fault(polygons: list[Any]) -> str | None:
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2 != 0:
            return "found a polygon that is no list of x, y, x, y, ...; expected at least three points"
        if not all(isinstance(value, int | float) and abs(value) <= MAX_COORDINATE for value in polygon):
            return f"found a polygon with coordinates that are not numbers of pixels, expected at most {MAX_COORDINATE}"
    return None


def _count_pixels(counts: Sequence[bytes]) -> list[int]:
    """How many pixels, inside and outside of the mask, each compressed RLE describes; -1 for what is none."""
    runs = decode(counts)
    if runs is not None:
        return runs.totals().tolist()
    return [-1] if len(counts) == 1 else [_count_pixels([text])[0] for text in counts]
