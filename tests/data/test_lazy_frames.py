# SPDX-License-Identifier: Apache-2.0
"""Frames that are read when they are asked for."""

import pickle

import pytest
import torch

from ifc.data.lazy_frames import LazyFrames

READ = []


def read(name: str) -> torch.Tensor:
    READ.append(name)
    if name == "broken":
        raise ValueError("broken: not readable as an image")
    return torch.tensor(int(name))


@pytest.fixture(autouse=True)
def nothing_read():
    READ.clear()


def test_like_a_list():
    frames = LazyFrames([str(i) for i in range(100)], read)
    assert len(frames) == 100 and READ == []
    assert frames[7] == 7 and frames[-1] == 99 and READ == ["7", "99"]
    assert torch.stack(list(frames)).tolist() == list(range(100))
    assert torch.stack(list(frames[10:16:2])).tolist() == [10, 12, 14]
    with pytest.raises(IndexError):
        frames[100]


def test_can_be_sent_to_another_process():
    assert torch.stack(list(pickle.loads(pickle.dumps(LazyFrames(["3", "4"], read))))).tolist() == [3, 4]


def test_an_error_comes_at_its_frame():
    frames = iter(LazyFrames(["0", "1", "broken", "3"], read))
    assert [next(frames).item(), next(frames).item()] == [0, 1]
    with pytest.raises(ValueError, match="broken: not readable"):
        next(frames)
