# SPDX-License-Identifier: Apache-2.0
"""The program that watches time and memory through a long video."""

import json
from pathlib import Path

import numpy as np
import pytest
from tools.loading import load_tool

ROOT = Path(__file__).parents[2]
TINY = ROOT / "configs" / "quick_schedules" / "shapes_tiny"
ARGUMENTS = ["--config-file", f"{TINY}.yaml", "--weights", f"{TINY}.pth", "--size", "64", "96"]


@pytest.fixture(scope="module")
def tool():
    return load_tool("benchmark_stream")


def test_video_goes_there_and_back(tool):
    frames = list(tool.long_video(250, (64, 96), 2, 0))
    assert len(frames) == 250 and frames[0].shape == (64, 96, 3)
    assert np.array_equal(frames[99 + 30], frames[99 - 30]) and np.array_equal(frames[198 + 7], frames[7])
    assert len(list(tool.long_video(5, (64, 96), 2, 0))) == 5


def test_program(tool, tmp_path, capsys):
    path = tmp_path / "numbers.json"
    options = ["--length", "25", "--part", "10", "--json", str(path), "MODEL.IFC.APPLY_CLS_THRES", "0.1"]
    assert tool.main([*ARGUMENTS, *options]) == 0
    report = json.loads(path.read_text())
    assert [part["end"] for part in report["parts"]] == [10, 20, 25]
    assert all(part["seconds"] > 0 and part["memory"] > 2**20 for part in report["parts"])
    kept = [part["rle_bytes"] for part in report["parts"]]
    assert 0 < kept[0] < kept[1] < kept[2]
    text = capsys.readouterr().out
    assert text.count(" ms a frame") == 3 and "last part / first part" in text


def test_summary_by_hand(tool):
    parts = [
        {"end": 10, "seconds": 2.0, "cpu_seconds": 3.0, "memory": 1000, "rle_bytes": 100},
        {"end": 20, "seconds": 9.0, "cpu_seconds": 9.0, "memory": 1800, "rle_bytes": 250},
        {"end": 25, "seconds": 1.5, "cpu_seconds": 1.5, "memory": 2500, "rle_bytes": 400},
    ]
    ratios = {"time_ratio": pytest.approx(1.5), "cpu_ratio": pytest.approx(1.0)}
    assert tool.summary(parts) == {**ratios, "growth": 100, "rle_growth": 20}


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--length", "5", "--part", "5"], "--part: found 5"), (["MODEL.DEVICE", "tpu"], "MODEL.DEVICE: found 'tpu'")],
)
def test_bad_options_end_with_one_clear_error(tool, capsys, options, message):
    assert tool.main([*ARGUMENTS, *options]) == 1
    assert message in capsys.readouterr().err
