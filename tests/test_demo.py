# SPDX-License-Identifier: Apache-2.0
"""demo.py from files to files, with a tiny network on random weights."""

import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_api
from tiny_model import HEIGHT, LENGTH, WIDTH, write_tiny_model

from ifc.cli.interruption import Interruption
from ifc.cli.main import main
from ifc.predictor import VideoSegmenter
from ifc.video import VideoReader, VideoWriter
from ifc.ytvis.datasets.shapes import CATEGORIES, render_video
from ifc.ytvis.drawing import TrackDrawer


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Configs, a checkpoint of each and inputs that the tests read."""
    root = tmp_path_factory.mktemp("demo")
    write_tiny_model(root)
    frames = render_video(11, HEIGHT, WIDTH, LENGTH).frames
    with VideoWriter(root / "clip.mp4", Fraction(30000, 1001)) as writer:
        for frame in frames:
            writer.write(frame)
    (root / "frames").mkdir()
    for number, frame in enumerate(frames[:4], start=8):  # 8, 9, 10, 11: natural order matters
        assert cv2.imwrite(str(root / "frames" / f"{number}.png"), frame[:, :, ::-1])
    assert cv2.imwrite(str(root / "image.png"), frames[0][:, :, ::-1])
    return root


@pytest.fixture
def run(files, tmp_path, capsys):
    """run(inputs, options..., config=...) -> (exit status, the error lines, output folder)."""

    def run(*inputs, options=("--scale", "1"), opts=(), config="video.yaml"):
        output = tmp_path / "output"
        argv = ["--config-file", str(files / config), "--input", *map(str, inputs), "--output", str(output), *options]
        status = 0
        try:
            main([*argv, "MODEL.WEIGHTS", str(files / "model.pth"), *opts], command=["demo"])
        except SystemExit as end:
            status, message = (end.code, "") if isinstance(end.code, int) else (1, end.code)
            print(message, file=sys.stderr)
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("error: ", "Error: "))]
        return status, errors, output

    return run


def read_json(path):
    return json.loads(path.read_text())


def check_video_results(results, videos):
    """The results format of YTVIS, for these videos."""
    lengths = {video["id"]: video["length"] for video in videos}
    sizes = {video["id"]: [video["height"], video["width"]] for video in videos}
    for track in results:
        assert set(track) == {"video_id", "category_id", "score", "segmentations"}
        assert track["category_id"] in CATEGORIES
        assert 0 < track["score"] <= 1
        assert len(track["segmentations"]) == lengths[track["video_id"]]
        for rle in track["segmentations"]:
            assert rle is None or (rle["size"] == sizes[track["video_id"]] and mask_api.area(rle) > 0)
    assert {track["video_id"] for track in results} == set(lengths), "these weights find something in each video"


def truncated_copy(path, tmp_path, num_frames=30):
    """A noisy video of which about half is there."""
    rng = np.random.default_rng(0)
    with VideoWriter(tmp_path / path, 25) as writer:
        for _ in range(num_frames):
            writer.write(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    content = (tmp_path / path).read_bytes()
    (tmp_path / path).write_bytes(content[: len(content) // 2])
    return tmp_path / path


def test_video_file(run, files):
    status, errors, output = run(files / "clip.mp4", options=["--confidence-threshold", "0.2"])
    assert (status, errors) == (0, [])
    assert sorted(os.listdir(output)) == ["clip.mp4", "results.json", "videos.json"]
    description = read_json(output / "videos.json")
    assert description["videos"] == [
        {
            "id": 1,
            "file_name": str(files / "clip.mp4"),
            "height": HEIGHT,
            "width": WIDTH,
            "overlay": "clip.mp4",
            "length": LENGTH,
        }
    ]
    assert description["categories"] == [{"id": id_, "name": name} for id_, name in CATEGORIES.items()]
    results = read_json(output / "results.json")
    check_video_results(results, description["videos"])

    with av.open(str(output / "clip.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.format.name) == ("h264", "yuv420p")
    overlay = VideoReader(output / "clip.mp4")
    assert overlay.frame_rate == Fraction(30000, 1001)
    assert overlay.size == (6 * HEIGHT, 6 * WIDTH)  # the smallest factor that gives 360 rows
    frames, drawn = list(VideoReader(files / "clip.mp4")), list(overlay)
    assert len(drawn) == LENGTH
    shown = [track for track in results if track["score"] >= 0.2]
    assert shown, "these weights are confident of something"
    for index, (frame, picture) in enumerate(zip(frames, drawn, strict=True)):
        enlarged = cv2.resize(frame, (6 * WIDTH, 6 * HEIGHT), interpolation=cv2.INTER_CUBIC).astype(int)
        difference = np.abs(picture - enlarged).max(axis=2)
        masks = [mask_api.decode(t["segmentations"][index]) for t in shown if t["segmentations"][index] is not None]
        covered = np.any(masks, axis=0).repeat(6, axis=0).repeat(6, axis=1)
        assert np.median(difference[covered]) > 15


def test_results_are_those_of_the_segmenter(run, files):
    _, _, output = run(files / "clip.mp4")
    prediction = VideoSegmenter.from_config(files / "video.yaml", files / "model.pth")(files / "clip.mp4")
    results = read_json(output / "results.json")
    assert [track["score"] for track in results] == pytest.approx(prediction.scores, abs=1e-6)
    ids = list(CATEGORIES)
    assert [track["category_id"] for track in results] == [ids[label] for label in prediction.labels]
    assert [track["segmentations"] for track in results] == prediction.masks


def test_several_inputs(run, files, tmp_path):
    (tmp_path / "other").mkdir()
    second = tmp_path / "other" / "clip.mp4"
    second.write_bytes((files / "clip.mp4").read_bytes())
    inputs = [files / "frames", files / "clip.mp4", second]
    status, errors, output = run(*inputs, options=["--frame-rate", "5", "--scale", "1"])
    assert (status, errors) == (0, [])
    videos = read_json(output / "videos.json")["videos"]
    assert [(video["id"], video["file_name"], video["length"]) for video in videos] == [
        (1, str(files / "frames"), 4),
        (2, str(files / "clip.mp4"), LENGTH),
        (3, str(second), LENGTH),
    ]
    assert [video["overlay"] for video in videos] == ["frames.mp4", "clip.mp4", "clip_2.mp4"]
    results = read_json(output / "results.json")
    check_video_results(results, videos)
    by_video = [[t | {"video_id": 0} for t in results if t["video_id"] == number] for number in (2, 3)]
    assert by_video[0] == by_video[1]
    overlay = VideoReader(output / "frames.mp4")
    assert (overlay.frame_rate, overlay.size, len(list(overlay))) == (5, (HEIGHT, WIDTH), 4)


def test_images_with_a_coco_model(run, files):
    inputs = [files / "image.png", files / "frames" / "9.png", files / "clip.mp4"]
    status, errors, output = run(*inputs, config="coco.yaml", options=())
    assert (status, errors) == (0, [])
    assert sorted(os.listdir(output)) == [
        *["9.png", "clip.mp4", "image.png", "image_results.json", "images.json", "results.json", "videos.json"]
    ]
    description = read_json(output / "images.json")
    assert [(image["id"], image["overlay"]) for image in description["images"]] == [(1, "image.png"), (2, "9.png")]
    results = read_json(output / "image_results.json")
    assert {found["image_id"] for found in results} == {1, 2}
    for found in results:
        assert set(found) == {"image_id", "category_id", "bbox", "score", "segmentation"}
        assert found["category_id"] in CATEGORIES
        assert found["segmentation"]["size"] == [HEIGHT, WIDTH] and mask_api.area(found["segmentation"]) > 0
    assert cv2.imread(str(output / "image.png")).shape == (6 * HEIGHT, 6 * WIDTH, 3)
    assert [video["id"] for video in read_json(output / "videos.json")["videos"]] == [1]


def test_video_that_breaks_keeps_what_is_computed(run, files, tmp_path):
    broken = truncated_copy("broken.mp4", tmp_path)
    status, errors, output = run(broken, files / "clip.mp4")
    assert status == 1
    videos = read_json(output / "videos.json")["videos"]
    assert [video["file_name"] for video in videos] == [str(broken), str(files / "clip.mp4")]
    assert 3 < videos[0]["length"] < 25 and videos[1]["length"] == LENGTH
    assert len(errors) == 1 and f"{broken}: the video breaks at frame {videos[0]['length']} " in errors[0]
    check_video_results(read_json(output / "results.json"), videos)
    assert len(list(VideoReader(output / "broken.mp4"))) == videos[0]["length"]


def test_results_survive_a_crash(files, run, tmp_path, monkeypatch):
    stream, calls = VideoSegmenter.stream, []

    def crash_on_second(self, *args, **kw):
        calls.append(args)
        if len(calls) == 2:
            raise RuntimeError("crash")
        return stream(self, *args, **kw)

    monkeypatch.setattr(VideoSegmenter, "stream", crash_on_second)
    with pytest.raises(RuntimeError, match="crash"):
        run(files / "clip.mp4", files / "frames")
    output = tmp_path / "output"
    check_video_results(read_json(output / "results.json"), read_json(output / "videos.json")["videos"])
    assert sorted(os.listdir(output)) == ["clip.mp4", "results.json", "videos.json"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_keeps_the_frames_before_it(files, run, monkeypatch, number):
    timed, usual = VideoReader.timed, signal.getsignal(number)

    def interrupted(self, *args):
        for index, frame in enumerate(timed(self, *args)):
            if index == 2:
                signal.pthread_kill(threading.main_thread().ident, number)
                while signal.getsignal(number) is not usual:  # until it was noticed
                    time.sleep(0.001)
            yield frame

    monkeypatch.setattr(VideoReader, "timed", interrupted)
    status, errors, output = run(files / "clip.mp4", files / "frames")
    (video,) = read_json(output / "videos.json")["videos"]
    assert 1 <= video["length"] < LENGTH
    assert (status, len(errors)) == (1, 1) and f"clip.mp4: interrupted after {video['length']} frames" in errors[0]
    check_video_results(read_json(output / "results.json"), [video])
    assert sorted(os.listdir(output)) == ["clip.mp4", "results.json", "videos.json"]


def test_interrupt_is_ignored_where_it_was():
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGINT)
            assert not interruption.is_requested
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, usual)


def test_second_interrupt_keeps_the_tracks(files, run, monkeypatch):
    draw, calls = TrackDrawer.draw, []

    def interrupt(self, *args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return draw(self, *args)

    monkeypatch.setattr(TrackDrawer, "draw", interrupt)
    status, errors, output = run(files / "clip.mp4", files / "frames")
    assert (status, errors) == (1, [f"error: interrupted; {output} has what was tracked before"])
    assert sorted(os.listdir(output)) == ["clip.mp4", "results.json", "videos.json"]
    (video,) = read_json(output / "videos.json")["videos"]
    assert video["length"] == 2 == len(list(VideoReader(output / "clip.mp4")))
    check_video_results(read_json(output / "results.json"), [video])


def test_overlay_that_cannot_be_written_stops_no_other(files, run, tmp_path):
    (tmp_path / "output" / "clip.mp4").mkdir(parents=True)
    status, errors, output = run(files / "clip.mp4", files / "frames")
    assert status == 1
    assert len(errors) == 1 and f"{output / 'clip.mp4'}: the video cannot be written: found a folder" in errors[0]
    assert sorted(os.listdir(output)) == ["clip.mp4", "frames.mp4", "results.json", "videos.json"]
    check_video_results(read_json(output / "results.json"), read_json(output / "videos.json")["videos"])


def test_frames_that_are_too_narrow_are_named(files, run, tmp_path):
    assert cv2.imwrite(str(tmp_path / "line.png"), np.zeros((1, 5000, 3), np.uint8))
    status, errors, output = run(files / "clip.mp4", tmp_path / "line.png")
    assert status == 1
    assert len(errors) == 1 and "line.png: found 1 x 5000 pixels, expected a longer side of at most" in errors[0]
    assert os.listdir(output) == []


def test_overlay_never_replaces_an_input(run, files, tmp_path):
    (tmp_path / "output").mkdir()
    source = tmp_path / "output" / "clip.mp4"
    source.write_bytes((files / "clip.mp4").read_bytes())
    status, _, output = run(source)
    assert status == 0
    assert source.read_bytes() == (files / "clip.mp4").read_bytes()
    assert read_json(output / "videos.json")["videos"][0]["overlay"] == "clip_overlay.mp4"
    assert len(list(VideoReader(output / "clip_overlay.mp4"))) == LENGTH


def test_overlay_never_replaces_a_frame_of_a_folder(run, files, tmp_path):
    output = tmp_path / "output"
    shutil.copytree(files / "frames", output)
    (tmp_path / "8.jpg").write_bytes((files / "image.png").read_bytes())
    status, _, _ = run(output, tmp_path / "8.jpg", config="coco.yaml")
    assert status == 0
    assert (output / "8.png").read_bytes() == (files / "frames" / "8.png").read_bytes()
    assert (output / "8_overlay.png").exists()


def test_wrong_inputs_are_named_before_any_work(run, files, tmp_path):
    (tmp_path / "notes.mp4").write_text("no video " * 100)
    (tmp_path / "empty").mkdir()
    for name, message in [
        ("nowhere.mp4", "no such file or folder"),
        ("notes.mp4", "unreadable video"),
        ("empty", "found no image"),
    ]:
        status, errors, output = run(files / "clip.mp4", tmp_path / name)
        assert status == 1
        assert len(errors) == 1 and str(tmp_path / name) in errors[0] and message in errors[0]
        assert not output.exists()


@pytest.mark.parametrize(
    ("options", "opts", "message"),
    [
        ([], ["MODEL.WEIGHTS", "nowhere.pth"], "MODEL.WEIGHTS nowhere.pth: no such file"),
        ([], ["MODEL.WEIGHTS", ""], "MODEL.WEIGHTS: found nothing"),
        ([], ["MODEL.IFC.HIDDEN_DIM", "64"], "expected a checkpoint of this config's model"),
        ([], ["MODEL.IFC.NUM_CLASSES", "5"], "MODEL.IFC.NUM_CLASSES: found 5, expected the 6 classes of shapes_val"),
        ([], ["MODEL.NO_SUCH_KEY", "1"], "NO_SUCH_KEY"),
        ([], ["DATASETS.TEST", "('nothing',)"], "data set 'nothing' is not registered"),
        ([], ["DATASETS.TEST", "()"], "DATASETS.TEST: found no data set"),
        (["--scale", "999"], [], "clip.mp4: found frames of 96x64 (width x height), to be drawn 999 times as large"),
    ],
)
def test_wrong_arguments_are_named(run, files, options, opts, message):
    status, errors, output = run(files / "clip.mp4", options=options, opts=opts)
    assert status == 1
    assert len(errors) == 1 and message in errors[0]
    assert not output.exists() or os.listdir(output) == []


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--confidence-threshold", "30", "found '30', expected a number from 0 to 1"),
        ("--frame-rate", "0", "found '0', expected 0.001 to 1000"),
        ("--scale", "0", "found '0', expected a whole number, at least 1"),
    ],
)
def test_options_that_make_no_sense_are_named(run, files, option, value, message):
    status, errors, output = run(files / "clip.mp4", options=[option, value])
    assert status == 2 and not output.exists()
    assert len(errors) == 1 and option in errors[0] and message in errors[0]


def test_missing_config(run, files):
    status, errors, _ = run(files / "clip.mp4", config="nowhere.yaml")
    assert (status, errors) == (1, [f"error: --config-file {files / 'nowhere.yaml'}: no such file"])


def test_output_that_is_a_file(run, files, tmp_path):
    (tmp_path / "output").write_text("in the way")
    status, errors, output = run(files / "clip.mp4")
    assert status == 1
    assert len(errors) == 1 and f"--output {output}: expected a folder that can be written to" in errors[0]
    assert output.read_text() == "in the way"


@pytest.mark.parametrize(("window", "is_warned"), [(1, True), (2, False)])
def test_windows_that_do_not_overlap_are_warned_of(run, files, caplog, monkeypatch, window, is_warned):
    monkeypatch.setattr(logging.getLogger("ifc.cli.overlays"), "handlers", [caplog.handler])  # "ifc" does not propagate
    run(files / "frames", opts=["INPUT.SAMPLING_FRAME_NUM", str(window)])
    assert ("no object is followed" in caplog.text) == is_warned


@pytest.mark.parametrize(("opts", "num_tracks"), [([], "some"), (["MODEL.IFC.APPLY_CLS_THRES", "1.0"], "none")])
def test_nothing_above_the_threshold(run, files, opts, num_tracks):
    """The overlay is the video itself, and the results have what the model found."""
    options = ["--scale", "1", "--confidence-threshold", "1"]
    status, errors, output = run(files / "clip.mp4", options=options, opts=opts)
    assert (status, errors) == (0, [])
    assert bool(read_json(output / "results.json")) == (num_tracks == "some")
    drawn = list(VideoReader(output / "clip.mp4"))
    for frame, picture in zip(VideoReader(files / "clip.mp4"), drawn, strict=True):
        assert np.abs(frame.astype(int) - picture).mean() < 6


def test_progress_is_shown(files, tmp_path, capsys):
    argv = ["--config-file", str(files / "video.yaml"), "--input", str(files / "clip.mp4"), "--output", str(tmp_path)]
    main([*argv, "MODEL.WEIGHTS", str(files / "model.pth")], command=["demo"])
    shown = capsys.readouterr().err
    assert "clip.mp4: 100%" in shown and f"{LENGTH}/{LENGTH}" in shown and "frames/s" in shown
