# SPDX-License-Identifier: Apache-2.0
"""HOTA, IDF1 and MOTA of tracks, by the library TrackEval.

HOTA is by Luiten et al. ("HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", 2021), IDF1 by Ristani et
al. (2016), MOTA by Bernardin and Stiefelhagen (2008). They know no scores: every result counts that is given to them.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils
from scipy.optimize import linear_sum_assignment

from ..ground_truth import GroundTruth, Key, MaskTrack
from .identity import SAME_OBJECT_IOU, FrameOverlap, frame_overlaps
from .result_tracks import ResultTrack
from .video_ap import Overlaps

CROWD_SHARE = 0.5  # of a mask, within a crowd, above which a result that matches no object is left out
NUMBERS = {  # TrackEval's fields, by metric; all are fractions of 1 but IDSW, a count
    "HOTA": ("HOTA", "DetA", "AssA", "LocA"),
    "Identity": ("IDF1", "IDP", "IDR"),
    "CLEAR": ("MOTA", "MOTP", "IDSW"),
}


def load_metrics() -> dict[str, Any]:
    """TrackEval's metrics by name.

    Raises:
        ImportError: the library is not installed.
    """
    try:
        from trackeval import metrics
    except ImportError as error:
        message = "tracking metrics need the library TrackEval, which cannot be imported"
        raise ImportError(f"{message} ({error}): pip install trackeval") from error
    quiet = {"THRESHOLD": SAME_OBJECT_IOU, "PRINT_CONFIG": False}
    return {"HOTA": metrics.HOTA(), "Identity": metrics.Identity(quiet), "CLEAR": metrics.CLEAR(quiet)}


def tracking_numbers(
    ground_truth: GroundTruth, overlaps: dict[Key, Overlaps], score: float
) -> dict[str, dict[str, float]]:
    """NUMBERS of the results of `score` or more, each category by itself.

    On a frame, a result that matches no object and lies in a crowd by more than half is left out.

    Returns:
        numbers by name, by category name, of the categories with objects or results; and under "" of all together,
        whose detections are counted alike. Empty if there are neither.

    Raises:
        ImportError: TrackEval is not installed.
    """
    metrics = load_metrics()
    videos = defaultdict(dict)  # of each category
    for (video_id, category_id), of_video in overlaps.items():
        found = [track for track in of_video.results if track.score >= score]
        sequence = _sequence(of_video, found)
        if sequence["num_gt_ids"] or sequence["num_tracker_ids"]:
            videos[category_id][video_id] = sequence
    combined = defaultdict(dict)  # by metric and category
    for category_id, sequences in sorted(videos.items()):
        for name, metric in metrics.items():
            of_videos = {video_id: metric.eval_sequence(sequence) for video_id, sequence in sequences.items()}
            combined[name][ground_truth.categories[category_id]] = metric.combine_sequences(of_videos)
    numbers = defaultdict(dict)
    for name, of_categories in combined.items():
        together = metrics[name].combine_classes_det_averaged(of_categories)
        for category, fields in {"": together, **of_categories}.items():
            numbers[category] |= {field: float(np.mean(fields[field])) for field in NUMBERS[name]}
    return dict(numbers)


def _sequence(of_video: Overlaps, found: Sequence[ResultTrack]) -> dict[str, Any]:
    """One video and category in the form that TrackEval's metrics take; ids are 0, 1, 2, ..."""
    objects = [track for track in of_video.annotated if not track.is_crowd]
    crowds = [track for track in of_video.annotated if track.is_crowd]
    frames = frame_overlaps(objects, found)
    if crowds:
        frames = [_without_crowds(overlap, found, crowds, frame) for frame, overlap in enumerate(frames)]
    object_ids, num_objects = _renumber([frame.objects for frame in frames])
    result_ids, num_results = _renumber([frame.results for frame in frames])
    return {
        "num_timesteps": len(frames),
        "num_gt_ids": num_objects,
        "num_tracker_ids": num_results,
        "num_gt_dets": sum(map(len, object_ids)),
        "num_tracker_dets": sum(map(len, result_ids)),
        "gt_ids": object_ids,
        "tracker_ids": result_ids,
        "similarity_scores": [frame.ious for frame in frames],
    }


def _without_crowds(
    overlap: FrameOverlap, found: Sequence[MaskTrack], crowds: Sequence[MaskTrack], frame: int
) -> FrameOverlap:
    """The same frame less the results that match no object and lie in a crowd."""
    shown = [crowd.masks[frame] for crowd in crowds if crowd.mask_areas[frame]]
    if not shown or not overlap.results.size:
        return overlap
    masks = [found[d].masks[frame] for d in overlap.results]
    shares = mask_utils.iou(masks, shown, np.ones(len(shown), dtype=np.uint8))  # of the results' masks
    kept = shares.max(axis=1) <= CROWD_SHARE
    rows, columns = linear_sum_assignment(-np.where(overlap.ious >= SAME_OBJECT_IOU, overlap.ious, 0))
    kept[columns[overlap.ious[rows, columns] >= SAME_OBJECT_IOU]] = True
    return FrameOverlap(overlap.objects, overlap.results[kept], overlap.ious[:, kept])


def _renumber(ids_of_frames: list[np.ndarray]) -> tuple[list[np.ndarray], int]:
    """The ids that occur, in order, as 0, 1, 2, ..., and how many they are."""
    occurring = np.unique(np.concatenate([*ids_of_frames, np.zeros(0, dtype=np.int64)]))
    return [np.searchsorted(occurring, ids) for ids in ids_of_frames], len(occurring)
