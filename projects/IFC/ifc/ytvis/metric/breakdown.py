# SPDX-License-Identifier: Apache-2.0
"""AP by how long an object is seen and by how far it moves.

As COCO does with area: in the numbers of one group, objects outside of it are ignored, and so are results that match
one of those, or that match nothing and lie outside the group themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as mask_utils

from ..ground_truth import GroundTruth, Key, MaskTrack
from .video_ap import MAX_RESULTS, Overlaps, Ranges, average_precision, mean_of_measured, threshold_index

# 2.5 and 5 seconds at the 6 frames a second of YouTube-VIS.
LENGTH_BOUNDS = {"short": (1, 15), "medium": (16, 30), "long": (31, np.inf)}  # frames
# ImageNet-VID's groups (Zhu et al., "Flow-Guided Feature Aggregation for Video Object Detection", 2017).
MOTION_BOUNDS = {"slow": (np.nextafter(0.9, 1), 1), "medium": (0.7, 0.9), "fast": (0, np.nextafter(0.7, 0))}  # IoU
MOTION_STEP = 2  # frames of YouTube-VIS, a third of a second, like ImageNet-VID's 10 frames of 30 a second


@dataclass(frozen=True)
class GroupNumbers:
    """What was measured of one group of objects, as fractions of 1; None where the group is empty."""

    ap: float | None
    ap50: float | None
    ar100: float | None
    num_objects: int


def by_length(ground_truth: GroundTruth, overlaps: dict[Key, Overlaps]) -> dict[str, GroupNumbers]:
    """The numbers of objects that are seen on 1 to 15 frames ("short"), 16 to 30 ("medium") or more ("long")."""
    return _numbers(ground_truth, overlaps, Ranges(track_length, LENGTH_BOUNDS))


def by_motion(
    ground_truth: GroundTruth, overlaps: dict[Key, Overlaps], step: int = MOTION_STEP
) -> dict[str, GroupNumbers]:
    """The numbers of objects that are "slow" (motion IoU over 0.9), "medium" or "fast" (under 0.7).

    An object that is never seen twice `step` frames apart is in none of the groups.
    """
    return _numbers(ground_truth, overlaps, Ranges(lambda track: motion_iou(track, step), MOTION_BOUNDS))


def track_length(track: MaskTrack) -> int:
    """Frames on which the object is seen."""
    return int(np.count_nonzero(track.mask_areas))


def motion_iou(track: MaskTrack, step: int) -> float:
    """Mean IoU of the object's box with its own box `step` frames later, over all pairs of frames that show it.

    1 is an object that stands still; nan one that is on no such pair.
    """
    present = track.mask_areas > 0
    starts = np.flatnonzero(present[:-step] & present[step:])
    if not starts.size:
        return np.nan
    boxes = np.zeros((len(present), 4))  # x, y, width, height
    boxes[present] = mask_utils.toBbox([track.masks[frame] for frame in np.flatnonzero(present)])
    return float(_box_ious(boxes[starts], boxes[starts + step]).mean())


def _box_ious(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """IoU of each of N boxes (N, 4) with its counterpart."""
    lowest = np.maximum(first[:, :2], second[:, :2])
    highest = np.minimum(first[:, :2] + first[:, 2:], second[:, :2] + second[:, 2:])
    intersections = np.maximum(highest - lowest, 0).prod(axis=1)
    return intersections / (first[:, 2:].prod(axis=1) + second[:, 2:].prod(axis=1) - intersections)


def _numbers(ground_truth: GroundTruth, overlaps: Mapping[Key, Overlaps], ranges: Ranges) -> dict[str, GroupNumbers]:
    precision, recall = average_precision(ground_truth, overlaps, ranges)
    objects = [track for of_video in overlaps.values() for track in of_video.annotated if not track.is_crowd]
    num_objects = (~ranges.are_outside(objects)).sum(axis=1)
    most = len(MAX_RESULTS) - 1
    return {
        name: GroupNumbers(
            ap=_measured(precision[:, :, :, group, most]),
            ap50=_measured(precision[threshold_index(0.5), :, :, group, most]),
            ar100=_measured(recall[:, :, group, most]),
            num_objects=int(num_objects[group]),
        )
        for group, name in enumerate(ranges.bounds)
    }


def _measured(values: np.ndarray) -> float | None:
    mean = mean_of_measured(values)
    return None if mean < 0 else mean
