# SPDX-License-Identifier: Apache-2.0
"""The program that compares two ways from logits to RLE."""

import importlib
from pathlib import Path

import pytest
import torch

SIZE = (48, 80)


@pytest.fixture
def tool(monkeypatch):
    """The program, as a module."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "tools")
    return importlib.import_module("benchmark_rle")


def test_the_plain_way_gives_the_same(tool):
    frames = [tool.ellipse_logits(count, (6, 10), seed=count) for count in (3, 20)]
    frames[0][1] = -1
    plain = tool.encode_plainly(frames, SIZE)
    assert plain == tool.encode_frames(frames, SIZE)
    assert [len(rles) for rles in plain] == [3, 20] and plain[0][1] is None


def test_different_pixels_are_counted(tool):
    logits = torch.tensor([[[1.0, 1.0]], [[1.0, -1.0]], [[-1.0, -1.0]]])
    full, half, empty = tool.encode_frames([logits], (4, 6))[0]
    assert tool.count_different_pixels([full, half, empty], [full, empty, full], (4, 6)) == 0 + 12 + 24


def test_table(tool, monkeypatch, capsys):
    """Of three runs the median; the times of frames that are encoded together are those of one."""
    times = iter([9, 1, 8, 4, 7, 2] * 2)
    monkeypatch.setattr(tool, "seconds", lambda work, device: next(times))
    arguments = "--masks 2 5 --frames 2 --input-size 6 10 --output-size 48 80 --repeat 3"
    assert tool.main(arguments.split()) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows == [["2", "4000.00", "1000.00", "4.0", "0"], ["5", "4000.00", "1000.00", "4.0", "0"]]


def test_time_of_a_call(tool):
    calls = []
    assert tool.seconds(lambda: calls.append(1), torch.device("cpu")) > 0
    assert calls == [1]


@pytest.mark.parametrize("arguments", ["--masks 3 0", "--frames 0", "--input-size 0 4", "--threads 0", "--repeat -1"])
def test_wrong_numbers(tool, capsys, arguments):
    with pytest.raises(SystemExit) as end:
        tool.main(arguments.split())
    assert end.value.code == 2
    option = arguments.split()[0]
    assert f"{option}: found" in capsys.readouterr().err
