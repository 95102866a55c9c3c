# SPDX-License-Identifier: Apache-2.0
"""What goes wrong, and what it costs: TIDE's error types (Bolya et al., "TIDE: A General Toolbox for Identifying Object
Detection Errors", 2020) on tracks, with the spatio-temporal IoU; and the confusion between categories.

Of the results that match no object of their category at IoU 0.5, each has one error:

    duplicate        overlaps an object of its category by 0.5 or more, which another result has already
    classification   overlaps an object of another category by 0.5 or more
    localisation     overlaps an object of its category by 0.1 to 0.5
    both             overlaps an object of another category by 0.1 to 0.5
    background       overlaps no object by 0.1

(the first that holds), and each object that no result matches, nor one with a classification or localisation error has
as its object, is missed. The cost of an error type is by how much AP50 would rise if an oracle corrected it alone: it
would correct the category or the localisation, but remove what then is the second result of an object; remove
duplicates, background and both; and not ask for missed objects.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from ..ground_truth import AnnotatedTrack, GroundTruth, Key
from .result_tracks import ResultTrack
from .video_ap import AREA_RANGES, Overlaps, match, precision_recall_curve, threshold_index, track_ious

FOREGROUND_IOU = 0.5
BACKGROUND_IOU = 0.1
CORRECT, IGNORED = "correct", "ignored"
RESULT_ERRORS = ("classification", "localisation", "both", "duplicate", "background")
MISSED = "missed"
ERROR_TYPES = (*RESULT_ERRORS, MISSED)


@dataclass(frozen=True)
class VideoFindings:
    """What the D results of one video, of all categories, came to; G objects, none of them a crowd.

    `verdicts` (D,) are CORRECT, one of RESULT_ERRORS, or IGNORED, which is a result that matches a crowd. `targets`
    (D,) int is the object that a result matches, or that a classification or localisation error is about, else -1.
    `in_crowd` (D,) bool: overlaps a crowd of any category by 0.5. `ious` (D, G).
    """

    objects: list[AnnotatedTrack]
    object_categories: np.ndarray  # (G,) ids
    results: list[ResultTrack]
    result_categories: np.ndarray  # (D,) ids
    verdicts: list[str]
    targets: np.ndarray
    in_crowd: np.ndarray
    ious: np.ndarray

    @property
    def scores(self) -> np.ndarray:
        """(D,)"""
        return np.array([track.score for track in self.results], dtype=np.float64)

    @property
    def missed(self) -> np.ndarray:
        """(G,) bool"""
        missed = np.ones(len(self.objects), dtype=bool)
        missed[self.targets[self.targets >= 0]] = False
        return missed


def find_errors(ground_truth: GroundTruth, overlaps: dict[Key, Overlaps]) -> dict[int, VideoFindings]:
    """What the results came to, by video id, of each video with objects or results."""
    keys = defaultdict(list)
    for key in overlaps:
        keys[key[0]].append(key)
    return {video_id: _judge_video(overlaps, keys[video_id]) for video_id in sorted(keys)}


def _judge_video(overlaps: dict[Key, Overlaps], keys: list[Key]) -> VideoFindings:
    """Judge the results of one video, whose categories are those of `keys`."""
    objects, object_categories, crowds = [], [], []
    results, result_categories, verdicts, targets = [], [], [], []
    for key in keys:
        of_category = overlaps[key]
        matches = match(of_category, AREA_RANGES)
        first = (0, threshold_index(FOREGROUND_IOU))  # of all areas
        counted = [not track.is_crowd for track in of_category.annotated]
        place = len(objects) + np.cumsum(counted) - 1  # of an annotated track among the objects
        for index, ignored in zip(matches.objects[first], matches.ignored[first], strict=True):
            verdicts.append(IGNORED if ignored else CORRECT if index >= 0 else "")
            targets.append(place[index] if index >= 0 and not ignored else -1)
        for track, is_object in zip(of_category.annotated, counted, strict=True):
            (objects if is_object else crowds).append(track)
        object_categories += [key[1]] * sum(counted)
        results += of_category.results
        result_categories += [key[1]] * len(of_category.results)

    findings = VideoFindings(
        objects=objects,
        object_categories=np.array(object_categories, dtype=object),
        results=results,
        result_categories=np.array(result_categories, dtype=object),
        verdicts=verdicts,
        targets=np.array(targets, dtype=np.int64),
        in_crowd=(track_ious(results, crowds) >= FOREGROUND_IOU).any(axis=1),
        ious=track_ious(results, objects),
    )
    for d in [d for d, verdict in enumerate(verdicts) if not verdict]:
        findings.verdicts[d], findings.targets[d] = _name_error(findings, d)
    return findings


def _name_error(findings: VideoFindings, d: int) -> tuple[str, int]:
    """The error of a result that matches nothing, and the object that could be corrected."""
    same = findings.object_categories == findings.result_categories[d]
    own, own_iou = _nearest(findings.ious[d], same)
    other, other_iou = _nearest(findings.ious[d], ~same)
    if own_iou >= FOREGROUND_IOU:
        return "duplicate", -1
    if other_iou >= FOREGROUND_IOU:
        return "classification", other
    if own_iou >= BACKGROUND_IOU:
        return "localisation", own
    if other_iou >= BACKGROUND_IOU:
        return "both", -1
    return "background", -1


def _nearest(ious: np.ndarray, allowed: np.ndarray) -> tuple[int, float]:
    """Index and IoU of the object of highest IoU among those allowed; -1 and 0 if none is."""
    if not allowed.any():
        return -1, 0.0
    index = int(np.where(allowed, ious, -1.0).argmax())
    return index, float(ious[index])


# ---------------------------------------------------------------------------------------------------------------------
# Cost


@dataclass(frozen=True)
class ErrorCost:
    """How often an error occurs, and AP50's rise, as a fraction of 1, if it did not."""

    count: int
    ap50_rise: float


@dataclass(frozen=True)
class _Results:
    """All counted results; `targets` are objects numbered over all videos, -1 for none."""

    categories: np.ndarray  # (D,)
    scores: np.ndarray  # (D,)
    verdicts: np.ndarray  # (D,) str
    targets: np.ndarray  # (D,)


def error_costs(findings: dict[int, VideoFindings]) -> dict[str, ErrorCost]:
    """The cost of each of ERROR_TYPES."""
    results, object_categories, missed = _join(findings)
    correct = results.verdicts == CORRECT
    base = _ap50(results, correct, np.ones(len(correct), dtype=bool), object_categories)
    costs = {}
    for error in RESULT_ERRORS:
        wrong = results.verdicts == error
        fixed, kept = correct.copy(), ~wrong
        corrected = results
        if error in ("classification", "localisation"):
            best = _best_of_each_object(results, correct | wrong)
            fixed, kept = best, ~(correct | wrong) | best
            categories = results.categories.copy()
            categories[wrong] = object_categories[results.targets[wrong]]
            corrected = _Results(categories, results.scores, results.verdicts, results.targets)
        ap50 = _ap50(corrected, fixed, kept, object_categories)
        costs[error] = ErrorCost(int(wrong.sum()), ap50 - base)
    kept = np.ones(len(correct), dtype=bool)
    costs[MISSED] = ErrorCost(int(missed.sum()), _ap50(results, correct, kept, object_categories[~missed]) - base)
    return costs


def _join(findings: dict[int, VideoFindings]) -> tuple[_Results, np.ndarray, np.ndarray]:
    """The counted results of all videos, their objects' categories (G,) and which of these are missed (G,)."""
    categories, scores, verdicts, targets = [], [], [], []
    object_categories, missed = [], []
    for video in findings.values():
        counted = [d for d, verdict in enumerate(video.verdicts) if verdict != IGNORED]
        categories += [video.result_categories[d] for d in counted]
        scores += video.scores[counted].tolist()
        verdicts += [video.verdicts[d] for d in counted]
        targets += [t + len(object_categories) if t >= 0 else -1 for t in video.targets[counted].tolist()]
        object_categories += list(video.object_categories)
        missed += video.missed.tolist()
    results = _Results(
        np.array(categories, dtype=object), np.array(scores), np.array(verdicts, dtype=str), np.array(targets, int)
    )
    return results, np.array(object_categories, dtype=object), np.array(missed, dtype=bool)


def _best_of_each_object(results: _Results, candidates: np.ndarray) -> np.ndarray:
    """Of the results among `candidates` (D,) that have the same object, the one of highest score: (D,) bool."""
    best = np.zeros(len(candidates), dtype=bool)
    order = np.argsort(-results.scores, kind="stable")
    order = order[candidates[order]]
    _, first = np.unique(results.targets[order], return_index=True)
    best[order[first]] = True
    return best


def _ap50(results: _Results, correct: np.ndarray, kept: np.ndarray, object_categories: np.ndarray) -> float:
    """Mean over the categories with objects of AP at IoU 0.5; 0 if there are none."""
    aps = []
    for category in set(object_categories.tolist()):
        chosen = np.flatnonzero(kept & (results.categories == category))
        chosen = chosen[np.argsort(-results.scores[chosen], kind="stable")]
        true_positives = np.cumsum(correct[chosen])[None]
        false_positives = np.cumsum(~correct[chosen])[None]
        num_objects = int((object_categories == category).sum())
        aps.append(precision_recall_curve(true_positives, false_positives, num_objects)[0].mean())
    return float(np.mean(aps)) if aps else 0.0


# ---------------------------------------------------------------------------------------------------------------------
# At one score


def best_score(findings: dict[int, VideoFindings]) -> float:
    """The score that, as the least of what counts as found, gives the highest F1 at IoU 0.5; inf without results."""
    results, object_categories, _ = _join(findings)
    order = np.argsort(-results.scores, kind="stable")
    scores = results.scores[order]
    if not scores.size:
        return float("inf")
    true_positives = np.cumsum(results.verdicts[order] == CORRECT)
    f1 = 2 * true_positives / (np.arange(1, len(scores) + 1) + len(object_categories))
    is_last_of_equals = np.append(scores[1:] != scores[:-1], True)
    return float(scores[np.where(is_last_of_equals, f1, -1).argmax()])


def confusion(findings: dict[int, VideoFindings], category_ids: list[int], score: float) -> np.ndarray:
    """How often an object of one category was found as another.

    Each result of `score` or more, the highest first, takes the free object of highest IoU, 0.5 or more, of any
    category. A result that takes none and overlaps a crowd by 0.5 is left out.

    Returns:
        (K + 1, K + 1) int: objects' categories in the rows, the last one for no object; results' categories in the
        columns, the last one for no result.
    """
    index = {category_id: k for k, category_id in enumerate(category_ids)}
    counts = np.zeros((len(index) + 1, len(index) + 1), dtype=np.int64)
    for video in findings.values():
        free = np.ones(len(video.objects), dtype=bool)
        for d in np.argsort(-video.scores, kind="stable"):
            if video.results[d].score < score:
                break
            target, iou = _nearest(video.ious[d], free)
            if iou >= FOREGROUND_IOU:
                free[target] = False
                counts[index[video.object_categories[target]], index[video.result_categories[d]]] += 1
            elif not video.in_crowd[d]:
                counts[-1, index[video.result_categories[d]]] += 1
        for category in video.object_categories[free]:
            counts[index[category], -1] += 1
    return counts
