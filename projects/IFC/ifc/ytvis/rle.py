# SPDX-License-Identifier: Apache-2.0
"""Run lengths of compressed masks of unknown origin, read without trust.

pycocotools reads beyond the end of a malformed string, takes one that ends too early without a word, and believes any
size; nothing reaches it unchecked. What is done here takes memory in proportion to the text, not to the pixels that it
claims.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MAX_DIGITS = 7  # that a number below 2**32 and its sign can take


@dataclass(frozen=True)
class Runs:
    """The run lengths of K masks, as one array.

    A mask's pixels go down its columns, from left to right; runs of background and object alternate, background first.

    Attributes:
        lengths: (2P,) int64, none negative: runs of an object and of background in turns. Before each mask's first run
            there is an object's of no pixels, so that what is at an even place is always an object's run; and after a
            last run of an object there is one of no pixels, too.
        starts: (K,) int64, where in `lengths` each mask starts, with the run that was put before it.
        num_runs: (K,) int64, without those that were put in.
    """

    lengths: np.ndarray
    starts: np.ndarray
    num_runs: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def of(self, index: int) -> np.ndarray:
        """The run lengths of one mask."""
        first = self.starts[index] + 1
        return self.lengths[first : first + self.num_runs[index]]

    def totals(self) -> np.ndarray:
        """(K,) int64, the pixels of each mask, object and background."""
        return np.add.reduceat(self.lengths, self.starts)

    def areas(self) -> np.ndarray:
        """(K,) int64, the pixels of each mask's object."""
        return np.add.reduceat(self.lengths[::2], self.starts // 2)

    def have_empty(self) -> np.ndarray:
        """(K,) bool, whether a mask has runs of no pixels besides its first."""
        empty = self.lengths == 0
        usual = 2 - self.num_runs % 2 + empty[self.starts + 1]  # those put in, and a first one
        if np.count_nonzero(empty) == usual.sum():
            return np.zeros(len(self), dtype=bool)
        return np.add.reduceat(empty, self.starts, dtype=np.int64) > usual


def decode(strings: Sequence[bytes]) -> Runs | None:
    """Decode compressed run-length masks; None if any of them is malformed. See `as_bytes` for texts.

    A run is written as a number in digits of 5 bits, lowest first, each a character from "0" on; bit 5 says that
    another digit follows, bit 4 of the last one is the sign. From the fourth run on, the number is the difference to
    the run before the last one (pycocotools' maskApi.c, `rleToString`).

    Args:
        strings: at least one.
    """
    string_lengths = np.array([len(string) for string in strings])
    if not string_lengths.all():
        return None
    digits = np.frombuffer(b"".join(strings), dtype=np.uint8) - np.uint8(ord("0"))  # below "0" wraps around
    string_ends = np.cumsum(string_lengths)
    last = np.flatnonzero(digits < 32)
    if digits.max() > 63 or (digits[string_ends - 1] > 31).any():
        return None
    num_digits = np.diff(last, prepend=-1)
    if num_digits.max() > MAX_DIGITS:
        return None
    numbers = (digits[last] ^ 16).astype(np.int64) - 16
    longer = np.flatnonzero(num_digits > 1)
    for place in range(1, num_digits.max()):
        numbers[longer] = 32 * numbers[longer] + (digits[last[longer] - place] & 31)
        longer = longer[num_digits[longer] > place + 1]

    num_runs = np.diff(np.searchsorted(last, string_ends), prepend=0)
    sizes = num_runs // 2 * 2 + 2
    ends = np.cumsum(sizes)
    starts, ends_in_object = ends - sizes, num_runs % 2 == 0
    is_put_in = np.zeros(ends[-1], dtype=bool)
    is_put_in[starts] = True
    is_put_in[ends[ends_in_object] - 1] = True
    lengths = np.zeros(ends[-1], dtype=np.int64)
    lengths[~is_put_in] = numbers
    first = lengths[starts + 1]
    lengths[starts + 1] = 0  # nothing is a difference to it
    pairs = lengths.reshape(-1, 2)
    np.cumsum(pairs, axis=0, out=pairs)
    sums_before = pairs[starts[1:] // 2 - 1]
    pairs[sizes[0] // 2 :] -= np.repeat(sums_before, sizes[1:] // 2, axis=0)
    lengths[ends[ends_in_object] - 1] = 0
    lengths[starts + 1] = first
    return None if lengths.min() < 0 else Runs(lengths, starts, num_runs)


def as_bytes(counts: str | bytes) -> bytes:
    """The characters of a compressed mask; others than ASCII become bytes that no mask has."""
    return counts if isinstance(counts, bytes) else counts.encode("utf-8", errors="surrogatepass")
