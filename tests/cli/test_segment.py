# SPDX-License-Identifier: Apache-2.0
"""`ifc segment` as a user calls it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_model import HEIGHT, WIDTH, write_tiny_model
from tools.bare_python import PACKAGE, run_tool
from video.clips import write_noise_video, write_video

from ifc.cli.main import main
from ifc.video import VideoReader
from ifc.ytvis.datasets.shapes import render_video


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("segment")
    write_tiny_model(root)
    (root / "videos").mkdir()
    for number, name in enumerate(["a.mp4", "b.mp4"]):
        write_video(root / "videos" / name, render_video(number, HEIGHT, WIDTH, 8).frames, 10)
    return root


@pytest.fixture
def run(files, tmp_path, capsys):
    """run(words...) -> (exit status, stdout, stderr, the folders by name)."""

    def run(*words, model=True):
        output = tmp_path / "out"
        weights = ["--weights", files / "model.pth", "--config-file", files / "video.yaml"] if model else []
        status = 0
        try:
            main(["segment", *map(str, words), "-o", str(output), *map(str, weights)])
        except SystemExit as end:
            status, text = (end.code, "") if isinstance(end.code, int) else (1, end.code)
            print(text, file=sys.stderr)
        shown = capsys.readouterr()
        folders = {path.name: path for path in output.glob("[!.]*")}
        return status, shown.out, shown.err, folders

    return run


def read_json(path):
    return json.loads(path.read_text())


def test_folder_of_videos(run, files):
    status, out, err, folders = run(files / "videos", "--json", "--threshold", "0.2")
    assert status == 0
    assert sorted(folders) == ["a", "b"]
    assert [(each["input"], each["status"], each["num_frames"], each["skipped"]) for each in json.loads(out)] == [
        (str(files / "videos" / name), "finished", 8, False) for name in ("a.mp4", "b.mp4")
    ]
    assert sorted(os.listdir(folders["a"])) == ["objects.jsonl", "overlay.mp4", "results.json", "video.json"]
    first, second = sorted(["a.mp4", "b.mp4"], key=lambda name: -(files / "videos" / name).stat().st_size)
    assert f"1/2 {first}: 100%" in err and f"2/2 {second}: 100%" in err and "frames/s" in err
    status, out, _, _ = run(files / "videos" / "[ab].mp4", "--json", "--threshold", "0.2")
    assert status == 0 and [each["skipped"] for each in json.loads(out)] == [True, True]
    status, out, _, _ = run(files / "videos", "--json", "--threshold", "0.2", "--overwrite")
    assert status == 0 and [each["skipped"] for each in json.loads(out)] == [False, False]


def test_options_arrive_where_they_belong(run, files):
    words = "--no-overlay --no-results --masks --csv --cutouts png --start 0.2 --end 0:00.7 --every 2 --window 2"
    style = "--scale 3 --boxes --trails --dim-background --no-labels --no-fill --no-contours"
    more = "--results-threshold 0 --threshold 0.1 --set MODEL.IFC.CLIP_STRIDE=2 --precision float32 --device cpu"
    status, _, _, folders = run(files / "videos" / "a.mp4", *words.split(), *style.split(), *more.split())
    assert status == 0
    content = read_json(folders["a"] / "video.json")
    assert sorted(content["files"]) == ["boxes", "cutouts", "masks", "objects"] and content["num_frames"] == 3
    settings = content["settings"]
    assert (settings["start"], settings["end"], settings["every"]) == (0.2, 0.7, 2)
    assert settings["style"] == {
        **dict.fromkeys(("fill", "contours", "labels"), False),
        **dict.fromkeys(("boxes", "trails", "dim_background"), True),
        "scale": 3,
    }
    assert (settings["threshold"], settings["results_threshold"]) == (0.1, 0)
    model = settings["model"]
    assert model["INPUT"]["SAMPLING_FRAME_NUM"] == 2
    assert (model["MODEL"]["IFC"]["CLIP_STRIDE"], model["MODEL"]["IFC"]["PRECISION"]) == (2, "float32")


def test_what_fails_is_said_at_the_end_and_stops_nothing(run, files, tmp_path):
    (tmp_path / "notes.mp4").write_text("no video")
    inputs = [tmp_path / "notes.mp4", tmp_path / "no*.avi", files / "videos" / "a.mp4"]
    status, _, err, folders = run(*inputs)
    assert status == 1 and sorted(folders) == ["a"]
    *_, first, second = err.strip().splitlines()
    assert first.startswith(f"error: {inputs[0]}: ") and second.startswith(f"error: {inputs[1]}: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--start", "soon"], "found 'soon', expected seconds, MM:SS or HH:MM:SS"),
        (["--start", "1:00", "--end", "30"], "found 30 s, expected more than --start, 60 s"),
        (["--threshold", "2"], "found '2', expected a number from 0 to 1"),
        (["--every", "0"], "found '0', expected a whole number, at least 1"),
        (["--cutouts", "gif"], "found 'gif', expected one of webm, png"),
        (["--decoder", "gpu"], "found 'gpu', expected one of cpu, nvdec"),
        (["--size", "big"], "found 'big', expected WIDTHxHEIGHT"),
        (["--set", "MODEL"], "found 'MODEL', expected KEY=VALUE"),
        (["-"], "--frame-rate"),
        (["--shard", "3"], "found '3', expected I/N"),
        (["--shard", "0/2"], "found '0/2', expected I/N"),
        (["--shard", "3/2"], "found '3/2', expected I/N"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_options_that_make_no_sense_are_named(run, files, words, message):
    status, _, err, folders = run(files / "videos" / "a.mp4", *words)
    assert status == 2 and message in " ".join(err.split()) and not folders


def test_output_that_cannot_be_written_is_named_before_the_model_is_loaded(run, files, tmp_path):
    (tmp_path / "out").write_text("in the way")
    status, _, err, _ = run(files / "videos" / "a.mp4")
    assert status == 1 and f"error: --output {tmp_path / 'out'}: " in err and "loading" not in err


def test_inputs_of_which_there_is_none_are_named_before_the_model_is_loaded(run, tmp_path):
    status, _, err, folders = run(tmp_path / "no*.mp4", tmp_path / "nowhere.mp4")
    assert status == 1 and f"error: {tmp_path / 'no*.mp4'}: " in err and "loading" not in err and not folders


def test_shares_of_the_inputs(run, files):
    words = [files / "videos", "--json", "--no-overlay", "--shard"]
    status, out, _, folders = run(*words, "2/2")
    assert status == 0 and sorted(folders) == [Path(json.loads(out)[0]["input"]).stem]
    status, out, _, folders = run(*words, "3/3")
    assert (status, json.loads(out)) == (0, [])
    status, out, _, folders = run(*words, "1/1")
    assert status == 0 and sorted(folders) == ["a", "b"]
    assert sorted(each["skipped"] for each in json.loads(out)) == [False, True]


def test_wrong_weights_are_named(run, files):
    status, _, err, _ = run(files / "videos" / "a.mp4", "--weights", "nowhere.pth", "--config-file", "x", model=False)
    assert status == 1 and len([line for line in err.splitlines() if line.startswith("error: ")]) == 1


def test_something_is_said_before_torch_is_loaded(files, tmp_path):
    ended = run_tool("ifc", tmp_path, "segment", str(files / "videos" / "a.mp4"), "-o", "out")
    toy, loading, error = ended.stderr.splitlines()
    assert "six" in toy and "loading" in loading and error.startswith("error: ") and ended.returncode == 1


def test_sigterm_leaves_valid_files(files, tmp_path):
    long = write_noise_video(tmp_path / "long.mp4", 2000)
    words = ["--weights", files / "model.pth", "--config-file", files / "video.yaml", "--device", "cpu"]
    command = [sys.executable, "-m", "ifc", "segment", long, "-o", tmp_path / "out", *words]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE)}
    with subprocess.Popen(list(map(str, command)), env=environment, stderr=subprocess.PIPE) as process:
        objects = tmp_path / "out" / "long.part" / "objects.jsonl"
        while process.poll() is None and not (objects.exists() and objects.stat().st_size):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate()
    assert process.returncode == 130, err
    content = read_json(tmp_path / "out" / "long" / "video.json")
    count = content["num_frames"]
    assert content["status"] == "interrupted" and 0 < count < 2000
    assert len((tmp_path / "out" / "long" / "objects.jsonl").read_text().splitlines()) == count
    assert len(list(VideoReader(tmp_path / "out" / "long" / "overlay.mp4"))) == count
    assert {len(t["segmentations"]) for t in read_json(tmp_path / "out" / "long" / "results.json")} <= {count}


def test_raw_frames_on_the_standard_input(run, tmp_path, monkeypatch):
    frames = np.stack(render_video(3, HEIGHT, WIDTH, 6).frames)
    (tmp_path / "raw").write_bytes(frames.tobytes())
    with open(tmp_path / "raw", "rb") as raw:
        monkeypatch.setattr("sys.stdin", raw)
        status, _, _, folders = run("-", "--size", f"{WIDTH}x{HEIGHT}", "--frame-rate", "12.5")
    content = read_json(folders["stdin"] / "video.json")
    assert (status, content["input"], content["num_frames"], content["frame_rate"]) == (0, "-", 6, 12.5)
    times = [time for time, _ in VideoReader(folders["stdin"] / "overlay.mp4").timed()]
    assert times == pytest.approx([index / 12.5 for index in range(6)])
