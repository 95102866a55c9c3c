# SPDX-License-Identifier: Apache-2.0
"""AP by length and motion against COCOeval, which gets length and motion in the place of the area."""

import copy
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from pycocotools import mask as mask_utils
from ytvis.metric.random_cases import cases
from ytvis.metric.video_coco import evaluate_groups_slowly

from ifc.ytvis.ground_truth import MaskTrack, read_ground_truth
from ifc.ytvis.metric import breakdown
from ifc.ytvis.metric.breakdown import GroupNumbers
from ifc.ytvis.metric.result_tracks import read_results
from ifc.ytvis.metric.video_ap import find_overlaps

# pycocotools' decode, which only the oracles need, is older than NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:pycocotools")


def slow_motion(masks, step):
    """The mean IoU of the boxes, as masks; -1, which is in no group, where there is no pair of frames."""
    boxes = []
    for frame in masks:
        rows, columns = np.flatnonzero(frame.any(axis=1)), np.flatnonzero(frame.any(axis=0))
        box = np.zeros(frame.shape, dtype=bool)
        if rows.size:
            box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        boxes.append(box)
    pairs = [(a, b) for a, b in zip(boxes, boxes[step:], strict=False) if a.any() and b.any()]
    return np.mean([(a & b).sum() / (a | b).sum() for a, b in pairs]) if pairs else -1


def assert_equal(groups, expected):
    for numbers, (ap, ap50, ar100) in zip(groups.values(), expected, strict=True):
        for value, slow_value in ((numbers.ap, ap), (numbers.ap50, ap50), (numbers.ar100, ar100)):
            assert value == (slow_value if slow_value is None else pytest.approx(slow_value, rel=0, abs=1e-9))


@settings(max_examples=30)
@given(cases())
def test_equals_cocoeval_on_random_cases(case):
    ground_truth, results = case
    read = read_ground_truth(ground_truth)
    overlaps = find_overlaps(read, read_results(results, read))
    bounds = {"short": (1, 1), "medium": (2, 2), "long": (3, np.inf)}  # the random videos have up to three frames
    with mock.patch.object(breakdown, "LENGTH_BOUNDS", bounds):
        by_length = breakdown.by_length(read, overlaps)
    by_motion = breakdown.by_motion(read, overlaps, step=1)
    for groups, value, bounds_of_groups in (
        (by_length, lambda masks: masks.any(axis=(1, 2)).sum(), bounds),
        (by_motion, lambda masks: slow_motion(masks, 1), breakdown.MOTION_BOUNDS),
    ):
        slow = evaluate_groups_slowly(*copy.deepcopy(case), value, list(bounds_of_groups.values()))
        assert_equal(groups, slow)


def track(*columns, size=(10, 100)):
    """A track whose mask on each frame is ten columns from the given one on, or None."""
    masks = []
    for first in columns:
        mask = np.zeros(size, dtype=np.uint8, order="F")
        mask[:, first or 0 : (first or 0) + 10] = 1
        masks.append(None if first is None else mask_utils.encode(mask))
    return MaskTrack(masks, np.array([0 if first is None else 100 for first in columns]), 100.0)


def test_motion_is_the_mean_iou_of_boxes_some_frames_apart():
    assert breakdown.motion_iou(track(0, 0, 0, 0), 2) == 1
    assert breakdown.motion_iou(track(0, 5, 10, 15), 1) == pytest.approx(5 / 15)
    assert breakdown.motion_iou(track(0, 5, 10, 15), 2) == 0
    assert breakdown.motion_iou(track(0, None, 0, 0, 5), 2) == pytest.approx((1 + 5 / 15) / 2)
    assert np.isnan(breakdown.motion_iou(track(0, None, None, 0), 2))
    assert np.isnan(breakdown.motion_iou(track(0, 0), 5))


def test_the_groups_are_those_of_the_documentation():
    size = {"height": 10, "width": 100}
    lengths = (1, 15, 16, 30, 31, 40)
    videos = [{"id": index, "length": 40, **size} for index in range(len(lengths))]
    annotations = []
    for index, length in enumerate(lengths):
        masks = [*track(*[0] * length).masks, *[None] * (40 - length)]
        areas = [100] * length + [None] * (40 - length)
        annotations.append({"video_id": index, "category_id": 1, "segmentations": masks, "areas": areas})
    read = read_ground_truth({"videos": videos, "categories": [{"id": 1, "name": "x"}], "annotations": annotations})
    overlaps = find_overlaps(read, {})
    nothing = GroupNumbers(ap=0.0, ap50=0.0, ar100=0.0, num_objects=2)
    assert breakdown.by_length(read, overlaps) == {"short": nothing, "medium": nothing, "long": nothing}
    # All stand still; the one of one frame has no motion.
    empty = GroupNumbers(ap=None, ap50=None, ar100=None, num_objects=0)
    still = GroupNumbers(ap=0.0, ap50=0.0, ar100=0.0, num_objects=5)
    assert breakdown.by_motion(read, overlaps) == {"slow": still, "medium": empty, "fast": empty}
