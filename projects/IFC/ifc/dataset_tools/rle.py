# SPDX-License-Identifier: Apache-2.0
"""Run-length masks of unknown origin: read without trust, and measured without being drawn.

pycocotools reads beyond the end of a malformed string and believes any size; nothing reaches it unchecked. What is done
here takes memory in proportion to the text of the masks, not to the pixels that they claim.

A mask's pixels go down its columns, from left to right; runs of background and object alternate, background first. A
compressed one writes a run as a number in digits of 5 bits, lowest first, each a character from "0" on; bit 5 says that
another digit follows, bit 4 of the last one is the sign. From the fourth run on, the number is the difference to the
run before the last one (pycocotools' maskApi.c, `rleToString`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_DIGITS = 7  # that a number below 2**32 and its sign can take
MAX_RUN = 2**32 - 1
NOWHERE = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Extent:
    """What N masks cover.

    Attributes:
        pixels: (N,) int64, pixels inside and outside.
        areas: (N,) int64, pixels inside.
        boxes: (N, 4) int64, left, top, width, height; zeros for an empty mask.
    """

    pixels: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray


def read_runs(counts: Sequence[Any]) -> list[np.ndarray | str]:
    """Run lengths of masks.

    Args:
        counts: for each mask a compressed RLE's string, or a list of run lengths.

    Returns:
        For each mask its runs, int64 and not negative, or what is wrong with it: what was found, as text.
    """
    runs: list[np.ndarray | str] = [_listed_runs(item) for item in counts]
    strings = {
        index: item.encode("utf-8", errors="surrogatepass") if isinstance(item, str) else item
        for index, item in enumerate(counts)
        if isinstance(item, str | bytes) and item
    }
    for index, decoded in zip(strings, _decode(list(strings.values())), strict=True):
        runs[index] = decoded
    return runs


def measure(runs: Sequence[np.ndarray], heights: Sequence[int]) -> Extent:
    """Sizes, areas and boxes of N masks.

    Args:
        runs: run lengths of each, not negative, of any total.
        heights: of the frames, in pixels, at least 1.
    """
    if not runs:
        return Extent(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4), np.int64))
    lengths = np.concatenate(runs)
    num_runs = np.array([len(item) for item in runs])
    first = np.cumsum(num_runs) - num_runs
    inside = (_positions(num_runs) % 2 == 1) & (lengths > 0)
    pixels = np.add.reduceat(lengths, first)
    areas = np.add.reduceat(np.where(inside, lengths, 0), first)

    ends = np.cumsum(lengths)
    ends -= np.repeat(ends[first] - lengths[first], num_runs)
    height = np.repeat(np.asarray(heights, dtype=np.int64), num_runs)
    left, top = np.divmod(ends - lengths, height)
    right, bottom = np.divmod(ends - 1, height)
    crosses = left != right  # from one column into the next: through the last row and the first
    top, bottom = np.where(crosses, 0, top), np.where(crosses, height - 1, bottom)
    lefts, tops = (np.minimum.reduceat(np.where(inside, edge, NOWHERE), first) for edge in (left, top))
    rights, bottoms = (np.maximum.reduceat(np.where(inside, edge, -1), first) for edge in (right, bottom))
    boxes = np.stack([lefts, tops, rights - lefts + 1, bottoms - tops + 1], axis=1)
    boxes[areas == 0] = 0
    return Extent(pixels, areas, boxes)


def draw(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    """The mask (height, width) bool of runs that add up to height * width."""
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def _listed_runs(counts: Any) -> np.ndarray | str:
    """Runs that are a list of numbers already; a string is left to `_decode`."""
    if not isinstance(counts, list):
        return "an empty string" if isinstance(counts, str | bytes) else f"{type(counts).__name__}"
    for index, run in enumerate(counts):
        if type(run) is not int or not 0 <= run <= MAX_RUN:
            return f"run {index} that is no length in pixels"
    return np.array(counts, dtype=np.int64) if counts else "an empty list"


def _decode(strings: list[bytes]) -> list[np.ndarray | str]:
    """Runs of compressed RLEs, none of them empty, or what is wrong with each."""
    if not strings:
        return []
    digits = np.frombuffer(b"".join(strings), dtype=np.uint8) - np.uint8(48)  # below "0" wraps around
    string_ends = np.cumsum([len(string) for string in strings])
    last = np.flatnonzero(digits & 32 == 0)
    num_digits = np.diff(last, prepend=-1)
    whole = digits.max() <= 63 and (digits[string_ends - 1] & 32 == 0).all() and num_digits.max() <= MAX_DIGITS
    if not whole:
        return ["a string that is no RLE"] if len(strings) == 1 else [_decode([string])[0] for string in strings]

    values = np.where(digits[last] & 16, -1, 0).astype(np.int64) << 5 * num_digits
    for place in range(num_digits.max()):
        longer = np.flatnonzero(num_digits > place)
        digit = digits[last[longer] - num_digits[longer] + 1 + place] & 31
        values[longer] += digit.astype(np.int64) << 5 * place
    num_runs = np.diff(np.searchsorted(last, string_ends), prepend=0)
    _add_differences(values, num_runs)
    ends = np.cumsum(num_runs)
    return [
        runs if runs.min() >= 0 and runs.max() <= MAX_RUN else "a run of negative or huge length"
        for runs in (values[end - length : end] for end, length in zip(ends, num_runs, strict=True))
    ]


def _add_differences(values: np.ndarray, num_runs: np.ndarray) -> None:
    """Make runs of differences, in place: in each string, of the even ones from 2 on, and of the odd ones."""
    positions = _positions(num_runs)
    for parity in (0, 1):
        is_chained = (positions % 2 == parity) & (positions > 0)
        num_chained = (num_runs - 1 + parity) // 2
        sums = np.cumsum(values[is_chained])
        before = np.append(0, sums)[np.cumsum(num_chained) - num_chained]
        values[is_chained] = sums - np.repeat(before, num_chained)


def _positions(group_sizes: np.ndarray) -> np.ndarray:
    """0, 1, 2, ... within each of several groups that follow one another."""
    return np.arange(group_sizes.sum()) - np.repeat(np.cumsum(group_sizes) - group_sizes, group_sizes)
