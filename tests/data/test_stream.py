# SPDX-License-Identifier: Apache-2.0
"""The stream of training samples: what each position shows, whoever asks for it."""

import itertools
import random
from collections import Counter

import numpy as np
import pytest
import torch
from detectron2.utils import comm

from ifc.data.stream import BLOCK, ClipStream, RecordOrder, StreamBatches, seeded
from ifc.ytvis.images import BadImageError


def drawn(order: RecordOrder, seed: int, start: int, count: int) -> list[int]:
    return [order.record(seed, position) for position in range(start, start + count)]


@pytest.mark.parametrize("sizes", [[7], [3, 4], [BLOCK + 3], [1]])
def test_every_record_once_in_each_epoch(sizes):
    """In another order each time, and with another seed."""
    order, size = RecordOrder(sizes), sum(sizes)
    epochs = [drawn(order, 0, epoch * size, size) for epoch in range(3)]
    assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
    if size > 1:
        assert len({*map(tuple, epochs), tuple(drawn(order, 1, 0, size))}) == 4


def test_ratio_holds_in_every_block_and_each_data_set_has_epochs():
    order = RecordOrder([30, 5, 700], [1, 1, 2.0])
    records = drawn(order, 3, 0, 2 * BLOCK)
    datasets = [np.searchsorted([30, 35], record, side="right") for record in records]
    for block in (datasets[:BLOCK], datasets[BLOCK:]):
        assert Counter(block) == {0: BLOCK // 4, 1: BLOCK // 4, 2: BLOCK // 2}
    seen = Counter(records)
    small = [seen[record] for record in range(35)]
    assert max(small[:30]) - min(small[:30]) <= 2 and set(small[30:]) == {100}  # 500 draws each
    assert len({record for record in seen if record >= 35}) == 700  # 1000 draws
    assert sum(a != b for a, b in itertools.pairwise(datasets)) > BLOCK  # mixed, not one after the other


def test_order_does_not_depend_on_what_was_asked_before():
    positions = random.Random(0).sample(range(10 * BLOCK), 200)
    expected = [RecordOrder([40, 60], [1, 3]).record(5, position) for position in positions]
    order = RecordOrder([40, 60], [1, 3])
    assert [order.record(5, position) for position in reversed(positions)] == expected[::-1]


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_batches_are_the_same_for_any_number_of_processes(monkeypatch, world_size):
    shares = []
    for rank in range(world_size):
        monkeypatch.setattr(comm, "get_world_size", lambda: world_size)
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        batches = StreamBatches(8)
        batches.first = 5
        shares.append(list(itertools.islice(batches, 3)))
    whole = [list(itertools.chain(*parts)) for parts in zip(*shares, strict=True)]
    assert whole == [list(range(8 * batch, 8 * batch + 8)) for batch in (5, 6, 7)]


def random_numbers(record: int = 0) -> dict[str, float]:
    return {"record": record, "numpy": np.random.rand(), "python": random.random(), "torch": torch.rand(()).item()}


def test_samples_follow_from_seed_and_position_alone():
    stream = ClipStream(range(5), RecordOrder([5]), random_numbers, seed=0)
    samples = [stream[position] for position in range(20)]
    random_numbers()
    assert [stream[position] for position in reversed(range(20))] == samples[::-1]
    for name in ("numpy", "python", "torch"):
        assert len({sample[name] for sample in samples}) == 20
    stream.seed = 1
    assert not {stream[position]["numpy"] for position in range(20)} & {sample["numpy"] for sample in samples}


def test_several_samples_of_a_record():
    """One after the other, each with its own random numbers; the order of the records stays."""
    single = ClipStream(range(5), RecordOrder([5]), random_numbers, seed=0)
    stream = ClipStream(range(5), RecordOrder([5]), random_numbers, 0, 3)
    samples = [stream[position] for position in range(30)]
    assert [sample["record"] for sample in samples[::3]] == [single[position]["record"] for position in range(10)]
    assert all(sample["record"] == samples[i // 3 * 3]["record"] for i, sample in enumerate(samples))
    assert len({sample["numpy"] for sample in samples}) == 30
    assert [stream[position] for position in reversed(range(30))] == samples[::-1]


def test_generators_go_on_as_if_no_sample_had_been_made():
    with seeded(1):
        expected = [random_numbers(), random_numbers()]
    with seeded(1):
        found = [random_numbers()]
        with seeded(2):
            random_numbers()
        found.append(random_numbers())
    assert found == expected


def test_the_next_record_stands_in_for_one_that_cannot_be_read():
    def read(record: int) -> dict[str, float]:
        np.random.rand()
        if record in broken:
            raise BadImageError(f"{record}.jpg", "damaged frame", "noise", "an image")
        return random_numbers(record)

    stream, broken = ClipStream(range(5), RecordOrder([5]), read, seed=0), ()
    whole = {sample["record"]: (position, sample) for position, sample in enumerate(map(stream.__getitem__, range(5)))}
    broken = (3, 4)
    position, sample = whole[3]
    found = stream[position]
    assert [index for index, _ in found.pop("unreadable")] == [3, 4]
    assert found == sample | {"record": 0}  # with the random numbers of the position
    assert "unreadable" not in stream[whole[1][0]]
    broken = range(5)
    with pytest.raises(BadImageError):
        stream[0]
