# SPDX-License-Identifier: Apache-2.0
"""Segmentations of a frame as its json has them: what is wrong with them, and masks of any part and size from them."""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pycocotools.mask as mask_util

MAX_COORDINATE = 100_000  # of a polygon, in pixels; drawing one takes memory in proportion to its length


@dataclass(frozen=True)
class RunLengthMasks:
    """N masks of H × W as one sequence of runs, column by column and mask after mask.

    Attributes:
        size: (H, W).
        ends: (R,) int64, ascending: the pixel of the stack before which each run ends; the last is N · H · W.
        inside: (R,) bool, whether a run lies inside of its mask.
    """

    size: tuple[int, int]
    ends: np.ndarray
    inside: np.ndarray

    def __len__(self) -> int:
        return int(self.ends[-1]) // (self.size[0] * self.size[1]) if len(self.ends) else 0

    def part(self, first: int, last: int) -> "RunLengthMasks":
        """The masks from number `first` to before number `last`."""
        pixels = self.size[0] * self.size[1]
        start, end = np.searchsorted(self.ends, (first * pixels, last * pixels), side="right")
        return RunLengthMasks(self.size, self.ends[start:end] - first * pixels, self.inside[start:end])

    def pick(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Some rows and columns of the masks, which is what a crop, a nearest-neighbour resize and a flip leave.

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
        runs = np.repeat(self.inside.view(np.uint8), np.diff(ends, prepend=0))
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
        return RunLengthMasks(size, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_))
    parsed = parse_counts(compressed)
    if parsed is None or (parsed.totals() != height * width).any():
        fault = find_fault(segmentations, height, width)
        raise ValueError(f"{place}: {fault[1] if fault else 'found an RLE that does not decode'}")
    return RunLengthMasks(size, np.cumsum(parsed.runs), parsed.positions % 2 == 1)


def _compressed_counts(segmentation: Any, size: tuple[int, int]) -> bytes:
    """The counts of a segmentation without a fault in its form, as those of a compressed RLE."""
    if isinstance(segmentation, list):
        return mask_util.merge(mask_util.frPyObjects(segmentation, *size))["counts"]
    counts = segmentation["counts"]
    if isinstance(counts, list):
        return mask_util.frPyObjects(segmentation, *size)["counts"]
    return _as_bytes(counts)


def _as_bytes(counts: str | bytes) -> bytes:
    return counts.encode(errors="surrogatepass") if isinstance(counts, str) else counts


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
            compressed[index] = _as_bytes(counts)
    if compressed:
        for index, total in zip(compressed, count_pixels(list(compressed.values())), strict=True):
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


@dataclass(frozen=True)
class ParsedCounts:
    """The runs of K compressed RLEs, one after the other.

    Attributes:
        runs: (R,) int64, 0 or more pixels each.
        positions: (R,) int64, a run's number in its RLE. Odd ones are inside of the mask.
        starts: (K,) int64, where in `runs` each RLE starts.
    """

    runs: np.ndarray
    positions: np.ndarray
    starts: np.ndarray

    def totals(self) -> np.ndarray:
        """(K,) int64, how many pixels, inside and outside of the mask, each RLE describes."""
        return np.add.reduceat(self.runs, self.starts)


def parse_counts(counts: Sequence[bytes]) -> ParsedCounts | None:
    """The runs of compressed RLEs, none of which may be empty; None if not all of them are RLEs.

    A run is written as a number in groups of five bits, lowest first, a character of 48 + group each, with 32 added to
    all but its last character; a last group of 16 or more makes it negative. From the fourth run on, the number is the
    difference to the run before the previous one (pycocotools' maskApi.c, `rleToString`).
    """
    groups = np.frombuffer(b"".join(counts), dtype=np.uint8) - np.uint8(48)  # other characters end up above 63
    is_last = groups & 32 == 0
    ends = np.cumsum([len(text) for text in counts])
    last = np.flatnonzero(is_last)
    num_lower = np.diff(last, prepend=-1) - 1  # groups of a number before its last one
    if groups.max() > 63 or not is_last[ends - 1].all() or num_lower.max() > 6:
        return None
    numbers = (groups[last].astype(np.int64) ^ 16) - 16 << 5 * num_lower
    for step in range(1, num_lower.max() + 1):
        longer = np.flatnonzero(num_lower >= step)
        lower = groups[last[longer] - step].astype(np.int64) & 31
        numbers[longer] += lower << 5 * (num_lower[longer] - step)

    number_ends = np.searchsorted(last, ends)
    starts = np.concatenate([[0], number_ends[:-1]])
    positions = np.arange(len(numbers)) - np.repeat(starts, np.diff(number_ends, prepend=0))
    # A run is the sum of every second number up to its own, the RLE's first one aside. `sums` are such sums over all
    # RLEs together, moved by two; of each run's, what comes before its own RLE's second or third number is taken off.
    runs = numbers.copy()
    runs[starts] = 0
    sums = np.zeros(len(numbers) + 2, dtype=np.int64)
    for parity in (0, 1):
        sums[2 + parity :: 2] = np.cumsum(runs[parity::2])
    indices = np.arange(len(numbers))
    before = indices - positions + 2 - positions % 2
    runs = np.where(positions == 0, numbers, sums[indices + 2] - sums[before])
    return ParsedCounts(runs, positions, starts) if runs.min() >= 0 else None


def count_pixels(counts: Sequence[bytes]) -> list[int]:
    """How many pixels, inside and outside of the mask, each compressed RLE (not empty) describes; -1 for what is none.

    pycocotools takes an RLE that ends too early without a word, and leaves the rest of the mask to chance.
    """
    parsed = parse_counts(counts)
    if parsed is not None:
        return parsed.totals().tolist()
    return [-1] if len(counts) == 1 else [count_pixels([text])[0] for text in counts]
