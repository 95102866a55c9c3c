# SPDX-License-Identifier: Apache-2.0
"""tools/benchmark_metric.py: that its cases are what they are said to be, and that a difference would be found."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import ifc  # noqa: F401 - all of it, before the tool would load a part

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    spec = importlib.util.spec_from_file_location("benchmark_metric", TOOLS / "benchmark_metric.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "benchmark_metric", module)  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def test_all_cases_run(benchmark):
    rows = [*benchmark.crowded(length=2), *benchmark.long(length=2100), *benchmark.validation(2, 20)]
    assert [row[0] for row in rows] == [
        "crowded: IoUs",
        "crowded: IoUs, pair by pair",
        "crowded: all, with reading and checking",
        "long: all",
        "validation: files to numbers",
    ]
    assert all(re.fullmatch(r"\d+\.\d\d", seconds) for row in rows for seconds in row[1:3])
    assert "times as fast" in rows[0][3]
    assert rows[3][3] == "exact at 4.35e+09 pixels"
    assert re.fullmatch(r"2 videos, 20 results in 0 MiB; peak \d+\.\d+ GiB", rows[4][3])


def test_a_difference_is_found(benchmark, monkeypatch):
    exact = benchmark.track_ious
    monkeypatch.setattr(benchmark, "track_ious", lambda *tracks: np.nextafter(exact(*tracks), 1))
    with pytest.raises(AssertionError, match="the IoUs differ by up to"):
        benchmark.crowded(length=1)
    with pytest.raises(AssertionError, match="found IoU"):
        benchmark.long(length=2)


def test_the_validation_split_has_its_size(benchmark, tmp_path):
    gt, results = benchmark.write_validation_split(tmp_path, num_videos=5, num_results=33, num_categories=7)
    ground_truth, found = json.loads(gt.read_text()), json.loads(results.read_text())
    assert len(ground_truth["videos"]) == 5
    assert len(ground_truth["categories"]) == 7
    assert len(found) == 33
    assert {track["video_id"] for track in found} == {1, 2, 3, 4, 5}
    assert benchmark.evaluate_tracks(ground_truth, found).stats[8] >= 0  # the tool reads it
