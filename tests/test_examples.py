# SPDX-License-Identifier: Apache-2.0
"""The programs of examples/ do what they say, on the toy model."""

import re
import runpy
import sys
from pathlib import Path

import pytest

from ifc.video import VideoWriter
from ifc.ytvis.datasets.shapes import render_video

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("examples") / "shapes.mp4"
    with VideoWriter(path, 10) as writer:
        for frame in render_video(3, 160, 240, 8).frames:
            writer.write(frame)
    return str(path)


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs an example, and gives what it prints."""

    def run(name, argument):
        monkeypatch.setattr(sys, "argv", [name, str(argument)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run


def test_print_tracks(run, video):
    lines = run("print_tracks.py", video)
    assert lines and all(re.fullmatch(r"#\d+ \w+ [01]\.\d\d: frames \d to \d", line) for line in lines)


def test_mask_areas(run, video):
    lines = run("mask_areas.py", video)
    covered = [float(re.fullmatch(r"frame \d: #\d+ \w+ covers (\d+\.\d) %", line)[1]) for line in lines]
    assert {line.partition(":")[0] for line in lines} == {f"frame {i}" for i in range(8)}
    assert max(covered) > 1 and all(percent <= 100 for percent in covered)


def test_camera(run, video):
    lines = run("camera.py", video)
    assert [line.partition(":")[0] for line in lines] == [f"frame {i}" for i in range(8)]
    assert not all(line.endswith("nothing") for line in lines)


def test_count_crossings(run, video):
    pytest.importorskip("supervision")
    (line,) = run("count_crossings.py", video)
    assert re.fullmatch(r"\d+ from left to right, \d+ from right to left", line)


def test_save_and_load(run, tmp_path):
    window, weights = run("save_and_load.py", tmp_path / "saved")
    assert window.startswith("3 frames a window") and "disk, square" in window
    assert re.fullmatch(r"weights [0-9a-f]{64}", weights)
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == ["config.json", "model.safetensors"]


def test_export_onnx(exported_toy):
    """Run once for all tests."""
    _, lines = exported_toy
    assert "(1, 20, 7)" in lines[-2] and "(1, 20, 64)" in lines[-2] and "(1, 20, 5, 12, 16)" in lines[-1]


def test_each_is_tested():
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in EXAMPLES.glob("*.py")} <= tested
