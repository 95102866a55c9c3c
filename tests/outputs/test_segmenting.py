# SPDX-License-Identifier: Apache-2.0
"""From videos to folders of results: what is in them, whatever happens on the way."""

import csv
import dataclasses
import json
import os
import threading
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from outputs.conftest import TIMES
from PIL import Image
from pycocotools import mask as mask_api
from tiny_model import HEIGHT, WIDTH
from video.clips import heard_clicks, write_noise_video, write_video

from ifc.outputs import SegmentSettings, find_inputs, manifest, segment_videos, segmenting, video_run
from ifc.outputs.objects import ObjectsSink
from ifc.outputs.sinks import MasksSink, OverlaySink
from ifc.predictor import IncompleteVideoError
from ifc.video import Part, TimedFrame, VideoReader, VideoWriteError
from ifc.video.live import _ReadOnce
from ifc.ytvis.drawing import DrawingStyle
from ifc.ytvis.ground_truth import read_ground_truth
from ifc.ytvis.segmented_video import read_folder

ALL = SegmentSettings(
    threshold=0.2, results_threshold=0, masks=True, cutouts="png", boxes=True, style=DrawingStyle(scale=1)
)


@pytest.fixture(scope="module")
def whole(files, segmenter, tmp_path_factory):
    """The folder of clip.mp4, with everything in it."""
    output = tmp_path_factory.mktemp("whole")
    (outcome,) = segment_videos([files / "clip.mp4"], output, segmenter, ALL)
    assert (outcome.status, outcome.error, outcome.num_frames) == ("finished", None, len(TIMES))
    assert outcome.folder == output / "clip"
    return outcome.folder


def read_json(path):
    return json.loads(path.read_text())


def visible(folder):
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def read_lines(folder):
    return [json.loads(line) for line in (folder / "objects.jsonl").read_text().splitlines()]


def results_of(prediction, segmenter):
    return [
        {
            "video_id": 1,
            "category_id": segmenter.classes.ids[track.label],
            "score": pytest.approx(track.score, abs=1e-5),
            "segmentations": list(track.masks),
        }
        for track in prediction.tracks
    ]


def test_results_are_those_of_the_segmenter(whole, files, segmenter):
    prediction = segmenter(files / "clip.mp4")
    assert len(prediction.tracks) > 3
    assert read_json(whole / "results.json") == results_of(prediction, segmenter)


def test_tracks_have_their_final_class_and_score(whole, files, segmenter):
    best = {}
    for track in segmenter(files / "clip.mp4").tracks:
        if any(track.masks):
            best[track.instance_id] = max(best.get(track.instance_id, (0,)), (track.score, track.label, track.masks))
    expected = []
    for i, (score, label, masks) in sorted(best.items()):
        frames = [index for index, mask in enumerate(masks) if mask is not None]
        expected.append(
            {
                "id": i,
                "category_id": segmenter.classes.ids[label],
                "score": pytest.approx(score, abs=1e-5),
                "first_frame": frames[0],
                "last_frame": frames[-1],
                "num_frames": len(frames),
            }
        )
    assert read_json(whole / "video.json")["tracks"] == expected


def test_manifest(whole, files, segmenter):
    content = read_json(whole / "video.json")
    assert list(content) == [
        *("input", "input_bytes", "input_mtime", "categories", "weights", "weights_sha256", "settings", "program"),
        *("attempts", "height", "width", "num_frames", "frame_rate", "seconds", "status", "error", "files", "tracks"),
    ]
    stat = (files / "clip.mp4").stat()
    assert content["input"] == str(files / "clip.mp4")
    assert (content["input_bytes"], content["input_mtime"]) == (stat.st_size, stat.st_mtime)
    assert (content["height"], content["width"], content["num_frames"]) == (HEIGHT, WIDTH, len(TIMES))
    assert [category["name"] for category in content["categories"]] == segmenter.classes.names
    assert content["weights_sha256"] == segmenter.weights_hash
    assert (content["status"], content["error"]) == ("finished", None)
    assert content["files"] == {
        "objects": "objects.jsonl",
        "results": "results.json",
        "overlay": "overlay.mp4",
        "masks": "masks",
        "cutouts": "cutouts",
        "boxes": "boxes.csv",
    }
    assert sorted(os.listdir(whole)) == sorted(["video.json", *content["files"].values()])


def test_objects_are_those_of_the_stream(whole, files, segmenter):
    lines, streamed = read_lines(whole), list(segmenter.stream(files / "clip.mp4", 0))
    assert [line["frame"] for line in lines] == list(range(len(TIMES)))
    assert [line["time"] for line in lines] == pytest.approx(TIMES, abs=1e-3)
    for line, frame in zip(lines, streamed, strict=True):
        assert [each["track_id"] for each in line["objects"]] == list(frame.masks)
        for each in line["objects"]:
            i = each["track_id"]
            assert each["segmentation"] == frame.masks[i]
            assert each["category_id"] == segmenter.classes.ids[frame.labels[i]]
            assert each["score"] == pytest.approx(frame.scores[i], abs=1e-5)
            rows, columns = np.nonzero(mask_api.decode(frame.masks[i]))
            left, top, width, height = each["bbox"]
            assert (left, top) == (columns.min(), rows.min())
            assert (left + width, top + height) == (columns.max() + 1, rows.max() + 1)


def test_overlay_keeps_time_and_sound(whole, files):
    source, overlay = VideoReader(files / "clip.mp4"), VideoReader(whole / "overlay.mp4")
    assert overlay.size == source.size
    drawn = list(overlay.timed())
    assert [frame.time for frame in drawn] == pytest.approx(TIMES, abs=1e-3)
    (clicks, codec), (before, _) = heard_clicks(whole / "overlay.mp4"), heard_clicks(files / "clip.mp4")
    assert codec == "aac" and clicks == pytest.approx(before, abs=2e-3) and len(clicks) == 3
    lines = read_lines(whole)
    for line, before, after in zip(lines, source, drawn, strict=True):
        shown = [mask_api.decode(each["segmentation"]) for each in line["objects"] if each["score"] >= 0.2]
        covered = np.any(shown, axis=0) if shown else np.zeros(source.size, bool)
        difference = np.abs(before.astype(int) - after.image).max(axis=2)
        assert not covered.any() or np.median(difference[covered]) > 15


def shown_ids(line):
    return {each["track_id"] for each in line["objects"] if each["score"] >= 0.2}


def test_masks_have_a_number_for_each_track(whole):
    numbers = {i: int(number) for number, i in read_json(whole / "masks" / "tracks.json").items()}
    assert sorted(numbers.values()) == list(range(1, len(numbers) + 1))
    for line in read_lines(whole):
        picture = Image.open(whole / "masks" / f"{line['frame']:05}.png")
        assert picture.mode == "P" and picture.size == (WIDTH, HEIGHT)
        labels = np.array(picture)
        masks = {each["track_id"]: mask_api.decode(each["segmentation"]) for each in line["objects"]}
        assert shown_ids(line) <= numbers.keys()
        for i in shown_ids(line):
            visible = labels == numbers[i]
            earlier = [masks[j].astype(bool) for j in masks if j in numbers and j < i and (labels == numbers[j]).any()]
            hidden = np.any(earlier, axis=0) if earlier else np.zeros_like(visible)
            np.testing.assert_array_equal(visible, masks[i].astype(bool) & ~hidden)


def test_cut_outs_as_pictures(whole, files):
    frames = list(VideoReader(files / "clip.mp4"))
    count = 0
    for line in read_lines(whole):
        for each in line["objects"]:
            path = whole / "cutouts" / str(each["track_id"]) / f"{line['frame']:05}.png"
            assert path.exists() or each["score"] < 0.2
            if path.exists():
                count += 1
                picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
                mask = mask_api.decode(each["segmentation"]).astype(bool)
                np.testing.assert_array_equal(picture[..., 3], 255 * mask)
                np.testing.assert_array_equal(picture[mask][:, 2::-1], frames[line["frame"]][mask])
    assert count > 5


def test_boxes_are_a_table(whole, segmenter):
    with open(whole / "boxes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = read_lines(whole)
    assert {(int(row["frame"]), int(row["track_id"])) for row in rows} >= {
        (line["frame"], i) for line in lines for i in shown_ids(line)
    }
    for row in rows:
        line = lines[int(row["frame"])]
        (each,) = (each for each in line["objects"] if each["track_id"] == int(row["track_id"]))
        assert float(row["time"]) == line["time"] and float(row["score"]) == each["score"]
        assert [int(row[key]) for key in ("x", "y", "width", "height")] == each["bbox"]
        assert row["category"] in segmenter.classes.names


def test_cut_outs_as_videos(files, segmenter, tmp_path):
    settings = dataclasses.replace(ALL, cutouts="webm", masks=False, boxes=False, overlay=False)
    (outcome,) = segment_videos([files / "clip.mp4"], tmp_path, segmenter, settings)
    lines = read_lines(outcome.folder)
    videos = {int(path.stem): path for path in (outcome.folder / "cutouts").iterdir()}
    assert videos.keys() >= set.union(*map(shown_ids, lines))
    for i, path in videos.items():
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height, stream.metadata["alpha_mode"]) == (WIDTH, HEIGHT, "1")
            decoder = av.CodecContext.create("libvpx-vp9", "r")
            decoded = [
                (frame.pts * stream.time_base, frame.to_ndarray(format="rgba"))
                for packet in container.demux(stream)
                for frame in decoder.decode(packet)
            ]
        assert decoded[0][0] == 0
        first = next(line["time"] for line in lines if i in shown_ids(line))
        for time, picture in decoded:
            line = min(lines, key=lambda line: abs(line["time"] - first - float(time)))
            assert line["time"] - first == pytest.approx(float(time), abs=1e-3)
            masks = [mask_api.decode(e["segmentation"]) for e in line["objects"] if e["track_id"] == i]
            mask = masks[0] if masks else np.zeros((HEIGHT, WIDTH))
            assert ((picture[..., 3] > 127) != mask).mean() < 0.05


def test_part_of_a_video(files, segmenter, tmp_path):
    part = Part(1.0, 1.6, 2)
    (outcome,) = segment_videos([files / "clip.mp4"], tmp_path, segmenter, dataclasses.replace(ALL, part=part))
    assert [line["time"] for line in read_lines(outcome.folder)] == pytest.approx([0, 0.5], abs=1e-3)
    assert [time for time, _ in VideoReader(outcome.folder / "overlay.mp4").timed()] == pytest.approx([0, 0.5])
    assert heard_clicks(outcome.folder / "overlay.mp4")[0] == pytest.approx([0.25], abs=0.03)
    frames = [frame.image for frame in part.frames(VideoReader(files / "clip.mp4"))]
    assert read_json(outcome.folder / "results.json") == results_of(segmenter(frames), segmenter)


def test_part_without_frames_is_named(files, segmenter, tmp_path):
    (outcome,) = segment_videos([files / "clip.mp4"], tmp_path, segmenter, SegmentSettings(part=Part(7.0)))
    assert outcome.status == "broken" and "clip.mp4: found no frame from --start to --end" in outcome.error
    content = read_json(outcome.folder / "video.json")
    assert (content["status"], content["error"], content["files"]) == ("broken", outcome.error, {})


def test_low_scores_are_left_out_of_the_results_alone(whole, files, segmenter, tmp_path):
    everything = read_json(whole / "results.json")
    middle = sorted(track["score"] for track in everything)[len(everything) // 2]
    settings = dataclasses.replace(ALL, results_threshold=middle)
    (outcome,) = segment_videos([files / "clip.mp4"], tmp_path, segmenter, settings)
    results = read_json(outcome.folder / "results.json")
    assert results == [track for track in everything if track["score"] >= middle] and len(results) < len(everything)
    assert (outcome.folder / "objects.jsonl").read_bytes() == (whole / "objects.jsonl").read_bytes()


def test_results_can_be_evaluated(whole, tmp_path):
    """By the metric's own reader."""
    from ifc.ytvis.metric.result_tracks import read_results

    content = read_json(whole / "video.json")
    names = [f"{index}.jpg" for index in range(len(TIMES))]
    gt = {
        "videos": [{"id": 1, "height": HEIGHT, "width": WIDTH, "length": len(TIMES), "file_names": names}],
        "categories": content["categories"],
        "annotations": [],
    }
    (tmp_path / "gt.json").write_text(json.dumps(gt))
    tracks = read_results(whole / "results.json", read_ground_truth(tmp_path / "gt.json"))
    assert len(tracks) > 0


def test_inputs_that_fail_stop_no_other(files, segmenter, tmp_path):
    (tmp_path / "notes.mp4").write_text("no video " * 100)
    broken = write_noise_video(tmp_path / "broken.mp4", 40)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    inputs = [tmp_path / "nowhere.mp4", tmp_path / "notes.mp4", broken, files / "other.mp4"]
    outcomes = segment_videos(inputs, tmp_path / "out", segmenter, ALL)
    assert [outcome.status for outcome in outcomes] == ["broken", "broken", "broken", "finished"]
    for outcome, word in zip(outcomes, ("no such file", "unreadable video", "the video breaks at frame"), strict=False):
        assert str(outcome.input) in outcome.error and word in outcome.error
    assert visible(tmp_path / "out") == ["broken", "other"]
    check_folder(outcomes[2].folder, "broken")
    with pytest.raises(IncompleteVideoError) as incomplete:
        segmenter(broken)
    assert outcomes[2].num_frames == incomplete.value.prediction.num_frames > 5
    expected = results_of(incomplete.value.prediction, segmenter)
    assert read_json(outcomes[2].folder / "results.json") == expected


def check_folder(folder, status):
    """Everything in a folder fits together. Returns the number of frames."""
    content, lines = read_json(folder / "video.json"), read_lines(folder)
    assert content["status"] == status and content["num_frames"] == len(lines) > 0
    assert sorted(os.listdir(folder)) == sorted(["video.json", *content["files"].values()])
    assert all(len(track["segmentations"]) == len(lines) for track in read_json(folder / "results.json"))
    assert len(list(VideoReader(folder / "overlay.mp4"))) == len(lines)
    assert len(list((folder / "masks").glob("*.png"))) == len(lines)
    assert {t["id"] for t in content["tracks"]} == {e["track_id"] for line in lines for e in line["objects"]}
    return len(lines)


def test_what_is_finished_is_skipped(files, segmenter, tmp_path):
    inputs, again = [files / "clip.mp4", files / "other.mp4"], dataclasses.replace(ALL, overwrite=True)

    def are_skipped(settings=ALL):
        outcomes = segment_videos(inputs, tmp_path, segmenter, settings)
        assert [outcome.status for outcome in outcomes] == ["finished", "finished"]
        assert visible(tmp_path) == ["clip", "other"]
        return [outcome.skipped for outcome in outcomes]

    assert are_skipped() == [False, False]
    assert are_skipped() == [True, True]
    assert are_skipped(again) == [False, False]
    os.remove(tmp_path / "clip" / "overlay.mp4")
    assert are_skipped() == [False, True]
    content = read_json(tmp_path / "other" / "video.json")
    (tmp_path / "other" / "video.json").write_text(json.dumps(content | {"status": "running"}))
    assert are_skipped() == [True, False]
    for other in ({"weights_sha256": "0"}, {"categories": content["categories"][::-1]}):
        (tmp_path / "other" / "video.json").write_text(json.dumps(content | other))
        assert are_skipped() == [True, False]
    assert are_skipped(dataclasses.replace(ALL, threshold=0.4, masks=False)) == [False, False]
    assert not (tmp_path / "clip" / "masks").exists(), "what an earlier run left would not fit"
    inputs[1] = tmp_path.parent / "other.mp4"
    inputs[1].write_bytes((files / "other.mp4").read_bytes())
    segment_videos(inputs[1:], tmp_path, segmenter, ALL)
    assert visible(tmp_path) == ["clip", "other", "other_2"], "another file of the same name"


def test_folders_of_others_are_left_alone(files, segmenter, tmp_path):
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "thesis.txt").write_text("mine")
    (tmp_path / "clip_2").mkdir()
    (tmp_path / "clip_2" / "video.json").write_text("not a json")
    (outcome,) = segment_videos([files / "clip.mp4"], tmp_path, segmenter)
    assert outcome.folder.name == "clip_3"
    assert os.listdir(tmp_path / "clip") == ["thesis.txt"] and os.listdir(tmp_path / "clip_2") == ["video.json"]
    (outcome.folder / "notes.txt").write_text("mine")
    (outcome.folder / ".overlay.mp4.123.part").write_text("of a run that was killed")
    segment_videos([files / "clip.mp4"], tmp_path, segmenter, SegmentSettings(overwrite=True))
    assert (outcome.folder / "notes.txt").read_text() == "mine"
    assert not (outcome.folder / ".overlay.mp4.123.part").exists()


@pytest.mark.parametrize("name", ["ビデオ é", "y" * 251, "ü" * 125, " . ", "a.b"])
def test_any_name(segmenter, tmp_path, name):
    path = write_video(tmp_path / f"{name}.mp4", [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 3)
    (outcome,) = segment_videos([path], tmp_path / "out", segmenter)
    assert outcome.status == "finished" and outcome.folder.parent == tmp_path / "out"
    assert read_json(outcome.folder / "video.json")["input"] == str(path)


def test_folder_of_frames(files, segmenter, tmp_path):
    frames = list(VideoReader(files / "other.mp4"))
    (tmp_path / "frames").mkdir()
    for index, frame in enumerate(frames):
        assert cv2.imwrite(str(tmp_path / "frames" / f"{index}.png"), frame[:, :, ::-1])
    settings = dataclasses.replace(ALL, frame_rate=5)
    (outcome,) = segment_videos([tmp_path / "frames"], tmp_path, segmenter, settings)
    assert outcome.folder.name == "frames_2", "a folder with other files in it is no place for results"
    assert [time for time, _ in VideoReader(outcome.folder / "overlay.mp4").timed()] == pytest.approx(
        [index / 5 for index in range(6)]
    )
    assert read_json(outcome.folder / "results.json") == results_of(segmenter(frames), segmenter)
    assert segment_videos([tmp_path / "frames"], tmp_path, segmenter, settings)[0].skipped
    os.utime(tmp_path / "frames" / "3.png", (0, 1))
    assert segment_videos([tmp_path / "frames"], tmp_path, segmenter, settings)[0].skipped
    os.utime(tmp_path / "frames" / "3.png")
    assert not segment_videos([tmp_path / "frames"], tmp_path, segmenter, settings)[0].skipped


@pytest.fixture
def long_clip(tmp_path):
    return write_noise_video(tmp_path / "long.mp4", 300)


@pytest.mark.parametrize("how", ["progress", "stop"])
def test_run_that_is_stopped_leaves_valid_files(files, segmenter, long_clip, tmp_path, how):
    seen = []

    def progress(name, done, total, rate):
        assert (name, total) == (str(long_clip), 300) and rate > 0
        seen.append(done)
        return how != "progress" or done < 7

    inputs = [long_clip, files / "other.mp4"]
    outcomes = segment_videos(inputs, tmp_path / "out", segmenter, ALL, progress, lambda: len(seen) >= 7)
    assert [outcome.status for outcome in outcomes] == ["interrupted"]
    assert check_folder(outcomes[0].folder, "interrupted") == 7 == seen[-1]
    again = segment_videos(inputs[:1], tmp_path / "out", segmenter, dataclasses.replace(ALL, part=Part(0, 0.5)))
    assert not again[0].skipped and again[0].folder == outcomes[0].folder


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), "interrupted"), (RuntimeError("bug"), "broken")])
def test_any_other_end_leaves_valid_files(segmenter, long_clip, tmp_path, error, status):
    def progress(name, done, total, rate):
        if done == 5:
            raise error

    threads = threading.active_count()
    with pytest.raises(type(error)):
        segment_videos([long_clip], tmp_path / "out", segmenter, ALL, progress)
    assert check_folder(tmp_path / "out" / "long", status) == 5
    assert threading.active_count() <= threads


def test_video_that_is_running_says_so(files, segmenter, tmp_path):
    def progress(name, done, total, rate):
        content = read_json(tmp_path / "clip.part" / "video.json")
        assert (content["status"], content["num_frames"]) == ("running", 0)
        assert len(read_lines(tmp_path / "clip.part")) == done == len(read_folder(tmp_path / "clip.part").times)

    segment_videos([files / "clip.mp4"], tmp_path, segmenter, ALL, progress)
    assert visible(tmp_path) == ["clip"]


def test_output_that_cannot_be_written_stops_no_other(files, segmenter, tmp_path, monkeypatch):
    write = OverlaySink.write

    def full(self, frame):
        if frame.index == 3:
            raise VideoWriteError("overlay.mp4: the video cannot be written: No space left on device")
        write(self, frame)

    monkeypatch.setattr(OverlaySink, "write", full)
    (outcome,) = segment_videos([files / "clip.mp4"], tmp_path, segmenter, ALL)
    assert outcome.status == "broken" and outcome.num_frames == len(TIMES) and "No space left" in outcome.error
    content = read_json(tmp_path / "clip" / "video.json")
    assert content["status"] == "broken" and "overlay" not in content["files"]
    assert sorted(os.listdir(tmp_path / "clip")) == sorted(["video.json", *content["files"].values()])
    assert len(read_json(tmp_path / "clip" / "results.json")) > 3


def test_outputs_that_cannot_be_finished_stop_no_other(files, segmenter, tmp_path, monkeypatch):
    """As where the disk is full at the very end, for two outputs in a row."""

    def full(self, whole):
        raise OSError(28, "No space left on device", type(self).__name__)

    for sink in (OverlaySink, MasksSink):
        monkeypatch.setattr(sink, "close", full)
    monkeypatch.setattr(ObjectsSink, "_write_results", lambda self: full(self, True))
    (outcome,) = segment_videos([files / "clip.mp4"], tmp_path, segmenter, ALL)
    content = read_json(tmp_path / "clip" / "video.json")
    assert content["status"] == outcome.status == "broken"
    assert all(f"{name}: No space left" in outcome.error for name in ("OverlaySink", "MasksSink", "ObjectsSink"))
    assert sorted(content["files"]) == ["boxes", "cutouts", "masks", "objects"]
    assert sorted(os.listdir(tmp_path / "clip")) == sorted(["video.json", *content["files"].values()])


def test_run_that_can_write_nothing_ends(segmenter, long_clip, tmp_path, monkeypatch):
    def full(self, frame):
        raise OSError(28, "No space left on device")

    for sink in (OverlaySink, ObjectsSink):
        monkeypatch.setattr(sink, "write", full)
    (outcome,) = segment_videos([long_clip], tmp_path / "out", segmenter)
    assert outcome.status == "broken" and outcome.num_frames == 0 and "No space left" in outcome.error


@pytest.mark.skipif(os.name == "nt", reason="no limits of files")
def test_disk_that_fills_up_leaves_whole_lines(segmenter, long_clip, tmp_path):
    import resource

    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, usual[1]))  # as a full disk does, a write ends in the middle
    try:
        (outcome,) = segment_videos([long_clip], tmp_path / "out", segmenter)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    content = read_json(outcome.folder / "video.json")
    assert content["status"] == outcome.status == "broken"
    assert content["files"] == {"objects": "objects.jsonl"}
    for name in ("objects.jsonl", "overlay.mp4"):
        assert str(outcome.folder / name) in outcome.error
    assert sorted(os.listdir(outcome.folder)) == ["objects.jsonl", "video.json"]
    assert 0 < len(read_lines(outcome.folder)) < 300


def test_disk_without_room_for_a_longer_manifest_still_gets_the_status(files, segmenter, tmp_path, monkeypatch):
    written = manifest.whole_file

    def full(path, lasting):
        if lasting:  # the last one
            raise OSError(28, "No space left on device", str(path))
        return written(path, lasting)

    monkeypatch.setattr(manifest, "whole_file", full)
    (outcome,) = segment_videos([files / "clip.mp4"], tmp_path, segmenter, ALL)
    assert (outcome.status, outcome.num_frames) == ("broken", len(TIMES)) and "No space left" in outcome.error
    content = read_json(tmp_path / "clip" / "video.json")
    assert (content["status"], content["num_frames"], content["tracks"]) == ("broken", len(TIMES), [])
    assert content["error"] == outcome.error and str(tmp_path / "clip" / "video.json") in outcome.error
    assert len(read_folder(tmp_path / "clip").tracks) > 3
    assert len(read_json(tmp_path / "clip" / "results.json")) > 3


def test_output_that_is_a_file_is_named(files, segmenter, tmp_path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(OSError, match="out"):
        segment_videos([files / "clip.mp4"], tmp_path / "out", segmenter)


class Camera(_ReadOnce):
    is_live = True
    name = "camera 0"
    frame_rate = 30.0

    def __init__(self, frames, hangs):
        self._hangs = hangs
        self._start(self._grab(frames), "no frame")

    def _grab(self, frames):
        for index, frame in enumerate(frames):
            yield TimedFrame(index / 30, frame)
        self._hangs.wait()


def test_camera_is_stopped_while_it_hangs_and_is_never_skipped(files, segmenter, tmp_path, monkeypatch):
    frames, hangs, stop = list(VideoReader(files / "other.mp4")), threading.Event(), threading.Event()
    monkeypatch.setattr(segmenting, "open_frames", lambda *args, **kw: Camera(frames, hangs))

    def progress(name, done, total, rate):
        assert (name, total) == ("0", None)
        if done == 3:  # the window is of 3: what waits for the next frame comes when it is stopped
            threading.Timer(0.2, stop.set).start()

    for folder in ("camera_0", "camera_0_2"):
        stop.clear()
        (outcome,) = segment_videos(["0"], tmp_path, segmenter, ALL, progress, stop.is_set)
        assert outcome.folder == tmp_path / folder
        assert check_folder(outcome.folder, "interrupted") >= 3
        content = read_json(outcome.folder / "video.json")
        assert (content["input"], content["input_bytes"]) == ("0", None)
    hangs.set()


def test_memory_does_not_grow_with_the_video(segmenter, tmp_path, monkeypatch):
    """Frames are read no further ahead than a bound, whatever is slow."""
    read, written, ahead = [], [], []
    timed = VideoReader.timed

    def counted(self, *args):
        for frame in timed(self, *args):
            read.append(frame.time)
            yield frame

    def progress(name, done, total, rate):
        written.append(done)
        ahead.append(len(read) - done)

    monkeypatch.setattr(VideoReader, "timed", counted)
    monkeypatch.setattr(video_run, "_BYTES_AHEAD", 4 * 48 * 80 * 3)
    segment_videos([write_noise_video(tmp_path / "a.mp4", 80)], tmp_path / "out", segmenter, None, progress)
    assert written[-1] == len(read) == 80
    assert max(ahead) < 4 * 2 + segmenter.window + 12


def test_inputs_are_found(tmp_path):
    for name in ("b10.mp4", "b2.MOV", "notes.txt", ".hidden.mp4"):
        (tmp_path / name).write_text("")
    for folder, name in [("frames", "0.jpg"), ("mixed", "1.png"), ("empty", "notes.txt")]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("")
    (tmp_path / "mixed" / "clip.mp4").write_text("")
    videos = [str(tmp_path / name) for name in ("b2.MOV", "b10.mp4")]
    assert find_inputs([tmp_path]) == videos
    assert find_inputs([str(tmp_path / "b*"), tmp_path]) == videos
    assert find_inputs([str(tmp_path / "**" / "*.mp4")]) == [videos[1], str(tmp_path / "mixed" / "clip.mp4")]
    for folder in ("frames", "mixed", "empty"):
        assert find_inputs([tmp_path / folder]) == [str(tmp_path / folder)]
    as_they_are = ["0", "-", "rtsp://camera/stream?x=[1]", "nowhere*.mp4", "nowhere.mp4"]
    assert find_inputs(as_they_are) == as_they_are
    (tmp_path / "[1].mp4").write_text("")
    assert find_inputs([tmp_path / "[1].mp4"]) == [str(tmp_path / "[1].mp4")]


def test_paths_are_never_anything_else(segmenter, tmp_path, monkeypatch):
    """As names of uploaded files may be anything."""
    monkeypatch.chdir(tmp_path)
    for name in ("0", "-", "http://127.0.0.1:9/x.mp4"):
        (outcome,) = segment_videos([Path(name)], tmp_path / "out", segmenter)
        assert outcome.status == "broken" and "no such file" in outcome.error
