# SPDX-License-Identifier: Apache-2.0
"""Run-length masks of unknown origin, measured without being drawn, in memory in proportion to their text.

`ifc.ytvis.rle` says how a compressed one is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .rle import as_bytes, decode

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
    strings = {index: as_bytes(item) for index, item in enumerate(counts) if isinstance(item, str | bytes) and item}
    for index, decoded in zip(strings, _compressed_runs(list(strings.values())), strict=True):
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
    """Runs that are a list of numbers already; a string is left to `_compressed_runs`."""
    if not isinstance(counts, list):
        return "an empty string" if isinstance(counts, str | bytes) else f"{type(counts).__name__}"
    for index, run in enumerate(counts):
        if type(run) is not int or not 0 <= run <= MAX_RUN:
            return f"run {index} that is no length in pixels"
    return np.array(counts, dtype=np.int64) if counts else "an empty list"


def _compressed_runs(strings: list[bytes]) -> list[np.ndarray | str]:
    """Runs of compressed RLEs, none of them empty, or what is wrong with each."""
    decoded = decode(strings) if strings else None
    if decoded is not None:
        runs = [decoded.of(index) for index in range(len(decoded))]
        return [item if item.max() <= MAX_RUN else "a run of huge length" for item in runs]
    if len(strings) < 2:
        return ["a string that is no RLE"] * len(strings)
    return [_compressed_runs([string])[0] for string in strings]


def _positions(group_sizes: np.ndarray) -> np.ndarray:
    """0, 1, 2, ... within each of several groups that follow one another."""
    return np.arange(group_sizes.sum()) - np.repeat(np.cumsum(group_sizes) - group_sizes, group_sizes)
