# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks measure with: runs, memory, tables and synthetic annotations."""

import mmap
import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ifc.benchmark.measuring import in_own_process, report_text
from ifc.benchmark.runs import UNTIMED, measure
from ifc.benchmark.scripted import ScriptedNetwork, class_logits, shape_logits
from ifc.benchmark.shapes_data import render_content, stretched, there_and_back, write_dataset
from ifc.benchmark.workers import memory_of, worker_memory
from ifc.data import load_ytvis_json
from ifc.modeling import ClipPrediction
from ifc.monitoring.memory import host_memory
from ifc.regions import region
from ifc.ytvis.files import write_json
from ifc.ytvis.ground_truth import read_ground_truth

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return render_content(tmp_path_factory.mktemp("shapes"), 2, (48, 80), length=3)


def test_the_median_run_is_reported():
    """The runs are told apart by a region that each has of its own."""
    pauses = iter([9, 0, 0.6, 0.3])

    def run() -> None:
        pause = next(pauses)
        with region(f"a pause of {pause}"):
            time.sleep(pause if pause < 1 else 0)
        with region(UNTIMED):
            time.sleep(0.1)

    column = measure(run, "rest", CPU, repeat=3, warmup=1)
    assert list(column)[:4] == ["a pause of 0.3", "rest", "total", "processor time"]
    assert column["total"] == column["a pause of 0.3"] + column["rest"]


def test_on_a_gpu_the_total_is_that_of_runs_without_waiting(monkeypatch):
    waits = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waits.append(device))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 5 * 2**20)
    waits_of_runs = []

    def run() -> None:
        before = len(waits)
        with region("inside"):
            pass
        waits_of_runs.append(len(waits) - before)

    column = measure(run, "rest", torch.device("cuda"), repeat=2, warmup=1)
    assert waits_of_runs == [0, 2, 2, 0, 0]
    assert column["GPU memory, peak MiB"] == 5 and {"inside", "rest", "total"} <= set(column)


def test_host_memory_sees_an_allocation():
    size = 64 * 2**20
    now, peak = host_memory()
    assert 2**20 < now <= peak
    with mmap.mmap(-1, size) as block:  # not from the heap, which may have as much to spare
        block.write(b"x" * size)
        grown, grown_peak = host_memory()
    assert grown > now + 0.9 * size and grown_peak >= grown and host_memory()[0] < grown - 0.9 * size


def test_host_memory_without_proc(monkeypatch):
    def fail(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", fail)
    now, peak = host_memory()
    assert now == peak > 2**20


def test_a_process_of_its_own_holds_no_memory_of_this_one():
    assert in_own_process(host_memory)[1] < host_memory()[0]  # in which torch is loaded


def test_what_has_no_row_in_common_is_not_in_one_table():
    long_name = "MODEL.IFC.PRECISION bfloat16"
    text = report_text({"a": {"one": 1, "two": 0.5}, long_name: {"two": 123456.7}, "c": {"three": 3}})
    first, second = text.split("\n\n")
    assert "0.500" in first and "123,457" in first and long_name in first and "(1)" in first
    assert "three" in second and "two" not in second


def test_frames_are_shown_there_and_back():
    assert list(there_and_back("abcd", 10)) == list("abcdcbabcd")
    assert list(there_and_back("ab", 4)) == list("abab") and list(there_and_back("a", 3)) == list("aaa")


def test_stretched_content_is_valid_and_as_large_as_asked_for(content, tmp_path):
    large = stretched(content, num_videos=5, num_tracks=13, length=7, num_categories=4)
    ground_truth = read_ground_truth(large)
    assert len(ground_truth.videos) == 5 and len(ground_truth.categories) == 4
    tracks = [track for of_video in ground_truth.tracks.values() for track in of_video]
    assert len(tracks) == 13 and all(len(track.masks) == 7 and track.area > 0 for track in tracks)
    write_json(tmp_path / "large.json", large)
    assert [record["length"] for record in load_ytvis_json(str(tmp_path / "large.json"), str(tmp_path))] == [7] * 5


def test_dataset_has_its_frames(tmp_path):
    json_file, frames = write_dataset(tmp_path, 2, (48, 80), length=20, num_instances=4, num_categories=6)
    records = load_ytvis_json(json_file, frames)
    assert [len(record["annotations"]) for record in records] == [4, 4]
    assert all(Path(name).is_file() for record in records for name in record["file_names"])


def test_shape_logits_are_different_soft_masks_of_real_size():
    logits = shape_logits(20, (45, 80))
    assert (
        logits.shape == (20, 45, 80)
        and logits.min() == -10
        and torch.equal(logits.amax((1, 2)), torch.full((20,), 10.0))
    )
    assert torch.equal(logits, shape_logits(20, (45, 80)))
    areas = (logits > 0).float().mean((1, 2))
    assert areas.median() > 0.005 and areas.max() < 0.3
    assert len({tuple(mask.flatten().tolist()) for mask in logits > 0}) == 20
    assert ((logits.sigmoid() - 0.5).abs() < 0.45).any((1, 2)).all()  # a soft edge
    assert (shape_logits(20, (4, 4)) > 0).any(2).any(1).all()  # none is lost on the smallest grid


@pytest.mark.parametrize(("num_classes", "num_labels"), [(40, 6), (6, 6), (2, 2), (1, 1)])
def test_class_logits(num_classes, num_labels):
    queries = torch.tensor([0, 3, 7])
    probs = class_logits(queries, 9, num_classes).softmax(-1)
    assert torch.nonzero(probs.argmax(-1) != num_classes)[:, 0].tolist() == queries.tolist()
    for found in probs[queries]:
        labels = found[:-1].sort(descending=True).values
        expected = 0.5 ** torch.arange(num_labels)
        assert torch.allclose(labels[:num_labels], expected / expected.sum())
        assert labels[num_labels - 1] > 0.015 and labels[num_labels:].sum() < 1e-6


def test_predictions_are_replaced_after_they_were_computed():
    class Network:
        device = CPU
        calls = []

        def predict_clips(self, features, num_frames):
            self.calls.append((features, num_frames))
            return ClipPrediction(torch.zeros(2, 9, 7), torch.zeros(2, 9, num_frames, 8, 12))

    network = ScriptedNetwork(Network(), 3)
    prediction = network.predict_clips("features", 4)
    assert network.device == CPU and network.calls == [("features", 4)]
    assert (prediction.pred_logits.argmax(-1) != 6).sum(1).tolist() == [3, 3]
    shown = (prediction.pred_masks > 0).flatten(3).any(3)  # (B, Q, T)
    assert torch.equal(shown.all(2), prediction.pred_logits.argmax(-1) != 6)


@pytest.mark.parametrize("packed", [True, False])
def test_worker_memory(content, tmp_path, packed):
    path = tmp_path / "large.json"
    write_json(path, stretched(content, num_videos=20, num_tracks=40, length=5, num_categories=3))
    before = multiprocessing.get_start_method()
    try:
        column = worker_memory(str(path), packed, "fork", workers=2)
    finally:
        multiprocessing.set_start_method(before, force=True)
    for moment in ("before", "after"):
        assert 0 < column[f"not shared, MB {moment}"] <= column[f"PSS, MB {moment}"]
    assert ("packed records, MB" in column) == packed


def test_what_a_process_writes_to_is_its_own():
    block = np.ones(30_000_000, dtype=np.uint8)
    ready, end = multiprocessing.SimpleQueue(), multiprocessing.SimpleQueue()

    def touch() -> None:
        ready.put(0)
        end.get()
        block[:] = 2
        ready.put(0)
        end.get()

    process = multiprocessing.Process(target=touch)
    process.start()
    ready.get()
    before = memory_of([process])
    end.put(0)
    ready.get()
    after = memory_of([process])
    end.put(0)
    process.join()
    assert 29 < after["not shared"] - before["not shared"] < 40
    assert 14 < after["PSS"] - before["PSS"] < 30
