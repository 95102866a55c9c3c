# SPDX-License-Identifier: Apache-2.0
"""The segmenter: the model's own results, from files and iterables, whole and frame by frame."""

import hashlib
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from pycocotools.mask import encode
from tiny_model import HEIGHT, LENGTH, WIDTH, write_tiny_model

from ifc.precision import fast_precision
from ifc.predictor import IncompleteVideoError, VideoSegmenter
from ifc.video import VideoReader, VideoReadError, VideoWriter
from ifc.ytvis.datasets.shapes import render_video


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("segmenter")
    write_tiny_model(root)
    with VideoWriter(root / "clip.mp4", 25) as writer:
        for frame in render_video(11, HEIGHT, WIDTH, LENGTH).frames:
            writer.write(frame)
    return root


@pytest.fixture(scope="module")
def segmenter(files):
    return VideoSegmenter.from_config(files / "video.yaml", files / "model.pth")


@pytest.fixture(scope="module")
def frames(files):
    return list(VideoReader(files / "clip.mp4"))


def resized(frames):
    transform = T.ResizeShortestEdge([32, 32], 128).get_transform(frames[0])
    return [torch.from_numpy(transform.apply_image(frame).transpose(2, 0, 1).copy()) for frame in frames]


def broken_after(frames, error):
    yield from frames
    raise error


def test_video_file_gives_what_the_model_gives_for_its_frames(segmenter, files, frames):
    prediction = segmenter(files / "clip.mp4")
    with torch.no_grad():
        expected = segmenter.model([{"image": resized(frames), "height": HEIGHT, "width": WIDTH}])
    assert prediction.image_size == expected["image_size"] == (HEIGHT, WIDTH)
    assert prediction.num_frames == LENGTH
    assert len(prediction.tracks) > 3
    assert prediction.scores == expected["pred_scores"]
    assert prediction.labels == expected["pred_labels"]
    assert prediction.masks == expected["pred_masks"]
    assert len(segmenter.classes.names) == 6


def test_precision_is_chosen_by_the_device_unless_it_is_given(files, frames, monkeypatch):
    def dtype_of(*opts):
        segmenter = VideoSegmenter.from_config(files / "video.yaml", files / "model.pth", opts)
        segmenter(frames[:1])
        return segmenter.model.inference.network.network.input_proj.weight.dtype

    for is_fast, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda is_fast=is_fast: {"avx512_bf16": is_fast})
        fast_precision.cache_clear()
        assert dtype_of() == dtype
        assert dtype_of("MODEL.IFC.PRECISION", "float32") == torch.float32
    fast_precision.cache_clear()


def test_any_iterable_of_frames(segmenter, files, frames):
    expected = segmenter(str(files / "clip.mp4"))
    assert segmenter(frames) == expected
    assert segmenter(frame for frame in frames) == expected


def test_frame_may_be_written_over_by_the_next(segmenter, frames):
    def camera():
        picture = np.empty_like(frames[0])
        for frame in frames:
            picture[:] = frame
            yield picture
            picture[:] = 0

    assert segmenter(camera()) == segmenter(frames)


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        (np.zeros((8, 8, 3), np.float32), r"an array \(8, 8, 3\) of float32"),
        (np.zeros((8, 8), np.uint8), r"an array \(8, 8\) of uint8"),
        (np.zeros((8, 8, 1), np.uint8), r"an array \(8, 8, 1\) of uint8"),
        (np.zeros((8, 0, 3), np.uint8), r"an array \(8, 0, 3\) of uint8"),
        (torch.zeros((8, 8, 3), dtype=torch.uint8), "a Tensor"),
        (None, "a NoneType"),
    ],
)
def test_what_is_no_rgb_array_is_named(segmenter, frames, frame, found):
    expected = rf"found {found}, expected an array \(height, width, 3\) of uint8"
    with pytest.raises(ValueError, match=f"frame 0: {expected}"):
        segmenter([frame])
    with pytest.raises(IncompleteVideoError, match=f"frame 2: {expected}"):
        segmenter([*frames[:2], frame])
    with pytest.raises(ValueError, match=f"image: {expected}"):
        segmenter.segment_image(frame)


def test_frames_that_vanish_when_resized_are_named(segmenter):
    with pytest.raises(ValueError, match="frame 0: found 5000 x 1 pixels, expected a longer side of at most"):
        segmenter([np.zeros((5000, 1, 3), np.uint8)])


def test_stream_of_no_frames_at_once_is_an_error(segmenter, frames):
    with pytest.raises(ValueError, match="frames_at_once: found -1, expected at least 0"):
        next(segmenter.stream(frames, -1))


@pytest.mark.parametrize("frames_at_once", [0, 1, 2, 100])
def test_stream(segmenter, frames, frames_at_once):
    expected = segmenter(frames)
    streamed = list(segmenter.stream(frames, frames_at_once))
    assert [frame.index for frame in streamed] == list(range(LENGTH))
    masks = {track.instance_id: track.masks for track in expected.tracks}
    for frame in streamed:
        assert frame.masks == {i: rles[frame.index] for i, rles in masks.items() if rles[frame.index] is not None}
        assert frame.labels.keys() == frame.scores.keys() == frame.masks.keys()
    best = {}
    for track in expected.tracks:
        best[track.instance_id] = max(best.get(track.instance_id, (0, 0)), (track.score, track.label))
    last = streamed[-1]
    assert last.masks
    for i in last.masks:
        assert (pytest.approx(last.scores[i], abs=1e-4), last.labels[i]) == best[i]
    ended = [instance for frame in streamed for instance in frame.ended]
    assert {(e.instance_id, label): score for e in ended for label, score in e.tracks.items()} == pytest.approx(
        {(track.instance_id, track.label): track.score for track in expected.tracks}, abs=1e-4
    )
    assert {e.instance_id: (pytest.approx(e.score, abs=1e-4), e.label) for e in ended} == best


def test_masks_of_a_frame_as_arrays(segmenter, frames):
    frame = next(segmenter.stream(frames))
    arrays = frame.arrays()
    assert (arrays.dtype, arrays.shape) == (bool, (len(frame.masks), HEIGHT, WIDTH)) and len(arrays) > 1
    for array, rle in zip(arrays, frame.masks.values(), strict=True):
        assert encode(np.asfortranarray(array.astype(np.uint8)))["counts"].decode() == rle["counts"]
    assert replace(frame, masks={}).arrays().shape == (0, HEIGHT, WIDTH)


def test_frame_for_supervision(segmenter, frames):
    frame = next(segmenter.stream(frames))
    detections = frame.to_supervision()
    assert len(detections) == len(frame.masks) > 1
    assert detections.tracker_id.tolist() == list(frame.masks)
    np.testing.assert_array_equal(detections.mask, frame.arrays())
    for number, (i, mask) in enumerate(zip(frame.masks, frame.arrays(), strict=True)):
        rows, columns = np.nonzero(mask)
        box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        assert detections.xyxy[number].tolist() == list(box)
        assert detections.confidence[number] == frame.scores[i]
        assert detections.class_id[number] == frame.labels[i]
        assert detections["class_name"][number] == segmenter.classes.names[frame.labels[i]]
    assert len(replace(frame, masks={}).to_supervision()) == 0


def test_supervision_that_is_missing_is_named(segmenter, frames, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match=r"pip install .*supervision"):
        next(segmenter.stream(frames)).to_supervision()


def test_stream_hands_out_frames_while_the_video_goes_on(segmenter, frames):
    read = []

    def camera():
        for i in range(40):
            read.append(i)
            yield frames[i % LENGTH]

    stream = segmenter.stream(camera())
    first = next(stream)
    assert first.index == 0
    assert len(read) < 40  # the window, and what is read ahead
    assert [frame.index for frame in stream] == list(range(1, 40))


def test_channels_are_in_the_order_of_the_config(files):
    segmenter = VideoSegmenter.from_config(files / "coco.yaml", files / "model.pth")
    network, seen = segmenter.model.inference.network, []
    encode_frames = network.encode_frames
    network.encode_frames = lambda batch: seen.append(batch) or encode_frames(batch)
    segmenter([np.full((HEIGHT, WIDTH, 3), (10, 20, 30), np.uint8)] * 2)
    assert seen[0].dtype == torch.uint8 and seen[0].shape == (2, 3, 32, 48)
    assert seen[0][0, :, 5, 5].tolist() == [30, 20, 10]


def test_image(files, frames):
    segmenter = VideoSegmenter.from_config(files / "coco.yaml", files / "model.pth")
    instances = segmenter.segment_image(frames[0])
    assert len(instances) > 0
    assert instances.image_size == instances.pred_masks.shape[1:] == (HEIGHT, WIDTH)


def test_video_that_breaks_keeps_what_is_found(segmenter, frames):
    video = broken_after(frames[:4], VideoReadError("cats.mp4: the video breaks at frame 4"))
    with pytest.raises(IncompleteVideoError, match="cats.mp4: the video breaks at frame 4") as raised:
        segmenter(video)
    assert raised.value.prediction == segmenter(frames[:4])
    assert isinstance(raised.value.__cause__, VideoReadError)


def test_stream_that_breaks_hands_out_all_frames_before(segmenter, frames):
    found = []
    with pytest.raises(VideoReadError, match="the video breaks at frame 4"):
        for frame in segmenter.stream(broken_after(frames[:4], VideoReadError("the video breaks at frame 4"))):
            found.append(frame)
    assert found == list(segmenter.stream(frames[:4]))


def test_video_that_is_broken_from_the_start(segmenter):
    with pytest.raises(VideoReadError, match="nothing can be read"):
        segmenter(broken_after([], VideoReadError("nothing can be read")))


@pytest.mark.parametrize("call", [lambda s: s([]), lambda s: list(s.stream([]))])
def test_no_frames_is_an_error(segmenter, call):
    with pytest.raises(ValueError, match="the video has no frames, expected at least 1"):
        call(segmenter)


def test_frames_that_change_size_are_an_error(segmenter, frames):
    """Also where they are the same once they are resized."""
    larger = np.zeros((2 * HEIGHT, 2 * WIDTH, 3), np.uint8)
    with pytest.raises(IncompleteVideoError, match="frame 2: found 128 x 192 pixels, expected the 64 x 96") as raised:
        segmenter([*frames[:2], larger])
    assert raised.value.prediction.num_frames == 2


def test_missing_file_is_named(segmenter, tmp_path):
    with pytest.raises(VideoReadError, match=r"nowhere\.mp4: no such file or folder"):
        segmenter(tmp_path / "nowhere.mp4")


def test_weights_are_required(files):
    with pytest.raises(ValueError, match="MODEL.WEIGHTS: found nothing, expected a checkpoint"):
        VideoSegmenter.from_config(files / "video.yaml", "")


def test_what_results_depend_on_is_told(files):
    def settings(*opts):
        return VideoSegmenter.from_config(files / "video.yaml", files / "model.pth", opts).settings

    plain = VideoSegmenter.from_config(files / "video.yaml", files / "model.pth", ["MODEL.IFC.PRECISION", "float32"])
    assert plain.window == plain.settings["INPUT"]["SAMPLING_FRAME_NUM"] == 3
    assert plain.weights_hash == hashlib.sha256((files / "model.pth").read_bytes()).hexdigest()
    assert plain.settings == json.loads(json.dumps(plain.settings)) == settings("MODEL.IFC.PRECISION", "float32")
    assert settings()["MODEL"]["IFC"]["PRECISION"] in ("float32", "bfloat16")
    for key, value in {
        "MODEL.IFC.CLIP_STRIDE": 2,
        "INPUT.MIN_SIZE_TEST": 48,
        "MODEL.PIXEL_MEAN": [1.0, 2.0, 3.0],
    }.items():
        assert settings("MODEL.IFC.PRECISION", "float32", key, value) != plain.settings
    assert settings("MODEL.IFC.PRECISION", "float32", "SOLVER.BASE_LR", 1.0) == plain.settings
