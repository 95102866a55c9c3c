# SPDX-License-Identifier: Apache-2.0
"""The endless stream of training samples, each of which is a function of a seed and of its position alone.

A run that is resumed goes on at the position where it ended, and sees what it would have seen, with any number of
workers and of processes.
"""

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from detectron2.utils import comm
from torch.utils.data import Dataset, Sampler

from ..ytvis.images import BadImageError

Record = dict[str, Any]
BLOCK = 1000  # positions in which a ratio of data sets holds exactly, but for rounding
UNREADABLE = "unreadable"  # a sample's key for what was wrong with the records that it stands in for


class RecordOrder:
    """Which record each position of the stream shows: every data set is gone through in a new random order each time.

    Args:
        sizes: records of each data set; they follow one another.
        ratio: how much of the stream each of them makes up; empty: as much as it has records.
    """

    def __init__(self, sizes: Sequence[int], ratio: Sequence[float] = ()):
        if not ratio:
            sizes, ratio = [sum(sizes)], [1.0]
        self.sizes = tuple(sizes)
        self.offsets = tuple(itertools.accumulate(sizes, initial=0))
        bounds = np.round(np.cumsum(ratio) / sum(ratio) * BLOCK).astype(int)
        self.shares = tuple(np.diff(bounds, prepend=0).tolist())  # positions of a block, by data set

    def record(self, seed: int, position: int) -> int:
        """The index of the record at a position, from 0."""
        block, place = divmod(position, BLOCK)
        datasets, draws = _block(self.shares, seed, block)
        dataset, size = datasets[place], self.sizes[datasets[place]]
        epoch, draw = divmod(block * self.shares[dataset] + int(draws[place]), size)
        return self.offsets[dataset] + int(_shuffled(size, (seed, 1, dataset, epoch))[draw])


@lru_cache(maxsize=2)
def _block(shares: tuple[int, ...], seed: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """For each place of a block its data set, and how many places before it have the same."""
    datasets = np.repeat(np.arange(len(shares)), shares)[_shuffled(BLOCK, (seed, 0, block))]
    draws = np.empty(BLOCK, dtype=int)
    for dataset, share in enumerate(shares):
        draws[datasets == dataset] = np.arange(share)
    return datasets, draws


@lru_cache(maxsize=16)  # two epochs of each of a few data sets
def _shuffled(size: int, seed: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).permutation(size)


class ClipStream(Dataset):
    """Samples by their position in the stream.

    Args:
        records: of all data sets.
        order: see `RecordOrder`.
        mapper: record -> sample, with NumPy's, Python's or torch's global generators for what is random.
        samples_per_record: positions that follow each other and show the same record.

    Attributes:
        seed: may be set until the first sample is asked for.
    """

    def __init__(
        self,
        records: Sequence[Record],
        order: RecordOrder,
        mapper: Callable[[Record], dict],
        seed: int,
        samples_per_record: int = 1,
    ):
        self.records = records
        self.order = order
        self.mapper = mapper
        self.seed = seed
        self.samples_per_record = samples_per_record

    def __getitem__(self, position: int) -> dict[str, Any]:
        """The sample at a position. Where a frame of its record cannot be read, the next record that can be stands in,
        and its key "unreadable" lists what was wrong: (record, message) of each.

        Raises:
            BadImageError: no record can be read.
        """
        index, unreadable = self.order.record(self.seed, position // self.samples_per_record), []
        while True:
            try:
                with seeded(self.seed, position):
                    sample = self.mapper(self.records[index])
                return sample | {UNREADABLE: unreadable} if unreadable else sample
            except (BadImageError, OSError) as error:
                unreadable.append((index, str(error)))
                if len(unreadable) == len(self.records):
                    raise
                index = (index + 1) % len(self.records)


class StreamBatches(Sampler[list[int]]):
    """The positions of each batch that fall to this process. A whole batch is the same for any number of processes.

    Args:
        batch_size: clips of a batch, over all processes.

    Attributes:
        first: the batch to begin with.
    """

    def __init__(self, batch_size: int):
        self.batch_size = batch_size
        self.first = 0

    def __iter__(self) -> Iterator[list[int]]:
        share = self.batch_size // comm.get_world_size()
        for batch in itertools.count(self.first):
            start = batch * self.batch_size + comm.get_rank() * share
            yield list(range(start, start + share))


def derived_seed(*words: int) -> int:
    """A seed below 2³² that follows from some non-negative numbers."""
    return int(np.random.SeedSequence(words).generate_state(1)[0])


@contextlib.contextmanager
def seeded(*words: int) -> Iterator[None]:
    """Seed the global generators on the CPU for a block, and leave them as they were."""
    seed = derived_seed(*words)
    states = np.random.get_state(), random.getstate(), torch.get_rng_state()
    np.random.seed(seed)
    random.seed(seed)
    torch.random.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        np.random.set_state(states[0])
        random.setstate(states[1])
        torch.set_rng_state(states[2])
