# SPDX-License-Identifier: Apache-2.0
"""Masks to RLE, and tracks from instances."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pycocotools import mask as coco_mask

from ifc.inference.results import FrameMasks, Rle, Track, build_prediction, encode_masks
from ifc.inference.tracker import FinishedInstances


@pytest.mark.parametrize("count", [0, 1, 16, 40])
def test_masks_equal_pycocotools_one_by_one(count):
    logits = torch.randn(count, 5, 7, generator=torch.Generator().manual_seed(0))
    rles = encode_masks(logits, (23, 31))
    assert len(rles) == count
    for rle, instance in zip(rles, logits, strict=True):
        mask = F.interpolate(instance[None, None], size=(23, 31), mode="bilinear", align_corners=False)[0, 0] > 0
        expected = coco_mask.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
        assert rle == {"size": [23, 31], "counts": expected["counts"].decode("ascii")}


def test_empty_masks_are_none():
    logits = torch.stack([torch.ones(2, 3), torch.zeros(2, 3), -torch.ones(2, 3)])
    full, zero, negative = encode_masks(logits, (4, 6))
    assert coco_mask.area(full) == 24
    assert zero is None and negative is None


def _rle(counts: str) -> Rle:
    return Rle(size=[4, 6], counts=counts)


FRAMES = [FrameMasks(0, {0: _rle("a")}), FrameMasks(1, {0: _rle("b"), 2: _rle("c")}), FrameMasks(2, {})]
# Handed out in the order in which they end; instance 1 has no mask at all. The last column is "no object".
INSTANCES = [
    FinishedInstances(np.array([1, 2]), torch.tensor([[0.005, 0.004, 0.991], [0.0, 0.3, 0.7]])),
    FinishedInstances(np.array([0]), torch.tensor([[0.5, 0.25, 0.25]])),
]


def test_one_track_for_every_class_above_the_threshold():
    prediction = build_prediction(FRAMES, INSTANCES, (4, 6), multi_cls_on=True, apply_cls_thres=0.01)
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
    prediction = build_prediction(FRAMES, INSTANCES, (4, 6), multi_cls_on=True, apply_cls_thres=0.25)
    assert [(track.instance_id, track.label) for track in prediction.tracks] == [(0, 0), (2, 1)]


def test_best_class_alone_whatever_its_probability():
    prediction = build_prediction(FRAMES, INSTANCES, (4, 6), multi_cls_on=False, apply_cls_thres=0.4)
    assert [(track.instance_id, track.label) for track in prediction.tracks] == [(0, 0), (1, 0), (2, 1)]
    assert prediction.scores == [0.5, pytest.approx(0.005), pytest.approx(0.3)]
    assert prediction.masks[1] == [None, None, None]


def test_no_instance():
    prediction = build_prediction(FRAMES[2:], [], (4, 6), multi_cls_on=True, apply_cls_thres=0.01)
    assert prediction.tracks == [] and prediction.masks == []
