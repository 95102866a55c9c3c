# SPDX-License-Identifier: Apache-2.0
"""The video engine around a network whose predictions the test chooses."""

import threading
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from inference.dense_tracker import Window, random_windows, track, window_starts
from pycocotools import mask as coco_mask

from ifc.inference import AssociationSettings, InferenceSettings, VideoInference, VideoPrediction, video
from ifc.inference.mask_encoding import encode_masks
from ifc.inference.segmented_frame import with_classes
from ifc.modeling.network import ClipPrediction, FrameFeatures
from ifc.regions import timed_regions

FRAME_SHAPE = (3, 2, 2)
OUTPUT_SIZE = (13, 17)
MEMORY = AssociationSettings("mask+embedding", similarity=0.3, exemplars=1, memory_frames=6, memory_tracks=3)


class FakeNetwork:
    """Predicts the given windows, and what else the queries say is "no object".

    A frame's features are its pixel value, which the tests make its index.
    """

    def __init__(self, windows: list[Window] = (), most_clips: int = 1000):
        self.windows = {window.first_frame: window for window in windows}
        self.most_clips = most_clips  # at once: more are too many for the device's memory
        self.batches: list[list[int]] = []
        self.clips: list[list[list[int]]] = []  # of each call
        self.most_frames_alive = 0
        self._features: list[weakref.ref] = []

    device = torch.device("cpu")

    def prepare(self) -> None:
        pass

    def encode_frames(self, images: torch.Tensor) -> FrameFeatures:
        value = images[:, 0, 0, 0]
        self.batches.append(value.int().tolist())
        x = value[:, None, None].clone()
        self._features.append(weakref.ref(x))
        alive = [ref() for ref in self._features]
        self.most_frames_alive = max(self.most_frames_alive, sum(len(y) for y in alive if y is not None))
        return FrameFeatures(x, x, None, x[..., None], x[..., None], (1, 1))

    def predict_clips(self, features: FrameFeatures, num_frames: int) -> ClipPrediction:
        clips = features.tokens[:, 0, 0].int().unflatten(0, (-1, num_frames)).tolist()
        if len(clips) > self.most_clips:
            raise torch.OutOfMemoryError
        self.clips.append(clips)
        # Every window has as many queries as the one with most instances needs.
        num_queries = 1 + 2 * max([len(window.class_probs) for window in self.windows.values()], default=0)
        predictions = [self._predict(clip, num_queries) for clip in clips]
        parts = ("pred_logits", "pred_masks", "embeddings")
        return ClipPrediction(*(torch.stack([getattr(p, part) for p in predictions]) for part in parts))

    def _predict(self, clip: list[int], num_queries: int) -> ClipPrediction:
        logits = torch.zeros(num_queries, 4)
        logits[:, -1] = 1
        masks = torch.full((num_queries, len(clip), 4, 5), 9.0)
        embeddings = torch.full((num_queries, 8), torch.nan)
        if (window := self.windows.get(clip[0])) is not None:
            # Between the window's instances lie queries that say "no object".
            instances = slice(1, 2 * len(window.class_probs), 2)
            logits[instances] = torch.from_numpy(np.log(window.class_probs))
            masks[instances] = torch.from_numpy(window.mask_logits)
            if window.embeddings is not None:
                embeddings[instances] = torch.from_numpy(window.embeddings)
        return ClipPrediction(logits, masks, embeddings)


def engine_of(network: FakeNetwork, **settings) -> VideoInference:
    return VideoInference(network, InferenceSettings(**settings))


def frames_of(num_frames: int):
    return (torch.full(FRAME_SHAPE, float(i)) for i in range(num_frames))


def valid_windows(seed: int, num_frames: int, window: int, stride: int) -> list[Window]:
    """Random windows, of whose instances none is most probably "no object"."""
    windows = random_windows(np.random.default_rng(seed), num_frames, window, stride)
    valid = [item.class_probs.argmax(1) != item.class_probs.shape[1] - 1 for item in windows]
    return [
        Window(item.first_frame, item.class_probs[rows], item.mask_logits[rows], item.embeddings[rows])
        for item, rows in zip(windows, valid, strict=True)
    ]


@pytest.mark.parametrize(
    ("num_frames", "window", "stride", "starts"),
    [
        (9, 5, 1, [0, 1, 2, 3, 4]),
        (12, 5, 3, [0, 3, 6, 7]),
        (11, 5, 3, [0, 3, 6]),
        (10, 5, 5, [0, 5]),
        (11, 5, 5, [0, 5, 6]),
        (5, 5, 2, [0]),
        (3, 5, 1, [0]),
        (1, 5, 1, [0]),
        (3, 1, 1, [0, 1, 2]),
    ],
)
@pytest.mark.parametrize("frames_per_batch", [1, 4, 100])
def test_windows(num_frames, window, stride, starts, frames_per_batch):
    network = FakeNetwork()
    engine = engine_of(network, window=window, clip_stride=stride, frames_per_batch=frames_per_batch)
    engine(frames_of(num_frames), OUTPUT_SIZE)
    clips = [clip for clips in network.clips for clip in clips]
    assert clips == [list(range(start, min(start + window, num_frames))) for start in starts]
    assert sum(network.batches, []) == list(range(num_frames))  # the backbone sees each frame once
    assert max(len(batch) for batch in network.batches) == min(frames_per_batch, num_frames)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("num_frames", "window", "stride"), [(1, 3, 1), (2, 5, 2), (14, 4, 1), (15, 5, 3), (13, 4, 4)])
@pytest.mark.parametrize("multi_cls_on", [True, False])
def test_equals_the_definition(num_frames, window, stride, seed, multi_cls_on):
    windows = valid_windows(seed, num_frames, window, stride)
    options = {"window": window, "clip_stride": stride, "multi_cls_on": multi_cls_on, "apply_cls_thres": 0.2}
    prediction = engine_of(FakeNetwork(windows), **options, frames_per_batch=3)(frames_of(num_frames), OUTPUT_SIZE)

    _, class_probs, mask_logits = track(windows, num_frames)
    class_probs = class_probs[:, :-1]
    if multi_cls_on:
        instances, labels = np.nonzero(class_probs > 0.2)
    else:
        instances, labels = np.arange(len(class_probs)), class_probs.argmax(1)
    assert prediction.image_size == OUTPUT_SIZE
    assert [t.instance_id for t in prediction.tracks] == instances.tolist()
    assert prediction.labels == labels.tolist()
    np.testing.assert_allclose(prediction.scores, class_probs[instances, labels], atol=1e-5)
    for item in prediction.tracks:
        assert len(item.masks) == num_frames
        for rle, logits in zip(item.masks, mask_logits[item.instance_id], strict=True):
            resized = F.interpolate(
                torch.from_numpy(logits)[None, None], size=OUTPUT_SIZE, mode="bilinear", align_corners=False
            )
            mask = (resized[0, 0] > 0).numpy()  # NaN, a frame on which no window holds the instance, is not
            np.testing.assert_array_equal(np.zeros_like(mask) if rle is None else coco_mask.decode(rle) == 1, mask)
            assert rle is None or mask.any()


@pytest.mark.parametrize(
    ("window", "stride", "association"), [(5, 2, AssociationSettings()), (5, 2, MEMORY), (4, 4, MEMORY), (1, 1, MEMORY)]
)
def test_cpu_merging_and_batches_do_not_change_the_result(window, stride, association):
    windows = valid_windows(3, 20, window, stride)
    settings = {"window": window, "clip_stride": stride, "association": association}
    results: list[VideoPrediction] = [
        engine_of(FakeNetwork(windows), **settings, **options)(frames_of(20), OUTPUT_SIZE)
        for options in (
            {},
            {"merge_on_cpu": True},
            {"frames_per_batch": 1},
            {"frames_per_batch": 20},
            {"frames_per_batch": 20, "windows_per_batch": 1},
            {"frames_per_batch": 20, "windows_per_batch": 3},
        )
    ]
    assert results[0].tracks
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("window", "stride"), [(4, 1), (3, 3), (1, 1)])
@pytest.mark.parametrize("batch", [1, 3, 20])
def test_stream_says_of_tracks_that_may_return_what_the_whole_video_does(window, stride, batch, seed):
    """Each ends on a frame, and the classes of those on a frame are known, however long they were absent before."""
    windows = valid_windows(seed, 20, window, stride)
    engine = engine_of(FakeNetwork(windows), window=window, clip_stride=stride, association=MEMORY)
    expected = engine(frames_of(20), OUTPUT_SIZE)
    stream, waiting, classes, found = engine.stream(OUTPUT_SIZE), list(frames_of(20)), {}, []
    while waiting:
        output = stream.push(waiting[:batch])
        del waiting[:batch]
        found += with_classes(output, classes, engine.settings, OUTPUT_SIZE, "abc")
    found += with_classes(stream.finish(), classes, engine.settings, OUTPUT_SIZE, "abc")
    assert [frame.index for frame in found] == list(range(20)) and not classes
    ended = [(e.instance_id, label, score) for frame in found for e in frame.ended for label, score in e.tracks.items()]
    tracks = [(track.instance_id, track.label, track.score) for track in expected.tracks]
    assert sorted(ended) == tracks
    masks = {track.instance_id: track.masks for track in expected.tracks}
    for i, of_track in masks.items():
        assert [frame.masks.get(i) for frame in found] == of_track
    for frame in found:
        gone = {ended.instance_id for earlier in found[: frame.index] for ended in earlier.ended}
        assert not gone & set(frame.masks)


@pytest.mark.parametrize(("window", "stride"), [(1, 1), (4, 1), (5, 3), (4, 4), (6, 5)])
@pytest.mark.parametrize("batch", [1, 3])
def test_frames_are_handed_out_once_no_later_window_can_hold_them(window, stride, batch):
    stream = engine_of(FakeNetwork(), window=window, clip_stride=stride).stream(OUTPUT_SIZE)
    num_frames, frames = 24, list(frames_of(24))
    handed_out = []
    for pushed in range(batch, num_frames + 1, batch):
        handed_out += [frame.index for frame in stream.push(frames[pushed - batch : pushed]).frames]
        started = [s for s in range(0, pushed, stride) if s + window <= pushed]
        # Wherever the video may end: the windows still to come.
        coming = [
            start
            for end in range(pushed, pushed + 2 * window + stride)
            for start in window_starts(end, window, stride)
            if start not in started
        ]
        final = min(min(coming, default=pushed), pushed) if started else 0
        assert handed_out == list(range(final))
    handed_out += [frame.index for frame in stream.finish().frames]
    assert handed_out == list(range(num_frames))


@pytest.mark.parametrize("batch", [1, 4])
def test_features_are_dropped(batch):
    network = FakeNetwork()
    engine_of(network, window=6, clip_stride=2, frames_per_batch=batch)(frames_of(200), OUTPUT_SIZE)
    # A window, the batch that begins before it and the one that arrives.
    assert 6 <= network.most_frames_alive <= 6 + 2 * batch


def test_frames_are_asked_for_when_needed():
    asked = []

    def frames():
        for i, frame in enumerate(frames_of(30)):
            asked.append((i, len(network.clips)))
            yield frame

    network = FakeNetwork()
    engine_of(network, window=5, frames_per_batch=2)(frames(), OUTPUT_SIZE)
    assert asked[29][1] >= 12  # calls: two windows each


@pytest.mark.parametrize(
    ("frames_per_batch", "windows_per_batch", "sizes"),
    [(1, 0, [1] * 16), (8, 0, [4, 8, 4]), (8, 3, [3, 1, 3, 3, 2, 3, 1]), (20, 1, [1] * 16), (20, 16, [16])],
)
def test_windows_at_once(frames_per_batch, windows_per_batch, sizes):
    network = FakeNetwork()
    engine = engine_of(network, window=5, frames_per_batch=frames_per_batch, windows_per_batch=windows_per_batch)
    engine(frames_of(20), OUTPUT_SIZE)
    assert [len(clips) for clips in network.clips] == sizes


def test_out_of_memory_halves_the_batch(caplog):
    windows = valid_windows(3, 20, 5, 1)
    expected = engine_of(FakeNetwork(windows), window=5)(frames_of(20), OUTPUT_SIZE)
    network = FakeNetwork(windows, most_clips=5)
    engine = engine_of(network, window=5, frames_per_batch=20)
    assert engine(frames_of(20), OUTPUT_SIZE) == expected
    assert [len(clips) for clips in network.clips] == [4, 4, 4, 4]
    assert [record.getMessage()[:65] for record in caplog.records] == [
        "The device ran out of memory with 16 windows at once. Going on wi",
        "The device ran out of memory with 8 windows at once. Going on wit",
    ]
    assert engine(frames_of(20), OUTPUT_SIZE) == expected  # from here on without a warning
    assert len(caplog.records) == 2


def test_out_of_memory_with_one_window_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        engine_of(FakeNetwork(most_clips=0), window=5)(frames_of(6), OUTPUT_SIZE)


def test_running_instances():
    windows = [
        Window(start, np.array([[p, 0.8 - p, 0.1, 0.1]], dtype=np.float32), np.full((1, 3, 4, 5), 5, dtype=np.float32))
        for start, p in enumerate([0.2, 0.4, 0.6])
    ]
    stream = engine_of(FakeNetwork(windows), window=3).stream(OUTPUT_SIZE)
    frames = list(frames_of(5))
    assert stream.push(frames[:2]).running is None
    for frame, mean in zip(frames[2:], [0.2, 0.3, 0.4], strict=True):
        running = stream.push([frame]).running
        assert running.ids.tolist() == [0]
        np.testing.assert_allclose(running.class_probs[0, 0], mean, atol=1e-6)
    last = stream.finish()
    (final,) = last.instances
    assert last.running is None
    np.testing.assert_allclose(final.class_probs[0, 0], 0.4, atol=1e-6)


def test_masks_are_encoded_while_the_network_has_the_next_batch(monkeypatch):
    windows, meeting = valid_windows(3, 12, 3, 1), threading.Barrier(2, timeout=20)
    expected = engine_of(FakeNetwork(windows), window=3)(frames_of(12), OUTPUT_SIZE)

    class Network(FakeNetwork):
        def encode_frames(self, images):
            if self.batches:  # the last batch's masks are on their way
                meeting.wait()
            return super().encode_frames(images)

    num_batches = 0

    def encode(*args):
        nonlocal num_batches
        num_batches += 1
        if num_batches < 4:  # else there is no next one
            meeting.wait()
        return encode_masks(*args)

    monkeypatch.setattr(video, "encode_masks", encode)
    assert engine_of(Network(windows), window=3, frames_per_batch=3)(frames_of(12), OUTPUT_SIZE) == expected
    assert num_batches == 5 and len(expected.tracks) > 3


def test_regions_of_the_device_are_timed_in_turn():
    engine = engine_of(FakeNetwork(valid_windows(3, 12, 3, 1)), window=3, frames_per_batch=3)
    with timed_regions("rest", FakeNetwork.device) as seconds:
        engine(frames_of(12), OUTPUT_SIZE)
    assert {"decoding", "tracker", "masks to RLE", "rest"} <= seconds.keys()
    with timed_regions("rest") as seconds:
        engine(frames_of(12), OUTPUT_SIZE)
    assert "masks to RLE" not in seconds and "tracker" in seconds


def test_output_size_is_that_of_the_frames_if_none_is_given():
    windows = valid_windows(3, 6, 3, 1)
    assert engine_of(FakeNetwork(windows), window=3)(frames_of(6)).image_size == FRAME_SHAPE[1:]


def test_no_gradient_is_recorded():
    windows = valid_windows(3, 6, 3, 1)
    network = FakeNetwork(windows)
    predict = network.predict_clips

    def predict_with_parameter(features, num_frames):
        prediction = predict(features, num_frames)
        parameter = torch.ones((), requires_grad=True)
        return ClipPrediction(prediction.pred_logits * parameter, prediction.pred_masks * parameter)

    network.predict_clips = predict_with_parameter
    stream = engine_of(network, window=3).stream(OUTPUT_SIZE)
    instances = stream.push(list(frames_of(6))).instances + stream.finish().instances
    assert instances and not any(batch.class_probs.requires_grad for batch in instances)


def test_no_frame_is_an_error():
    with pytest.raises(ValueError, match="the video has no frames"):
        engine_of(FakeNetwork(), window=5)([], OUTPUT_SIZE)


@pytest.mark.parametrize("frames_per_batch", [1, 3, 8])
def test_frames_of_different_sizes_are_an_error(frames_per_batch):
    frames = [*frames_of(4), torch.zeros(3, 2, 4)]
    engine = engine_of(FakeNetwork(), window=5, frames_per_batch=frames_per_batch)
    with pytest.raises(ValueError, match=r"frame 4: found shape \(3, 2, 4\), expected \(3, 2, 2\)"):
        engine(frames, OUTPUT_SIZE)
