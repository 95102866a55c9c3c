# SPDX-License-Identifier: Apache-2.0
"""Tracks from masks and instances."""

import json
import pickle

import numpy as np
import pytest
import torch

from ifc.inference import FinishedInstances, InferenceSettings
from ifc.inference.results import FrameMasks, Track, TrackMasks, build_prediction
from ifc.ytvis.masks import Rle


def _rle(counts: str) -> Rle:
    return {"size": [4, 6], "counts": counts}


FRAMES = [FrameMasks(0, {0: _rle("a")}), FrameMasks(1, {0: _rle("b"), 2: _rle("c")}), FrameMasks(2, {})]
# Handed out in the order in which they end; instance 1 has no mask at all. The last column is "no object".
INSTANCES = [
    FinishedInstances(np.array([1, 2]), torch.tensor([[0.005, 0.004, 0.991], [0.0, 0.3, 0.7]])),
    FinishedInstances(np.array([0]), torch.tensor([[0.5, 0.25, 0.25]])),
]


def predict(frames, instances, multi_cls_on, apply_cls_thres, num_frames=None):
    settings = InferenceSettings(window=1, multi_cls_on=multi_cls_on, apply_cls_thres=apply_cls_thres)
    return build_prediction(frames, instances, (4, 6), settings, num_frames)


def test_one_track_for_every_class_above_the_threshold():
    prediction = predict(FRAMES, INSTANCES, True, 0.01)
    zero, two = [_rle("a"), _rle("b"), None], [None, _rle("c"), None]
    assert prediction.image_size == (4, 6)
    assert prediction.tracks == [
        Track(0, 0, 0.5, zero), Track(0, 1, 0.25, zero), Track(2, 1, pytest.approx(0.3), two)
    ]  # fmt: skip
    assert prediction.tracks[0].masks is prediction.tracks[1].masks
    assert prediction.scores == [0.5, 0.25, pytest.approx(0.3)]
    assert prediction.labels == [0, 1, 1]
    assert prediction.masks == [zero, zero, two]


def test_the_threshold_itself_is_not_above_it():
    prediction = predict(FRAMES, INSTANCES, True, 0.25)
    assert [(track.instance_id, track.label) for track in prediction.tracks] == [(0, 0), (2, 1)]


def test_best_class_alone_whatever_its_probability():
    prediction = predict(FRAMES, INSTANCES, False, 0.4)
    assert [(track.instance_id, track.label) for track in prediction.tracks] == [(0, 0), (1, 0), (2, 1)]
    assert prediction.scores == [0.5, pytest.approx(0.005), pytest.approx(0.3)]
    assert prediction.masks[1] == [None, None, None]


def test_no_instance():
    prediction = predict(FRAMES[2:], [], True, 0.01)
    assert prediction.tracks == [] and prediction.masks == []


def test_frames_that_could_not_be_read_have_no_masks():
    prediction = predict(FRAMES, INSTANCES, True, 0.25, num_frames=5)
    assert prediction.num_frames == 5
    assert prediction.masks[0] == [_rle("a"), _rle("b"), None, None, None]


def test_masks_are_a_sequence():
    masks = TrackMasks(4, {1: _rle("a"), 3: _rle("b")})
    expected = [None, _rle("a"), None, _rle("b")]
    assert len(masks) == 4 and list(masks) == expected and masks == expected and masks == TrackMasks(4, masks._rles)
    assert [masks[i] for i in range(-4, 4)] == expected * 2
    assert masks[1:] == expected[1:] and masks[::-2] == expected[::-2]
    assert masks != expected[:3] and masks != [*expected[:3], None] and masks != TrackMasks(5, masks._rles)
    for index in (4, -5):
        with pytest.raises(IndexError):
            masks[index]
    assert json.loads(json.dumps(masks, default=list)) == expected
    assert pickle.loads(pickle.dumps(masks)) == masks


def test_a_short_track_of_a_long_video_takes_little_memory():
    assert len(pickle.dumps(TrackMasks(10**6, {5: _rle("a")}))) < 500
