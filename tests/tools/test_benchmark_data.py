# SPDX-License-Identifier: Apache-2.0
"""The program that times the training mapper and weighs the loader's workers."""

import importlib.util
import json
import multiprocessing
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from ifc.data import load_ytvis_json

ROOT = Path(__file__).parents[2]
PARTS = ["record", "JPEG decode", "augmentation", "masks", "rest"]


@pytest.fixture
def tool(monkeypatch):
    """The program, as a module, with small videos."""
    spec = importlib.util.spec_from_file_location("benchmark_data", ROOT / "tools" / "benchmark_data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "NUM_VIDEOS", 2)
    monkeypatch.setattr(module, "WORKLOADS", {"small": module.Workload(96, 160, length=4, num_instances=2)})
    return module


def run(tool, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["benchmark_data.py", *arguments])
    tool.main()


def test_speed(tool, monkeypatch, tmp_path, capsys):
    run(tool, monkeypatch, "speed", "--rounds", "1", "--samples", "2", "--json", str(tmp_path / "speed.json"))
    numbers = json.loads((tmp_path / "speed.json").read_text())
    assert list(numbers) == ["speed"]
    result = numbers["speed"]["small"]
    for name in ("mapper", "reduced decode", "plain mapper"):
        assert list(result[name]["parts_ms"]) == PARTS
        assert all(result[name]["parts_ms"][part] > 0 for part in PARTS[:-1])
    ratio = result["mapper"]["samples_per_second"] / result["plain mapper"]["samples_per_second"]
    assert result["mapper"]["times_faster"] == pytest.approx(ratio)
    printed = capsys.readouterr().out
    assert re.search(r"small: 96x160, 4 frames, 2 instances, \d+ kB a frame", printed)
    assert all(re.search(rf"{part} +\d", printed) for part in PARTS[:-1])


def test_no_reduced_decoding_with_crops(tool, monkeypatch, capsys):
    coco = str(ROOT / "projects" / "IFC" / "configs" / "base_coco.yaml")
    run(tool, monkeypatch, "speed", "--config-file", coco, "--rounds", "1", "--samples", "1")
    assert re.search(r"CPU ms a sample +mapper +plain mapper\n", capsys.readouterr().out)


def test_mappers_that_differ_are_found(tool):
    clip = {"image": [torch.zeros(3, 4, 4, dtype=torch.uint8)], "instances": []}
    tool.check_same(clip, {"image": [clip["image"][0] + 1], "instances": []})
    with pytest.raises(RuntimeError, match="images differ"):
        tool.check_same(clip, {"image": [clip["image"][0] + 2], "instances": []})


def test_large_json_is_one_to_train_on(tool, tmp_path):
    path = tool.write_large_json(tmp_path / "large.json", num_videos=3, num_instances=8, length=5)
    records = load_ytvis_json(str(path), str(tmp_path))
    assert [record["length"] for record in records] == [5] * 3
    assert sum(len(record["annotations"]) for record in records) == 8
    segmentations = [entry for record in records for track in record["annotations"] for entry in track["segmentations"]]
    assert 0 < segmentations.count(None) < len(segmentations)


@pytest.mark.parametrize("packed", [True, False])
def test_memory(tool, tmp_path, packed):
    """Workers that write to memory which they share with their parent have it for themselves from then on."""
    path = tool.write_large_json(tmp_path / "large.json", num_videos=20, num_instances=40, length=5)
    results = multiprocessing.SimpleQueue()
    before = multiprocessing.get_start_method()
    tool.measure_memory(str(path), packed, "fork", 2, results)
    multiprocessing.set_start_method(before, force=True)
    result = results.get()
    assert result["workers"] == 2
    for moment in ("before", "after"):
        assert 0 < result[moment]["private"] <= result[moment]["pss"]
    assert ("packed_megabytes" in result) == packed


def test_memory_of_processes(tool):
    """What a process writes to is its own."""
    block = np.ones(30_000_000, dtype=np.uint8)
    ready, end = multiprocessing.SimpleQueue(), multiprocessing.SimpleQueue()

    def touch():
        ready.put(0)
        end.get()
        block[:] = 2
        ready.put(0)
        end.get()

    process = multiprocessing.Process(target=touch)
    process.start()
    ready.get()
    before = tool.memory_of([process])
    end.put(0)
    ready.get()
    after = tool.memory_of([process])
    end.put(0)
    process.join()
    assert 29 < after["private"] - before["private"] < 40
    assert 14 < after["pss"] - before["pss"] < 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["speed", "--rounds", "0"], "error: --rounds, --samples, .*: expected at least 1"),
        (["speed", "--config-file", "nowhere.yaml"], "error: --config-file nowhere.yaml: no such file"),
    ],
)
def test_what_cannot_run(tool, monkeypatch, arguments, message):
    with pytest.raises(SystemExit, match=message):
        run(tool, monkeypatch, *arguments)
