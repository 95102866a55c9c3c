# SPDX-License-Identifier: Apache-2.0
"""COCO's average precision on video, as YouTube-VIS defines it: json in, numbers out.

It is the COCO metric (Lin et al., "Microsoft COCO: Common Objects in Context", 2014) with a track in the place of an
object and the spatio-temporal IoU of Yang et al. ("Video Instance Segmentation", 2019) in the place of the mask IoU.

Needs NumPy and pycocotools only.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as mask_utils

from ..ground_truth import AnnotatedTrack, GroundTruth, GroundTruthSource, Key, MaskTrack, read_ground_truth
from .result_tracks import ResultsSource, ResultTrack, read_results

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 101)
MAX_RESULTS = (1, 10, 100)  # results counted of one video and category
STAT_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


@dataclass(frozen=True)
class Ranges:
    """Groups of tracks that are measured apart: what lies outside a group's range is ignored in its numbers.

    Attributes:
        value: what the ranges are of; nan lies outside all of them.
        bounds: (lowest, highest) by name, both inclusive.
    """

    value: Callable[[MaskTrack], float]
    bounds: Mapping[str, tuple[float, float]]

    def are_outside(self, tracks: Sequence[MaskTrack]) -> np.ndarray:
        """Whether each of N tracks lies outside each of A ranges: (A, N) bool."""
        values = np.array([self.value(track) for track in tracks], dtype=np.float64)
        bounds = np.array(list(self.bounds.values()))
        return ~((values >= bounds[:, :1]) & (values <= bounds[:, 1:]))


AREA_RANGES = Ranges(
    value=lambda track: track.area,
    bounds={"all": (0, 1e5**2), "small": (0, 128**2), "medium": (128**2, 256**2), "large": (256**2, 1e5**2)},
)


@dataclass(frozen=True)
class Overlaps:
    """The G objects and the D best results of one video and category, best first, and their IoUs (D, G)."""

    annotated: list[AnnotatedTrack]
    results: list[ResultTrack]
    ious: np.ndarray


@dataclass(frozen=True)
class VideoAPResult:
    """The metric's numbers, as fractions of 1; -1 where there is nothing to measure.

    Indices: T `IOU_THRESHOLDS`, R `RECALL_THRESHOLDS`, K categories in ascending order of id, A `AREA_RANGES`,
    M `MAX_RESULTS`.

    Attributes:
        stats: (12,), in the order of `STAT_NAMES`.
        per_category_ap: AP of each category by name, None where the category has no ground truth.
        precision: (T, R, K, A, M), highest precision at that recall or a higher one.
        recall: (T, K, A, M), highest recall reached.
    """

    stats: np.ndarray
    per_category_ap: dict[str, float | None]
    precision: np.ndarray
    recall: np.ndarray


@dataclass(frozen=True)
class Matches:
    """What the D results of one video and category, best first, came to. A ranges, T IoU thresholds."""

    scores: np.ndarray  # (D,)
    objects: np.ndarray  # (A, T, D) int: the object that it matches, -1 for none
    ignored: np.ndarray  # (A, T, D) bool: counts neither for nor against
    num_objects: np.ndarray  # (A,): objects to be found


def evaluate_tracks(ground_truth: GroundTruthSource | GroundTruth, results: ResultsSource) -> VideoAPResult:
    """Compute COCO's AP and AR of video instance segmentation results.

    The IoU of two tracks is the sum over the frames of their intersections, divided by the sum of their unions, exact
    for any length and size. Results of equal score keep the order of their videos' ids and then the file's. Ground
    truth that is a crowd or outside the area range is ignored, and so is a result that matches it; a crowd matches any
    number of results.

    Args:
        ground_truth: a json file in YouTube-VIS's format, the same already loaded, or what `read_ground_truth` returns.
        results: a json file with a list of {"video_id", "category_id", "score", "segmentations"}, or such a list. A
            segmentation is compressed RLE, uncompressed RLE, a list of polygons, or None for no mask.

    Raises:
        OSError: a file cannot be read.
        ValueError: the first fault of the input, with its file and field.
    """
    if not isinstance(ground_truth, GroundTruth):
        ground_truth = read_ground_truth(ground_truth)
    require_tracks(ground_truth)
    overlaps = find_overlaps(ground_truth, read_results(results, ground_truth))
    return summarize(ground_truth, *average_precision(ground_truth, overlaps, AREA_RANGES))


def require_tracks(ground_truth: GroundTruth) -> None:
    """Refuse a split without annotations.

    Raises:
        ValueError: it has none.
    """
    if ground_truth.tracks is None:
        raise ValueError(f"{ground_truth.source}: annotations: found none, expected a list; nothing can be measured")


def find_overlaps(ground_truth: GroundTruth, results: dict[Key, list[ResultTrack]]) -> dict[Key, Overlaps]:
    """The objects, the counted results and their IoUs of each video and category that has any, videos by id."""
    overlaps = {}
    objects = ground_truth.by_category()
    for key in sorted(objects.keys() | results.keys()):
        annotated = objects.get(key, [])
        best = sorted(results.get(key, []), key=lambda track: -track.score)[: MAX_RESULTS[-1]]
        overlaps[key] = Overlaps(annotated, best, track_ious(best, annotated))
    return overlaps


def average_precision(
    ground_truth: GroundTruth, overlaps: dict[Key, Overlaps], ranges: Ranges
) -> tuple[np.ndarray, np.ndarray]:
    """Precision (T, R, K, A, M) and recall (T, K, A, M) in each of `ranges`; -1 where there are no objects."""
    num_categories, num_ranges = len(ground_truth.categories), len(ranges.bounds)
    num_thresholds, num_recalls, num_limits = len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS), len(MAX_RESULTS)
    precision = np.full((num_thresholds, num_recalls, num_categories, num_ranges, num_limits), -1.0)
    recall = np.full((num_thresholds, num_categories, num_ranges, num_limits), -1.0)
    videos = defaultdict(list)
    for (_, category_id), of_video in overlaps.items():
        videos[category_id].append(match(of_video, ranges))
    for index, category_id in enumerate(sorted(ground_truth.categories)):
        if category_id in videos:
            precision[:, :, index], recall[:, index] = _accumulate(videos[category_id])
    return precision, recall


# ---------------------------------------------------------------------------------------------------------------------
# Matching and averaging


def track_ious(results: Sequence[MaskTrack], annotated: Sequence[MaskTrack]) -> np.ndarray:
    """Spatio-temporal IoU of every pair of two lists of tracks of one video.

    pycocotools intersects all pairs of a frame in one call, which skips those whose boxes do not meet. It counts the
    pixels of one frame in 32 bits; the sums over the frames are made here, in 64.

    Returns:
        (D, G) float64 for D results and G annotated tracks; 0 where both tracks are empty.
    """
    if not results or not annotated:
        return np.zeros((len(results), len(annotated)))
    result_areas = np.stack([track.mask_areas for track in results])  # (D, T)
    annotated_areas = np.stack([track.mask_areas for track in annotated])  # (G, T)
    intersections = np.zeros((len(results), len(annotated)), dtype=np.int64)
    for frame in np.flatnonzero(result_areas.any(axis=0) & annotated_areas.any(axis=0)):
        found = np.flatnonzero(result_areas[:, frame])
        present = np.flatnonzero(annotated_areas[:, frame])
        # With the crowd flag pycocotools divides by the result's own area, which gives the intersection back exactly.
        shares = mask_utils.iou(
            [results[d].masks[frame] for d in found],
            [annotated[g].masks[frame] for g in present],
            np.ones(len(present), dtype=np.uint8),
        )
        pixels = np.rint(shares * result_areas[found, frame][:, None]).astype(np.int64)
        intersections[np.ix_(found, present)] += pixels
    unions = result_areas.sum(axis=1)[:, None] + annotated_areas.sum(axis=1) - intersections
    return intersections / np.maximum(unions, 1)


def match(overlaps: Overlaps, ranges: Ranges) -> Matches:
    """Match the results of one video and category with its objects, greedily from the highest score down.

    At each IoU threshold a result takes the free object of highest IoU, the later one of equals; an ignored object only
    where no other reaches the threshold.
    """
    annotated, results, ious = overlaps.annotated, overlaps.results, overlaps.ious
    crowd = np.array([track.is_crowd for track in annotated], dtype=bool)  # (G,)
    ignored_objects = crowd | ranges.are_outside(annotated)  # (A, G)
    shape = (len(ranges.bounds), len(IOU_THRESHOLDS))
    taken = np.zeros((*shape, len(annotated)), dtype=bool)
    objects = np.full((*shape, len(results)), -1)
    matched_ignored = np.zeros((*shape, len(results)), dtype=bool)
    for d in np.flatnonzero((ious >= IOU_THRESHOLDS[0]).any(axis=1)):
        possible = (ious[d] >= IOU_THRESHOLDS[:, None]) & ~(taken & ~crowd)  # (A, T, G)
        counted = possible & ~ignored_objects[:, None]
        possible = np.where(counted.any(axis=-1, keepdims=True), counted, possible)
        backwards = np.where(possible, ious[d], -1.0)[..., ::-1]
        best = len(annotated) - 1 - backwards.argmax(axis=-1)  # (A, T)
        found = possible.any(axis=-1)
        area, threshold = np.nonzero(found)
        taken[area, threshold, best[found]] = True
        objects[..., d] = np.where(found, best, -1)
        matched_ignored[area, threshold, d] = ignored_objects[area, best[found]]

    outside = ranges.are_outside(results)[:, None]  # (A, 1, D)
    scores = np.array([track.score for track in results], dtype=np.float64)
    return Matches(scores, objects, matched_ignored | ((objects < 0) & outside), (~ignored_objects).sum(axis=1))


def _accumulate(videos: list[Matches]) -> tuple[np.ndarray, np.ndarray]:
    """Precision (T, R, A, M) and recall (T, A, M) of one category; -1 where there are no objects."""
    num_objects = np.sum([video.num_objects for video in videos], axis=0)  # (A,)
    shape = (len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS), len(num_objects), len(MAX_RESULTS))
    precision = np.full(shape, -1.0)
    recall = np.full((shape[0], *shape[2:]), -1.0)
    for m, limit in enumerate(MAX_RESULTS):
        order = np.argsort(-np.concatenate([video.scores[:limit] for video in videos]), kind="stable")
        matched = np.concatenate([video.objects[..., :limit] >= 0 for video in videos], axis=-1)[..., order]
        ignored = np.concatenate([video.ignored[..., :limit] for video in videos], axis=-1)[..., order]
        true_positives = np.cumsum(matched & ~ignored, axis=-1)  # (A, T, D)
        false_positives = np.cumsum(~matched & ~ignored, axis=-1)
        for a in np.flatnonzero(num_objects):
            curve = precision_recall_curve(true_positives[a], false_positives[a], num_objects[a])
            precision[:, :, a, m], recall[:, a, m] = curve
    return precision, recall


def precision_recall_curve(
    true_positives: np.ndarray, false_positives: np.ndarray, num_objects: int
) -> tuple[np.ndarray, np.ndarray]:
    """Precision at each recall threshold (T, R) and the highest recall (T,), from running sums (T, D)."""
    num_thresholds, num_results = true_positives.shape
    if num_results == 0:
        return np.zeros((num_thresholds, len(RECALL_THRESHOLDS))), np.zeros(num_thresholds)
    recalls = true_positives / num_objects
    precisions = true_positives / (true_positives + false_positives + np.spacing(1))
    envelope = np.maximum.accumulate(precisions[:, ::-1], axis=1)[:, ::-1]
    envelope = np.pad(envelope, ((0, 0), (0, 1)))  # precision 0 at a recall that is never reached
    reached = [np.searchsorted(row, RECALL_THRESHOLDS, side="left") for row in recalls]
    return np.take_along_axis(envelope, np.stack(reached), axis=1), recalls[:, -1]


def summarize(ground_truth: GroundTruth, precision: np.ndarray, recall: np.ndarray) -> VideoAPResult:
    """The twelve numbers and AP by category, from `average_precision` in `AREA_RANGES`."""
    names = [ground_truth.categories[category_id] for category_id in sorted(ground_truth.categories)]
    most = len(MAX_RESULTS) - 1
    all_, small, medium, large = range(len(AREA_RANGES.bounds))
    at_50, at_75 = (threshold_index(threshold) for threshold in (0.5, 0.75))
    stats = [
        precision[..., all_, most],
        precision[at_50, ..., all_, most],
        precision[at_75, ..., all_, most],
        *(precision[..., area, most] for area in (small, medium, large)),
        *(recall[..., all_, limit] for limit in range(len(MAX_RESULTS))),
        *(recall[..., area, most] for area in (small, medium, large)),
    ]
    category_ap = [mean_of_measured(precision[:, :, k, all_, most]) for k in range(len(names))]
    return VideoAPResult(
        stats=np.array([mean_of_measured(values) for values in stats]),
        per_category_ap={name: None if ap < 0 else ap for name, ap in zip(names, category_ap, strict=True)},
        precision=precision,
        recall=recall,
    )


def threshold_index(threshold: float) -> int:
    """Place of an IoU threshold in `IOU_THRESHOLDS`."""
    return int(np.argmin(np.abs(IOU_THRESHOLDS - threshold)))


def mean_of_measured(values: np.ndarray) -> float:
    """Mean of the entries that are not -1; -1 where there is none."""
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else -1.0
