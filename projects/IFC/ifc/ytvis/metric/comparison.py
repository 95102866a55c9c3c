# SPDX-License-Identifier: Apache-2.0
"""How far two files of results of one data set are apart: in AP, and track by track."""

import os
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..ground_truth import read_ground_truth
from .result_tracks import read_results
from .video_ap import AREA_RANGES, STAT_NAMES, average_precision, find_overlaps, require_tracks, summarize, track_ious


def compare_results(
    gt: str | os.PathLike, first: str | os.PathLike, second: str | os.PathLike, score: float
) -> dict[str, Any]:
    """Compare two files of results.

    Tracks of the first are paired with those of the second of the same video and class, one to one with the largest
    total IoU; a track without a partner counts with IoU 0.

    Args:
        gt: a json file in YouTube-VIS's format, with annotations.
        first, second: results.
        score: the smallest score of the tracks that are paired.

    Returns:
        "stats": the twelve numbers of the first, of the second, and their differences; "pairs": number of tracks of the
        first that were to be paired; "mean_iou", "lowest_iou" and "share_above_0.9" over them; "largest_score_change"
        over those with a partner. None where there is no track.

    Raises:
        OSError, ValueError: as the metric.
    """
    ground_truth = read_ground_truth(gt)
    require_tracks(ground_truth)
    both = [read_results(path, ground_truth) for path in (first, second)]
    stats = []
    for results in both:
        precision = average_precision(ground_truth, find_overlaps(ground_truth, results), AREA_RANGES)
        stats.append(summarize(ground_truth, *precision).stats.tolist())

    ious, changes = [], [0.0]
    for key, of_first in both[0].items():
        kept = [track for track in of_first if track.score >= score]
        others = both[1].get(key, [])
        iou = track_ious(kept, others)
        rows, columns = linear_sum_assignment(iou, maximize=True)
        paired = np.zeros(len(kept))
        paired[rows] = iou[rows, columns]
        ious += paired.tolist()
        changes += [abs(kept[i].score - others[j].score) for i, j in zip(rows, columns, strict=True) if iou[i, j] > 0]
    return {
        "stats": {
            name: {"first": a, "second": b, "difference": b - a} for name, a, b in zip(STAT_NAMES, *stats, strict=True)
        },
        "pairs": len(ious),
        "mean_iou": float(np.mean(ious)) if ious else None,
        "lowest_iou": min(ious, default=None),
        "share_above_0.9": float(np.mean(np.array(ious) > 0.9)) if ious else None,
        "largest_score_change": max(changes) if ious else None,
    }
