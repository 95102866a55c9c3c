# SPDX-License-Identifier: Apache-2.0
"""Masks in their own boxes: nothing here is as large as the frame."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from ..rle import as_bytes, decode


class Crop(NamedTuple):
    """A part of a picture: the place of its upper left pixel, and its mask, (h, w) uint8, 0 or 1, never empty."""

    left: int
    top: int
    mask: np.ndarray

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns in the picture."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def crop_masks(rles: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> list[Crop | None]:
    """The masks of N compressed RLEs of frames of `size`, (height, width), in their bounding boxes; None for an empty
    one.

    Raises:
        ValueError: one is malformed or of another size.
    """
    if not rles:
        return []
    runs = decode([as_bytes(rle["counts"]) for rle in rles])
    if runs is None or (runs.totals() != size[0] * size[1]).any() or any(tuple(rle["size"]) != size for rle in rles):
        raise ValueError(f"masks: found one that is no RLE of {size[0]} x {size[1]} pixels (height x width)")
    return [_crop(runs.of(index), size[0]) for index in range(len(rles))]


def _crop(runs: np.ndarray, height: int) -> Crop | None:
    """A mask of its run lengths: of the columns that it touches, then of the rows."""
    runs = runs[: len(runs) // 2 * 2]  # a last run of background says nothing
    ends = np.cumsum(runs)
    seen = np.flatnonzero(runs[1::2])
    if not len(seen):
        return None
    first, last = ends[2 * seen[0]], ends[2 * seen[-1] + 1] - 1
    left, right = first // height, last // height + 1
    runs = np.append(runs[2 * seen[0] : 2 * seen[-1] + 2], right * height - last - 1)
    runs[0] = first - left * height
    values = np.zeros(len(runs), dtype=np.uint8)
    values[1::2] = 1
    columns = np.repeat(values, runs).reshape(right - left, height)
    top, _, num_rows, _ = cv2.boundingRect(columns)
    return Crop(int(left), top, cv2.transpose(columns[:, top : top + num_rows]))


def resize_crop(crop: Crop, size: tuple[int, int], new_size: tuple[int, int]) -> Crop:
    """A crop of a picture of `size` in one of `new_size`, with smooth instead of stepped edges. The thinnest mask keeps
    a pixel."""
    height, width = crop.mask.shape
    left, right = _scaled(crop.left, crop.left + width, size[1], new_size[1])
    top, bottom = _scaled(crop.top, crop.top + height, size[0], new_size[0])
    mask = resize(255 * crop.mask, (bottom - top, right - left), cv2.INTER_LINEAR)
    return Crop(left, top, cv2.threshold(mask, min(127, int(mask.max()) - 1), 1, cv2.THRESH_BINARY)[1])


def _scaled(first: int, end: int, size: int, new_size: int) -> tuple[int, int]:
    """A range of rows or columns in another size, of one at least."""
    start = min(first * new_size // size, new_size - 1)
    return start, max(start + 1, end * new_size // size)


def resize(image: np.ndarray, size: tuple[int, int], enlarging: int) -> np.ndarray:
    """An image (h, w) or (h, w, 3) in another size, (height, width)."""
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else enlarging)
