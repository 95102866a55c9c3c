# SPDX-License-Identifier: Apache-2.0
"""The program that measures: each subcommand as a user runs it, at a small size."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tools.bare_python import run_tool
from tools.commands import command

from ifc.benchmark import time_loading

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "configs" / "quick_schedules" / "shapes_tiny.yaml")
WEIGHTS = str(ROOT / "configs" / "quick_schedules" / "shapes_tiny.pth")
INFERENCE = (
    f"inference --config-file {TINY} --device cpu --length 5 --input-size 32 64 --output-size 48 80 --instances 3"
)
TRAINING = f"training --config-file {TINY} --device cpu --videos 2 --length 4 --size 64 96 --instances 2 --iterations 1"
STREAM = f"stream --config-file {TINY} --weights {WEIGHTS} --length 25 --part 10 --size 64 96"
RLE = "rle --masks 2 5 --frames 2 --input-size 6 10 --output-size 48 80 --repeat 1"
REGIONS = {
    "inference": "decoding, projections, normalization, backbone, clip network, tracker, masks to RLE, other",
    "training": "waiting for data, record, JPEG decode, augmentation, masks, losses, forward, normalization, backbone, "
    "matching, backward, optimizer step, other",
    "loading": "record, JPEG decode, augmentation, masks, rest",
}


@pytest.fixture(scope="module")
def tool():
    return command("benchmark")


@pytest.fixture
def run(tool, tmp_path, capsys):
    """Runs the program; returns its numbers, which are those of the table that it printed."""

    def run_it(arguments: str, *more: str, opts: str = "") -> dict[str, dict[str, float]]:
        path = tmp_path / "numbers.json"
        tool([*arguments.split(), *more, "--json", str(path), *opts.split()])
        content = json.loads(path.read_text())
        text = capsys.readouterr().out
        assert content["machine"] in text
        assert all(row in text for column in content["numbers"].values() for row in column)
        return content["numbers"]

    return run_it


def check_regions(column: dict[str, float], subcommand: str, total: str = "total", suffix: str = "") -> None:
    """Every region was entered, and every moment belongs to one."""
    seconds = [column[name + suffix] for name in REGIONS[subcommand].split(", ")]
    assert all(each > 0 for each in seconds)
    assert sum(seconds) == pytest.approx(column[total])


def test_inference(run):
    variant = "MODEL.IFC.WINDOWS_PER_BATCH 1 INPUT.FORMAT BGR"
    numbers = run(f"{INFERENCE} --window 3 --repeat 2 --warmup 0 --read-ahead", "--variant", variant)
    assert list(numbers) == ["as configured", variant]
    for column in numbers.values():
        check_regions(column, "inference")
        assert column["tracks"] == 3 * 6
        assert column["frames a second"] == pytest.approx(5 / column["total"])
        assert column["host memory, peak MiB"] > max(100, column["of which grown, MiB"])
        assert column["times faster"] == pytest.approx(numbers["as configured"]["total"] / column["total"])


def test_inference_of_an_exported_network(run, exported_toy, monkeypatch):
    def copy(_, folder):
        shutil.copytree(exported_toy[0], folder, dirs_exist_ok=True)  # in place of exporting for half a minute

    monkeypatch.setattr("ifc.benchmark.time_inference.write_networks", copy)
    numbers = run(f"{INFERENCE} --window 3 --onnx")
    assert list(numbers) == ["as configured", "ONNX Runtime"]
    column = numbers["ONNX Runtime"]
    assert column["tracks"] == 3 * 6 and column["backbone"] > 0 and column["clip network"] > 0
    assert "projections" not in column  # a part of the frame network


@pytest.mark.parametrize(("length", "window", "stride", "windows"), [(2, 5, 1, 1), (4, 2, 2, 2)])
def test_windows_that_share_no_frame_share_no_instance(run, length, window, stride, windows):
    numbers = run(f"{INFERENCE} --length {length} --window {window} --stride {stride}")
    assert numbers["as configured"]["tracks"] == windows * 3 * 6


def test_training(run):
    opts = "SOLVER.IMS_PER_BATCH 2 INPUT.MIN_SIZE_TRAIN (64,)"
    numbers = run(TRAINING, "--variant", "SOLVER.CLIP_GRADIENTS.ENABLED False", opts=opts)
    assert len(numbers) == 2
    for column in numbers.values():
        check_regions(column, "training")
        assert column["iterations a second"] == pytest.approx(1 / column["total"])


def test_stream(run):
    first, second, third, last_to_first = run(STREAM, opts="MODEL.DEVICE cpu MODEL.IFC.APPLY_CLS_THRES 0.1").values()
    assert 0 < first["kept masks, MiB"] < second["kept masks, MiB"] < third["kept masks, MiB"] < first["memory, MiB"]
    assert last_to_first["ms a frame"] == pytest.approx(third["ms a frame"] / first["ms a frame"])
    grown = third["kept masks, MiB"] - first["kept masks, MiB"]
    assert last_to_first["kept masks, MiB: bytes a frame"] == pytest.approx(2**20 * grown / 15)


def test_rle(run):
    for column in run(RLE).values():
        assert column["different masks"] == 0
        assert column["times faster"] == pytest.approx(
            column["plain, ms a frame"] / column["from the borders, ms a frame"]
        )


def test_overlay(run):
    numbers = run("overlay --length 5 --instances 2 --size 48 64 --repeat 1")
    speeds = {name: column["frames a second"] for name, column in numbers.items()}
    assert len(speeds) == 6
    for name, column in numbers.items():
        assert column["times decoding, encoding"] == pytest.approx(speeds[name] / speeds["decoding, encoding"])
        assert column["CPU ms a frame"] > 0


def test_pipeline(run):
    numbers = run("pipeline --slow 2 --fast 1 --length 192")
    assert list(numbers) == ["slow decoding", "slow network", "slow masks to RLE", "slow writing"]
    for name, column in numbers.items():
        latencies = {row.removesuffix(", ms a frame"): x for row, x in column.items() if row.endswith(", ms a frame")}
        assert latencies[name.removeprefix("slow ")] >= 2
        assert column["the slowest alone"] == pytest.approx(1000 / max(latencies.values()))
        assert column["measured / slowest"] == pytest.approx(column["measured"] / column["the slowest alone"])


@pytest.mark.parametrize(("config", "mappers"), [("base_ytvis", 3), ("base_coco", 2)])  # crops are not decoded reduced
def test_loading_speed(run, monkeypatch, config, mappers):
    monkeypatch.setattr(time_loading, "KINDS", {"small": {"size": (96, 160), "length": 4, "num_instances": 2}})
    threads = torch.get_num_threads()
    config = ROOT / "projects" / "IFC" / "configs" / f"{config}.yaml"
    numbers = run(f"loading --only speed --config-file {config} --rounds 2 --samples 2")
    torch.set_num_threads(threads)
    assert len(numbers) == mappers
    for column in numbers.values():
        check_regions(column, "loading", "all, ms a sample", ", ms a sample")
        assert column["times the plain"] == pytest.approx(
            numbers["small, plain"]["all, ms a sample"] / column["all, ms a sample"]
        )


def test_help_and_the_metric_need_no_torch(tmp_path):
    assert "metric" in run_tool("benchmark.py", tmp_path, "--help").stdout
    found = run_tool("benchmark.py", tmp_path, "metric", "--json", "missing/numbers.json").stderr
    assert "'--json': found 'missing/numbers.json'" in found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("inference", "--config-file"),
        (f"{INFERENCE} --instances 0", "'--instances': found '0'"),
        (f"{INFERENCE} --input-size 0 64", "'--input-size': found '0'"),
        (f"{INFERENCE} --json missing/numbers.json", "'--json': found 'missing/numbers.json'"),
        (f"{INFERENCE} --warmup -1", "'--warmup': found '-1'"),
        (f"{INFERENCE} --window 0", "INPUT.SAMPLING_FRAME_NUM: found 0"),
        (f"{INFERENCE} --window 3 --stride 4", "MODEL.IFC.CLIP_STRIDE"),
        (f"{INFERENCE} --device tpu", "MODEL.DEVICE: found 'tpu'"),
        (f"{INFERENCE} --variant MODEL.IFC.COMPILE", "KEY VALUE pairs"),
        (f"{INFERENCE} --instances 21 MODEL.IFC.NUM_OBJECT_QUERIES 20", "--instances: found 21"),
        (f"{INFERENCE} MODEL.IFC.APPLY_CLS_THRES 0.9", "--instances: found 3, of which the result has 0"),
        (f"{INFERENCE} MODEL.WEIGHTS {WEIGHTS}", "MODEL.WEIGHTS: found"),
        (f"{TRAINING} MODEL.NO_SUCH_KEY 1", "MODEL.NO_SUCH_KEY"),
        (f"{STREAM} --part 25", "--part: found 25"),
        ("loading --config-file missing.yaml --only speed", "missing.yaml: no such file"),
        ("metric --case none", "--case"),
        ("pipeline --length 191", "--length: found 191"),
    ],
)
def test_bad_options_end_with_one_clear_error(tool, capsys, arguments, message):
    with pytest.raises(SystemExit) as end:
        tool(arguments.split())
    text = str(end.value.code) if isinstance(end.value.code, str) else capsys.readouterr().err.splitlines()[-1]
    assert message in text and "error: " in text.lower() and "\n" not in text
