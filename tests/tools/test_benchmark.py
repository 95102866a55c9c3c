# SPDX-License-Identifier: Apache-2.0
"""The program that times inference by stage."""

import dataclasses
import importlib.util
import json
import mmap
import time
from pathlib import Path
from types import FunctionType, SimpleNamespace

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from detectron2.modeling import build_model

from ifc.engine import setup_config
from ifc.inference import ClipTracker
from ifc.inference import mask_encoding as run_lengths
from ifc.inference import video as video_engine
from ifc.video import VideoReader

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "configs" / "quick_schedules" / "shapes_tiny.yaml")
BASE = str(ROOT / "projects" / "IFC" / "configs" / "base_ytvis.yaml")
OUTPUT_SIZE = (48, 80)
SMALL = "--length 4 --input-size 32 64 --output-size 48 80 --instances 3 --device cpu"
# What the tests count with, whatever the config says.
PINNED = "INPUT.SAMPLING_FRAME_NUM 3 MODEL.IFC.NUM_OBJECT_QUERIES 20 MODEL.IFC.NUM_CLASSES 6 MODEL.IFC.CLIP_STRIDE 1"


@pytest.fixture(scope="module")
def tool():
    """The program, as a module."""
    spec = importlib.util.spec_from_file_location("benchmark", ROOT / "tools" / "benchmark.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def make_model():
    """Builds the tiny model with config options."""

    def make(*opts: str):
        return build_model(setup_config(TINY, ["MODEL.DEVICE", "cpu", *PINNED.split(), *opts])).eval()

    return make


@pytest.fixture(scope="module")
def make_task(tool, tmp_path_factory):
    """Makes the task of a short video."""

    def make(length: int, num_instances: int):
        path = tmp_path_factory.mktemp("video") / "video.mp4"
        tool.write_video(path, length, OUTPUT_SIZE)
        return tool.Task(path, length, (32, 64), OUTPUT_SIZE, "RGB", num_instances)

    return make


class FakeTime:
    """A clock that the test moves."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def passes(self, seconds: float) -> None:
        self.now += seconds


def test_every_moment_belongs_to_the_innermost_stage(tool, monkeypatch):
    fake = FakeTime(monkeypatch)
    clock = tool.StageClock(torch.device("cpu"))
    inner = clock.timed(fake.passes, "inner")
    fake.passes(1000)
    with clock.stage("outer"):
        fake.passes(1)
        inner(2)
        fake.passes(4)
        with pytest.raises(ZeroDivisionError), clock.stage("fails"):
            fake.passes(8)
            raise ZeroDivisionError
        fake.passes(16)
        inner(32)
    fake.passes(1000)
    with clock.stage("outer"):
        fake.passes(64)
    assert clock.seconds == {"outer": 1 + 4 + 16 + 64, "inner": 2 + 32, "fails": 8}


def test_a_timed_function_is_the_function(tool):
    clock = tool.StageClock(torch.device("cpu"))
    assert clock.timed(divmod, "division")(7, 2) == (3, 1)
    assert clock.timed(sorted, "sorting")([1, 2], reverse=True) == [2, 1]
    assert set(clock.seconds) == {"division", "sorting"}


@pytest.mark.parametrize(("device", "waits"), [("cuda", 4), ("cpu", 0)])
def test_a_gpu_is_waited_for_where_stages_begin_and_end(tool, monkeypatch, device, waits):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    clock = tool.StageClock(torch.device(device))
    with clock.stage("outer"), clock.stage("inner"):
        pass
    assert waited == [torch.device(device)] * waits


def test_what_was_replaced_comes_back(tool):
    class Base:
        def greet(self):
            return "hello"

    class Owner(Base):
        def part(self):
            return "leave"

    owner, module, part = Owner(), torch.nn.ReLU(), Owner.part
    owner.word = "before"
    owners = [
        (owner, "word"),
        (owner, "part"),
        (owner, "greet"),
        (Owner, "part"),
        (Owner, "greet"),
        (module, "forward"),
    ]
    own = [dict(vars(o)) for o, _ in owners]
    for o, name in owners:
        with pytest.raises(KeyError), tool.replaced(o, name, lambda *args: "replaced"):
            assert getattr(o, name)() == "replaced"
            raise KeyError
    assert [dict(vars(o)) for o, _ in owners] == own
    assert (owner.word, owner.part(), owner.greet(), Owner.part) == ("before", "leave", "hello", part)
    assert module(torch.tensor(-1.0)) == 0


def test_host_memory_sees_an_allocation(tool):
    size = 64 * 2**20
    now, peak = tool.host_memory()
    assert 2**20 < now <= peak
    with mmap.mmap(-1, size) as block:  # not from the heap, which may have as much to spare
        block.write(b"x" * size)
        grown, grown_peak = tool.host_memory()
    after, peak_after = tool.host_memory()
    assert grown > now + 0.9 * size and after < grown - 0.9 * size
    # Linux adds up the counters of the processors now and then, not always.
    assert grown_peak >= grown and peak_after > grown_peak - 2**20


def test_host_memory_without_proc_is_getrusage(tool, monkeypatch):
    def fail(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", fail)
    monkeypatch.setattr(tool.resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=1000))
    for platform, expected in (("linux", 1024000), ("darwin", 1000)):
        monkeypatch.setattr(tool.sys, "platform", platform)
        assert tool.host_memory() == (expected, expected)


@pytest.mark.parametrize("length", [1, 2, 30])
def test_video_has_its_length_and_goes_there_and_back(tool, tmp_path, length):
    path = tmp_path / "video.mp4"
    tool.write_video(path, length, OUTPUT_SIZE)
    reader = VideoReader(path)
    frames = np.stack(list(reader)).astype(int)
    assert frames.shape == (length, *OUTPUT_SIZE, 3)
    if length == 30:
        # Frames 0 … 11 and then 10 … 1, again and again; what a loop's jump would change is not compression's noise.
        def difference(a, b):
            return np.abs(frames[a] - frames[b]).mean()

        assert max(difference(10, 12), difference(1, 21), difference(0, 22), difference(7, 29)) < difference(0, 11) / 2


def test_frames_are_resized_as_the_loader_does_it(tool, make_task):
    task = make_task(3, 1)
    source, clock = VideoReader(task.video), tool.StageClock(torch.device("cpu"))
    # OUTPUT_SIZE with its shorter side made 32 is 32 x 53.
    rgb, bgr = (tool.DecodedFrames(source, (32, 53), image_format, clock) for image_format in ("RGB", "BGR"))
    loader = T.ResizeShortestEdge([32, 32], 1000)
    expected = [loader.get_transform(frame).apply_image(frame).transpose(2, 0, 1) for frame in source]
    for _ in range(2):
        assert np.array_equal(torch.stack(list(rgb)).numpy(), np.stack(expected))
    assert np.array_equal(torch.stack(list(bgr)).numpy(), np.stack(expected)[:, ::-1])
    ahead = tool.DecodedFrames(source, (32, 53), "RGB", clock, reads_ahead=True)
    assert np.array_equal(torch.stack(list(ahead)).numpy(), np.stack(expected))
    assert set(clock.seconds) == {"decoding"}


def test_only_decoding_counts_as_decoding(tool, make_task, monkeypatch):
    fake = FakeTime(monkeypatch)
    clock = tool.StageClock(torch.device("cpu"))

    def source():
        for _ in range(3):
            fake.passes(1)
            yield np.zeros((8, 8, 3), dtype=np.uint8)

    with clock.stage("other"):
        for _ in tool.DecodedFrames(source(), (4, 4), "RGB", clock):
            fake.passes(10)
    assert clock.seconds == {"decoding": 3, "other": 30}


def test_ellipses_have_sizes_of_real_objects_and_differ(tool):
    logits = tool.ellipse_logits(100, (45, 80))
    assert logits.shape == (100, 45, 80) and logits.dtype == torch.float32
    assert logits.min() == -10 and logits.max() <= 10
    assert torch.equal(logits, tool.ellipse_logits(100, (45, 80)))
    areas = (logits > 0).float().mean((1, 2))
    # An ellipse of axes a and b covers pi / 4 a b of the frame; the outline's waves and the grid change that a little.
    assert areas.min() > 0.7 * np.pi / 4 * 0.08**2 and areas.max() < 1.3 * np.pi / 4 * 0.3**2
    assert areas.median() > 0.01
    assert len({tuple(mask.flatten().tolist()) for mask in logits > 0}) == 100
    # A frame as small as the network takes loses none.
    assert (tool.ellipse_logits(100, (4, 4)) > 5).any(2).any(1).all()
    # A soft edge: some probabilities are neither 0 nor 1.
    assert ((logits.sigmoid() - 0.5).abs() < 0.45).any((1, 2)).all()


@pytest.mark.parametrize(("num_classes", "num_labels"), [(40, 6), (6, 6), (2, 2), (1, 1)])
def test_class_logits(tool, num_classes, num_labels):
    queries = torch.tensor([0, 3, 7])
    probs = tool.class_logits(queries, 9, num_classes).softmax(-1)
    assert probs.shape == (9, num_classes + 1)
    assert torch.nonzero(probs.argmax(-1) != num_classes)[:, 0].tolist() == queries.tolist()
    for found in probs[queries]:
        labels = found[:-1].sort(descending=True).values
        expected = 0.5 ** torch.arange(num_labels)
        assert torch.allclose(labels[:num_labels], expected / expected.sum())
        assert labels[num_labels - 1] > 0.015 and labels[num_labels:].sum() < 1e-6
    if num_classes > 2:
        assert len(set(probs[queries].argmax(-1).tolist())) == 3


@pytest.mark.parametrize(
    ("length", "window", "stride", "num_instances", "num_found"),
    [
        (7, 3, 1, 4, 4),
        (8, 4, 3, 20, 20),
        (2, 5, 1, 1, 1),
        (6, 2, 2, 3, 9),  # three windows that share no frame, and so no instance
    ],
)
def test_a_run_has_all_stages_and_exactly_its_instances(
    tool, make_model, make_task, length, window, stride, num_instances, num_found
):
    model = make_model("INPUT.SAMPLING_FRAME_NUM", str(window), "MODEL.IFC.CLIP_STRIDE", str(stride))
    run = tool.run_once(model, make_task(length, num_instances), by_stage=True)
    assert set(run.seconds) == set(tool.STAGES)
    assert all(seconds > 0 for seconds in run.seconds.values())
    assert run.total == sum(run.seconds.values())
    assert run.cpu_time > 0
    assert (run.num_instances, run.num_tracks) == (num_found, 6 * num_found)


def test_a_run_times_the_real_network_and_leaves_it_as_it_was(tool, make_model, make_task, monkeypatch):
    model, task = make_model("INPUT.SAMPLING_FRAME_NUM", "3"), make_task(5, 2)
    network = model.inference.network
    parts = (model.normalize, model.detr.backbone[0], ClipTracker, video_engine)
    clips, predict_layers = [], type(model.detr).predict_layers

    def count(network, features, num_frames):
        clips.append((len(features), num_frames))
        return predict_layers(network, features, num_frames)

    monkeypatch.setattr(type(model.detr), "predict_layers", count)
    before = [dict(vars(part)) for part in parts]
    own = set(vars(network))
    for by_stage in (True, False):
        clips.clear()
        run = tool.run_once(model, task, by_stage=by_stage)
        assert clips == [(9, 3)]  # three windows of three frames at once
        assert run.num_tracks == 12
        assert [dict(vars(part)) for part in parts] == before
        assert set(vars(network)) == own
    assert set(run.seconds) == {"decoding", "other"}


def test_each_stage_has_the_time_of_its_part(tool, make_model, make_task, monkeypatch):
    """Time passes in one function of each part alone, a different power of ten in each."""
    model, task = make_model(), make_task(3, 2)
    parts = {
        "normalization": (type(model.normalize), "forward"),
        "backbone": (type(model.detr.backbone[0].backbone), "forward"),
        "projections": (type(model.detr.transformer), "encode_frames"),
        "clip network": (type(model.detr.mask_head), "pixel_features"),
        "tracker": (ClipTracker, "update"),
        "masks to RLE": (run_lengths.coco_mask, "frPyObjects"),
        "other": (video_engine, "build_prediction"),
        "replacing": (tool, "class_logits"),
    }
    fake = FakeTime(monkeypatch)

    def waiting(function, seconds):
        def wait_and_do(*args, **kwargs):
            fake.passes(seconds)
            return function(*args, **kwargs)

        return wait_and_do

    for exponent, (owner, name) in enumerate(parts.values()):
        monkeypatch.setattr(owner, name, waiting(getattr(owner, name), 10.0**exponent))
    assert tool.run_once(model, task, by_stage=True).seconds == {
        "decoding": 0,
        "normalization": 1,
        "backbone": 10,
        "projections": 100,
        "clip network": 1_000,
        "tracker": 10_000,
        "masks to RLE": 2 * 100_000,  # of the frame that no later window holds, and of the others
        "other": 1_000_000,
    }


def test_a_result_without_the_instances_is_an_error(tool, make_model, make_task):
    model = make_model("MODEL.IFC.APPLY_CLS_THRES", "0.9")
    with pytest.raises(RuntimeError, match="reported 2 instances, the result has 0"):
        tool.run_once(model, make_task(3, 2), by_stage=True)


def test_a_result_of_another_length_is_an_error(tool, make_model, make_task):
    task = dataclasses.replace(make_task(3, 2), length=4)
    with pytest.raises(RuntimeError, match="video has 4 frames, the result 3"):
        tool.run_once(make_model(), task, by_stage=True)


def test_a_stage_that_the_engine_does_not_enter_is_an_error(tool, make_model, make_task, monkeypatch):
    encode_masks = video_engine.encode_masks
    # An engine that took hold of the function before it was timed.
    release = video_engine.VideoStream._release
    code = {**video_engine.__dict__, "encode_masks": encode_masks}
    monkeypatch.setattr(video_engine.VideoStream, "_release", FunctionType(release.__code__, code))
    with pytest.raises(RuntimeError, match="never entered: masks to RLE"):
        tool.run_once(make_model(), make_task(3, 2), by_stage=True)


@pytest.mark.parametrize(("device", "num_whole"), [("cpu", 0), ("cuda", 3)])
def test_the_median_run_is_reported(tool, monkeypatch, device, num_whole):
    """Runs by stage take 50, 10, 30, …; those of a GPU without stages 5, 1, 3, …"""
    seconds = {True: iter([50, 10, 30]), False: iter([7, 5, 1, 3] if num_whole else [7])}
    kinds = []

    def run_once(model, task, by_stage):
        kinds.append(by_stage)
        decoding, rest = (number := next(seconds[by_stage])) / 10, number * 0.9
        stages = {"decoding": decoding, **dict.fromkeys(tool.STAGES[1:], rest / 7)} if by_stage else {}
        return tool.Run(stages or {"decoding": decoding, "other": rest}, 2 * number, 4, 24)

    monkeypatch.setattr(tool, "run_once", run_once)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 12345)
    model, task = SimpleNamespace(device=torch.device(device)), SimpleNamespace(length=60)
    report = tool.measure(model, task, repeat=3, warmup=1)

    assert kinds == [False] + [True] * 3 + [False] * num_whole
    totals, total = ([5, 1, 3], 3) if num_whole else ([50, 10, 30], 30)
    assert report["totals"] == pytest.approx(totals)
    assert report["total"] == pytest.approx(total)
    assert report["total_without_decoding"] == pytest.approx(0.9 * total)
    assert report["cpu_time"] == pytest.approx(2 * total)
    assert report["frames_per_second"] == pytest.approx(60 / total)
    assert list(report["stages"]) == list(tool.STAGES)
    assert sum(report["stages"].values()) == pytest.approx(30)
    assert (report["instances"], report["tracks"]) == (4, 24)
    memory = report["memory"]
    assert memory["gpu_peak"] == (12345 if num_whole else None)
    assert memory["host_start"] <= memory["host_peak"] and memory["host_peak_before_start"] <= memory["host_peak"]
    assert memory["host_growth"] == memory["host_peak"] - memory["host_start"]


def test_the_report_is_readable(tool):
    report = {
        "config_file": "some.yaml",
        "task": {
            "length": 4,
            "input_size": [32, 64],
            "output_size": [48, 80],
            "window": 5,
            "stride": 2,
            "instances": 3,
        },
        "instances": 3,
        "tracks": 18,
        "device": "CPU",
        "threads": 2,
        "torch": "2.14.1",
        "totals": [1.0, 2.0, 3.0],
        "total": 2.0,
        "total_without_decoding": 1.5,
        "cpu_time": 3.25,
        "frames_per_second": 2.0,
        "stages": {"decoding": 0.5, "other": 1.5},
        "memory": {
            "host_start": 100 * 2**20,
            "host_peak_before_start": 120 * 2**20,
            "host_peak": 300 * 2**20,
            "host_growth": 200 * 2**20,
            "gpu_peak": None,
        },
        "variants": [],
    }
    text = tool.report_text(report)
    assert "4 frames, 32x64 in, 48x80 out, windows of 5 every 2, 3 instances, 18 tracks" in text
    assert "median of 3 runs" in text
    rows = [line.split() for line in text.splitlines()]
    for row in ("decoding 0.500 25.0% 125.00", "other 1.500 75.0% 375.00", "total 2.000 500.00"):
        assert row.split() in rows
    assert "3.250 s, all threads" in text
    assert "300 MiB at most, 200 MiB over the start" in text and "GPU" not in text
    report["memory"] |= {"host_peak_before_start": 300 * 2**20, "gpu_peak": 50 * 2**20}
    text = tool.report_text(report)
    assert "less than 200 MiB over the start" in text and "50 MiB" in text.splitlines()[-1]
    report["stages"] |= {"backbone": 0.75, "clip network": 0.25}
    variant = {**report, "total": 0.5, "variant": "SOME.KEY 1", "variants": []}
    table = [line.split() for line in tool.report_text({**report, "variants": [variant]}).splitlines()[-2:]]
    assert table[0] == ["2.000", "1.00x", "0.750", "0.250", "50", "(none)"]
    assert table[1] == ["0.500", "4.00x", "0.750", "0.250", "50", "SOME.KEY", "1"]


@pytest.mark.parametrize("config_file", [TINY, BASE])
def test_program(tool, tmp_path, capsys, config_file):
    path = tmp_path / "numbers.json"
    options = [*SMALL.split(), "--window", "3", "--json", str(path)]
    assert tool.main(["--config-file", config_file, *options]) == 0
    text = capsys.readouterr().out
    report = json.loads(path.read_text())
    assert tool.report_text(report) == text.strip()
    assert report["task"] == {
        "length": 4,
        "input_size": [32, 64],
        "output_size": [48, 80],
        "window": 3,
        "stride": 1,
        "instances": 3,
    }
    assert (report["instances"], report["tracks"], report["warmup"]) == (3, 18, 0)
    assert report["threads"] == torch.get_num_threads()
    assert [p.name for p in tmp_path.iterdir()] == ["numbers.json"]


def test_options_change_the_task(tool, capsys):
    options = "--window 2 --stride 2 --repeat 2 --warmup 1 MODEL.IFC.MULTI_CLS_ON False INPUT.FORMAT BGR"
    assert tool.main(["--config-file", TINY, *SMALL.split(), *options.split()]) == 0
    text = capsys.readouterr().out
    assert "windows of 2 every 2, 6 instances, 6 tracks" in text and "median of 2 runs" in text


def test_variants_are_measured_in_the_same_run(tool, tmp_path, capsys):
    path = tmp_path / "numbers.json"
    variants = ["MODEL.IFC.PRECISION bfloat16", "MODEL.IFC.WINDOWS_PER_BATCH 1"]
    options = [*SMALL.split(), "--read-ahead", "--json", str(path), *(x for v in variants for x in ("--variant", v))]
    assert tool.main(["--config-file", TINY, *options]) == 0
    report = json.loads(path.read_text())
    assert [run["variant"] for run in report["variants"]] == variants
    for run in report["variants"]:
        assert (run["instances"], run["tracks"]) == (3, 18)
        assert all(seconds > 0 for seconds in run["stages"].values())
    assert all(variant in capsys.readouterr().out for variant in variants[:1])


def test_threads_are_torchs(tool, monkeypatch, capsys):
    chosen = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    assert tool.main(["--config-file", TINY, *SMALL.split(), "--threads", "7"]) == 0
    assert chosen[0] == 7 and "threads 99" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--length 0", "--length: found 0, expected at least 1"),
        ("--instances 0", "--instances: found 0, expected at least 1"),
        ("--instances 21 MODEL.IFC.NUM_OBJECT_QUERIES 20", "--instances: found 21, expected at most the 20 queries"),
        ("--window 0", "INPUT.SAMPLING_FRAME_NUM: found 0, expected at least 1"),
        ("--window 3 --stride 4", "MODEL.IFC.CLIP_STRIDE"),
        ("--stride 0", "MODEL.IFC.CLIP_STRIDE: found 0, expected at least 1"),
        ("--input-size 31 64", "--input-size: found 31 64, expected at least 32"),
        ("--output-size 64 15", "--output-size: found 64 15, expected at least 16"),
        ("MODEL.IFC.APPLY_CLS_THRES 0.5", "MODEL.IFC.APPLY_CLS_THRES: found 0.5, expected less than 0.5"),
        ("--threads 0", "--threads: found 0"),
        ("--repeat 0", "--repeat: found 0"),
        ("--warmup -1", "--warmup: found -1"),
        ("--device tpu", "MODEL.DEVICE: found 'tpu'"),
        ("--json missing/numbers.json", "--json missing/numbers.json: expected a file in a folder that exists"),
        ("MODEL.WEIGHTS WEIGHTS", "MODEL.WEIGHTS: found"),
        ("--variant MODEL.IFC.COMPILE", "KEY VALUE pairs"),
        ("MODEL.NO_SUCH_KEY 1", "MODEL.NO_SUCH_KEY"),
        ("MODEL.IFC.CLIP_STRIDE", "KEY VALUE pairs"),
        ("--config-file missing.yaml", "missing.yaml: no such file"),
    ],
)
def test_bad_options_end_with_one_clear_error(tool, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "model.pth"
    weights.touch()
    monkeypatch.setattr(tool, "measure", lambda *args, **kwargs: pytest.fail("measured"))
    options = options.replace("WEIGHTS WEIGHTS", f"WEIGHTS {weights}")
    assert tool.main(["--config-file", TINY, "--device", "cpu", *options.split()]) == 1
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.startswith("benchmark.py: error: ")
    assert captured.err.count("\n") == 1 and captured.out == ""
    assert list(tmp_path.iterdir()) == [weights]
