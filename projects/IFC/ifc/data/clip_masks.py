# SPDX-License-Identifier: Apache-2.0
"""The masks of a clip's frames, of any part and size, straight from their run lengths."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..ytvis.masks import Rle
from ..ytvis.rle import decode

OBJECT_THEN_BACKGROUND = np.array([1, 0], dtype=np.uint8)


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


def run_length_masks(rles: Sequence[Rle], size: tuple[int, int]) -> RunLengthMasks:
    """The masks of N checked compressed RLEs of frames of `size`, (height, width)."""
    if not rles:
        return RunLengthMasks(size, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    runs = decode([rle["counts"] for rle in rles])
    return RunLengthMasks(size, np.cumsum(runs.lengths), runs.starts)
