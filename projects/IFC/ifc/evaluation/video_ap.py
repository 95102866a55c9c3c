# SPDX-License-Identifier: Apache-2.0
"""COCO's average precision on video, as YouTube-VIS defines it: json in, numbers out.

It is the COCO metric (Lin et al., "Microsoft COCO: Common Objects in Context", 2014) with a track in the place of an
object and the spatio-temporal IoU of Yang et al. ("Video Instance Segmentation", 2019) in the place of the mask IoU.

This file needs NumPy and pycocotools only and imports nothing of its package, so that a program without torch can put
this folder on its path and `import video_ap`.
"""

import json
import os
import reprlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 101)
MAX_RESULTS = (1, 10, 100)  # results counted of one video and category
AREA_RANGES = {  # bounds of a track's mean area, both inclusive, in pixels
    "all": (0, 1e5**2),
    "small": (0, 128**2),
    "medium": (128**2, 256**2),
    "large": (256**2, 1e5**2),
}
STAT_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")

MAX_FRAME_PIXELS = 2**32 - 1  # pycocotools counts the pixels of one mask in 32 bits
MAX_RLE_DIGITS = 7  # characters, of 5 bits each, that a run length below 2**32 and its sign can take
DECODED_FRAMES = 64  # frames of a track decoded at once, to bound the memory it takes
LARGEST_NUMBER = 1e100  # squares and sums of numbers up to here stay finite

GroundTruthSource = str | os.PathLike | Mapping[str, Any]
ResultsSource = str | os.PathLike | Sequence[Mapping[str, Any]]
Rle = dict[str, Any]  # pycocotools' compressed run-length mask: {"size": [height, width], "counts": str or bytes}


@dataclass(frozen=True)
class Video:
    """Size of a video: `length` in frames, `height` and `width` in pixels."""

    length: int
    height: int
    width: int


@dataclass(frozen=True)
class Track:
    """An object through a video of T frames.

    `masks` has T entries, None where the object is absent; `mask_areas` (T,) int64 holds the pixels of each, 0 where
    it is absent; `area`, the track's mean area in pixels, decides the area range that it counts in.
    """

    masks: list[Rle | None]
    mask_areas: np.ndarray
    area: float


@dataclass(frozen=True)
class AnnotatedTrack(Track):
    """A track of the ground truth."""

    is_crowd: bool


@dataclass(frozen=True)
class ResultTrack(Track):
    """A track that a method found, and how sure it is of it."""

    score: float


@dataclass(frozen=True)
class GroundTruth:
    """A checked annotation file.

    `videos` by id, names of `categories` by id, and `tracks` by (video id, category id), in the file's order, or None
    for a split without annotations. `source` names the file in error messages.
    """

    source: str
    videos: dict[int, Video]
    categories: dict[int, str]
    tracks: dict[tuple[int, int], list[AnnotatedTrack]] | None


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
class _VideoMatches:
    """What the D results of one video and category, best first, came to. A area ranges, T IoU thresholds."""

    scores: np.ndarray  # (D,)
    matched: np.ndarray  # (A, T, D) bool: has its own object
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
    if ground_truth.tracks is None:
        raise ValueError(f"{ground_truth.source}: annotations: found none, expected a list; nothing can be measured")
    result_tracks = _read_results(results, ground_truth)

    category_ids = sorted(ground_truth.categories)
    num_thresholds, num_recalls, num_areas = len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS), len(AREA_RANGES)
    precision = np.full((num_thresholds, num_recalls, len(category_ids), num_areas, len(MAX_RESULTS)), -1.0)
    recall = np.full((num_thresholds, len(category_ids), num_areas, len(MAX_RESULTS)), -1.0)
    for index, category_id in enumerate(category_ids):
        keys = [(video_id, category_id) for video_id in sorted(ground_truth.videos)]
        pairs = [(ground_truth.tracks.get(key, []), result_tracks.get(key, [])) for key in keys]
        videos = [_match_video(annotated, found) for annotated, found in pairs if annotated or found]
        if videos:
            precision[:, :, index], recall[:, index] = _accumulate(videos)
    names = [ground_truth.categories[category_id] for category_id in category_ids]
    return _summarize(precision, recall, names)


# ---------------------------------------------------------------------------------------------------------------------
# Matching and averaging


def track_ious(results: Sequence[Track], annotated: Sequence[Track]) -> np.ndarray:
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


def _match_video(annotated: list[AnnotatedTrack], results: list[ResultTrack]) -> _VideoMatches:
    """Match the results of one video and category with its objects, greedily from the highest score down.

    At each IoU threshold a result takes the free object of highest IoU, the later one of equals; an ignored object only
    where no other reaches the threshold.
    """
    results = sorted(results, key=lambda track: -track.score)[: MAX_RESULTS[-1]]
    bounds = np.array(list(AREA_RANGES.values()))  # (A, 2)
    crowd = np.array([track.is_crowd for track in annotated], dtype=bool)  # (G,)
    ignored_objects = crowd | _outside([track.area for track in annotated], bounds)  # (A, G)

    ious = track_ious(results, annotated)  # (D, G)
    shape = (len(bounds), len(IOU_THRESHOLDS))
    taken = np.zeros((*shape, len(annotated)), dtype=bool)
    matched = np.zeros((*shape, len(results)), dtype=bool)
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
        matched[..., d] = found
        matched_ignored[area, threshold, d] = ignored_objects[area, best[found]]

    outside = _outside([track.area for track in results], bounds)[:, None]  # (A, 1, D)
    scores = np.array([track.score for track in results], dtype=np.float64)
    return _VideoMatches(scores, matched, matched_ignored | (~matched & outside), (~ignored_objects).sum(axis=1))


def _outside(areas: list[float], bounds: np.ndarray) -> np.ndarray:
    """Whether each of N areas lies outside each of A ranges (A, 2): (A, N) bool."""
    values = np.array(areas, dtype=np.float64)
    return (values < bounds[:, :1]) | (values > bounds[:, 1:])


def _accumulate(videos: list[_VideoMatches]) -> tuple[np.ndarray, np.ndarray]:
    """Precision (T, R, A, M) and recall (T, A, M) of one category; -1 where there are no objects."""
    num_objects = np.sum([video.num_objects for video in videos], axis=0)  # (A,)
    shape = (len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS), len(AREA_RANGES), len(MAX_RESULTS))
    precision = np.full(shape, -1.0)
    recall = np.full((shape[0], *shape[2:]), -1.0)
    for m, limit in enumerate(MAX_RESULTS):
        order = np.argsort(-np.concatenate([video.scores[:limit] for video in videos]), kind="stable")
        matched = np.concatenate([video.matched[..., :limit] for video in videos], axis=-1)[..., order]
        ignored = np.concatenate([video.ignored[..., :limit] for video in videos], axis=-1)[..., order]
        true_positives = np.cumsum(matched & ~ignored, axis=-1)  # (A, T, D)
        false_positives = np.cumsum(~matched & ~ignored, axis=-1)
        for a in np.flatnonzero(num_objects):
            curve = _precision_recall_curve(true_positives[a], false_positives[a], num_objects[a])
            precision[:, :, a, m], recall[:, a, m] = curve
    return precision, recall


def _precision_recall_curve(
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


def _summarize(precision: np.ndarray, recall: np.ndarray, names: list[str]) -> VideoAPResult:
    """The twelve numbers and AP by category from precision (T, R, K, A, M) and recall (T, K, A, M)."""
    most = len(MAX_RESULTS) - 1
    all_, small, medium, large = range(len(AREA_RANGES))
    at_50, at_75 = (int(np.argmin(np.abs(IOU_THRESHOLDS - threshold))) for threshold in (0.5, 0.75))
    stats = [
        precision[..., all_, most],
        precision[at_50, ..., all_, most],
        precision[at_75, ..., all_, most],
        *(precision[..., area, most] for area in (small, medium, large)),
        *(recall[..., all_, limit] for limit in range(len(MAX_RESULTS))),
        *(recall[..., area, most] for area in (small, medium, large)),
    ]
    category_ap = [_mean_of_measured(precision[:, :, k, all_, most]) for k in range(len(names))]
    return VideoAPResult(
        stats=np.array([_mean_of_measured(values) for values in stats]),
        per_category_ap={name: None if ap < 0 else ap for name, ap in zip(names, category_ap, strict=True)},
        precision=precision,
        recall=recall,
    )


def _mean_of_measured(values: np.ndarray) -> float:
    """Mean of the entries that are not -1; -1 where there is none."""
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else -1.0


# ---------------------------------------------------------------------------------------------------------------------
# Reading and checking


def read_ground_truth(source: GroundTruthSource) -> GroundTruth:
    """Read and check a json file in YouTube-VIS's format, or what `json.load` made of it.

    Raises:
        OSError: the file cannot be read.
        ValueError: the first fault found, with file and field.
    """
    name, data = _load_json(source, "ground truth")
    if not isinstance(data, Mapping):
        raise ValueError(f"{name}: found {_brief(data)}, expected an object with videos, categories and annotations")
    videos = _read_videos(data, name)
    categories = _read_categories(data, name)
    if data.get("annotations") is None:
        return GroundTruth(name, videos, categories, None)
    tracks = defaultdict(list)
    for index, record in enumerate(_list_of_objects(data, "annotations", name)):
        where = f"{name}: annotations[{index}]"
        key, video = _read_ids(record, videos, categories, where)
        masks, mask_areas = _read_masks(record.get("segmentations"), video, where)
        is_crowd = record.get("iscrowd", 0)
        if is_crowd not in (0, 1):
            raise ValueError(f"{where}.iscrowd: found {_brief(is_crowd)}, expected 0 or 1")
        area = _mean_area(_read_areas(record.get("areas"), video, where))
        tracks[key].append(AnnotatedTrack(masks, mask_areas, area, bool(is_crowd)))
    return GroundTruth(name, videos, categories, dict(tracks))


def _read_results(source: ResultsSource, ground_truth: GroundTruth) -> dict[tuple[int, int], list[ResultTrack]]:
    """Read and check results; tracks by (video id, category id), in the file's order."""
    name, data = _load_json(source, "results")
    if not isinstance(data, Sequence) or isinstance(data, str | bytes):
        raise ValueError(f"{name}: found {_brief(data)}, expected a list of results")
    tracks = defaultdict(list)
    for index, record in enumerate(data):
        where = f"{name}: results[{index}]"
        if not isinstance(record, Mapping):
            raise ValueError(f"{where}: found {_brief(record)}, expected an object")
        key, video = _read_ids(record, ground_truth.videos, ground_truth.categories, where)
        score = record.get("score")
        if not _is_number(score):
            raise ValueError(f"{where}.score: found {_brief(score)}, expected a finite number")
        masks, mask_areas = _read_masks(record.get("segmentations"), video, where)
        tracks[key].append(ResultTrack(masks, mask_areas, _mean_area(mask_areas), float(score)))
    return dict(tracks)


def _load_json(source: Any, description: str) -> tuple[str, Any]:
    """Name and content of a json file; loaded data is passed on under the name `description`."""
    if not isinstance(source, str | os.PathLike):
        return description, source
    with open(source, encoding="utf-8") as file:
        try:
            return os.fspath(source), json.load(file)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{os.fspath(source)}: not valid json ({error})") from error


def _read_videos(data: Mapping, name: str) -> dict[int, Video]:
    videos = {}
    for index, record in enumerate(_list_of_objects(data, "videos", name)):
        where = f"{name}: videos[{index}]"
        video_id = _read_id(record, "id", where)
        if video_id in videos:
            raise ValueError(f"{where}.id: found {video_id} a second time, expected each video once")
        length, height, width = (_read_size(record, field, where) for field in ("length", "height", "width"))
        if height * width > MAX_FRAME_PIXELS:
            raise ValueError(f"{where}: found frames of {height} x {width}, expected at most {MAX_FRAME_PIXELS} pixels")
        videos[video_id] = Video(length, height, width)
    return videos


def _read_categories(data: Mapping, name: str) -> dict[int, str]:
    categories, names = {}, set()
    for index, record in enumerate(_list_of_objects(data, "categories", name)):
        where = f"{name}: categories[{index}]"
        category_id, category = _read_id(record, "id", where), record.get("name")
        if not isinstance(category, str):
            raise ValueError(f"{where}.name: found {_brief(category)}, expected a string")
        if category_id in categories or category in names:
            raise ValueError(f"{where}: found {category_id}, {category!r} a second time, expected each category once")
        categories[category_id] = category
        names.add(category)
    return categories


def _list_of_objects(data: Mapping, field: str, name: str) -> list[Mapping]:
    records = data.get(field)
    if not isinstance(records, Sequence) or isinstance(records, str | bytes):
        raise ValueError(f"{name}: {field}: found {_brief(records)}, expected a list")
    for index, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise ValueError(f"{name}: {field}[{index}]: found {_brief(record)}, expected an object")
    return records


def _read_id(record: Mapping, field: str, where: str) -> int:
    value = record.get(field)
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ValueError(f"{where}.{field}: found {_brief(value)}, expected an integer")
    return int(value)


def _read_size(record: Mapping, field: str, where: str) -> int:
    value = _read_id(record, field, where)
    if value < 1:
        raise ValueError(f"{where}.{field}: found {value}, expected at least 1")
    return value


def _read_ids(
    record: Mapping, videos: dict[int, Video], categories: dict[int, str], where: str
) -> tuple[tuple[int, int], Video]:
    """(video id, category id) of an annotation or a result, and its video."""
    video_id, category_id = _read_id(record, "video_id", where), _read_id(record, "category_id", where)
    if video_id not in videos:
        raise ValueError(f"{where}.video_id: found {video_id}, expected the id of one of the {len(videos)} videos")
    if category_id not in categories:
        expected = f"expected the id of one of the {len(categories)} categories"
        raise ValueError(f"{where}.category_id: found {category_id}, {expected}")
    return (video_id, category_id), videos[video_id]


def _read_areas(areas: Any, video: Video, where: str) -> list[float]:
    """An annotation's areas, one a frame, 0 for null."""
    if not isinstance(areas, Sequence) or isinstance(areas, str | bytes) or len(areas) != video.length:
        raise ValueError(f"{where}.areas: found {_brief(areas)}, expected {video.length} entries, one a frame")
    for frame, area in enumerate(areas):
        if area is not None and not (_is_number(area) and area >= 0):
            raise ValueError(f"{where}.areas[{frame}]: found {_brief(area)}, expected a number of pixels or null")
    return [area or 0 for area in areas]


def _mean_area(areas: Sequence[float] | np.ndarray) -> float:
    """Mean of the areas that are not zero; 0 where all are."""
    values = np.asarray(areas)
    present = values[values > 0]
    return float(present.mean()) if present.size else 0.0


def _read_masks(segmentations: Any, video: Video, where: str) -> tuple[list[Rle | None], np.ndarray]:
    """The masks of a track as compressed RLE, None where absent, and their areas (T,) int64."""
    where = f"{where}.segmentations"
    if not isinstance(segmentations, Sequence) or isinstance(segmentations, str | bytes):
        raise ValueError(f"{where}: found {_brief(segmentations)}, expected a list, one entry a frame")
    if len(segmentations) != video.length:
        raise ValueError(f"{where}: found {len(segmentations)} entries, expected {video.length}, one a frame")
    masks = [
        None if mask is None else _to_compressed_rle(mask, video, f"{where}[{frame}]")
        for frame, mask in enumerate(segmentations)
    ]
    areas = np.zeros(video.length, dtype=np.int64)
    frames = [frame for frame, mask in enumerate(masks) if mask is not None]
    for start in range(0, len(frames), DECODED_FRAMES):
        _check_masks(masks, areas, frames[start : start + DECODED_FRAMES], video, where)
    return masks, areas


def _to_compressed_rle(segmentation: Any, video: Video, where: str) -> Rle:
    """A segmentation of any of the three kinds as compressed RLE; a compressed one is returned as it is, unchecked."""
    if isinstance(segmentation, list | tuple):
        return _rasterize(segmentation, video, where)
    if not isinstance(segmentation, Mapping):
        raise ValueError(f"{where}: found {_brief(segmentation)}, expected an RLE, a list of polygons or null")
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list | tuple) or list(size) != [video.height, video.width]:
        raise ValueError(f"{where}.size: found {_brief(size)}, expected the video's [{video.height}, {video.width}]")
    if isinstance(counts, str | bytes):
        return segmentation
    if not isinstance(counts, list | tuple):
        raise ValueError(f"{where}.counts: found {_brief(counts)}, expected a string or a list of run lengths")
    faults = [run for run, length in enumerate(counts) if type(length) is not int or length < 0]
    if faults:
        raise ValueError(
            f"{where}.counts[{faults[0]}]: found {_brief(counts[faults[0]])}, expected an integer, 0 or more"
        )
    if sum(counts) != video.height * video.width:
        expected = f"expected {video.height} x {video.width} = {video.height * video.width}"
        raise ValueError(f"{where}.counts: found run lengths of {_brief(sum(counts))} pixels, {expected}")
    return _encode(np.array(counts), video)


def _rasterize(polygons: Sequence, video: Video, where: str) -> Rle:
    """The union of polygons as compressed RLE. They may leave the frame by no more than its longer side."""
    if len(polygons) == 0:
        return _encode(np.array([video.height * video.width]), video)
    margin = max(video.height, video.width)
    for index, polygon in enumerate(polygons):
        if not isinstance(polygon, list | tuple) or len(polygon) < 6 or len(polygon) % 2:
            expected = "expected x1, y1, x2, y2, ... of 3 points or more"
            raise ValueError(f"{where}[{index}]: found {_brief(polygon)}, {expected}")
        for position, coordinate in enumerate(polygon):
            if not _is_number(coordinate) or not -margin <= coordinate <= 2 * margin:
                expected = f"expected a number of pixels between {-margin} and {2 * margin}"
                raise ValueError(f"{where}[{index}][{position}]: found {_brief(coordinate)}, {expected}")
    return mask_utils.merge(mask_utils.frPyObjects([list(polygon) for polygon in polygons], video.height, video.width))


def _check_masks(masks: list[Rle | None], areas: np.ndarray, frames: list[int], video: Video, where: str) -> None:
    """Check the compressed masks of some frames of a track and fill in their areas, both in place.

    pycocotools reads beyond the end of a malformed string, so nothing reaches it unchecked. Nor do runs of length 0
    inside a mask, at which it may stop intersecting early.
    """
    num_pixels = video.height * video.width
    strings = [_to_bytes(masks[frame]["counts"]) for frame in frames]
    decoded = _decode(strings, num_pixels)
    if decoded is None:
        frame = next(
            frame for frame, string in zip(frames, strings, strict=True) if _decode([string], num_pixels) is None
        )
        expected = f"expected a compressed RLE of {video.height} x {video.width} = {num_pixels} pixels"
        raise ValueError(f"{where}[{frame}].counts: found {_brief(masks[frame]['counts'])}, {expected}")

    run_lengths, num_runs = decoded
    first_runs = np.cumsum(num_runs) - num_runs
    is_object = _positions(num_runs) % 2 == 1
    areas[frames] = np.add.reduceat(np.where(is_object, run_lengths, 0), first_runs)

    empty_runs = run_lengths == 0
    empty_runs[first_runs] = False  # a mask that begins with the object has a first run of length 0
    for index in np.flatnonzero(np.add.reduceat(empty_runs, first_runs)):
        runs = run_lengths[first_runs[index] : first_runs[index] + num_runs[index]]
        masks[frames[index]] = _encode(_without_empty_runs(runs), video)


def _decode(strings: list[bytes], num_pixels: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Decode compressed RLEs of `num_pixels` pixels each; None if any is malformed or of another size.

    A run length is written in digits of 5 bits, lowest first, each a character from "0" on; bit 5 says that another
    digit follows, bit 4 of the last one is the sign. From the fourth run on, the difference to the run before the last
    one is written.

    Returns:
        run lengths of all strings one after another, int64, and how many each string has.
    """
    string_lengths = np.array([len(string) for string in strings])
    if not string_lengths.all():
        return None
    digits = np.frombuffer(b"".join(strings), dtype=np.uint8) - np.uint8(ord("0"))  # below "0" wraps around
    string_ends = np.cumsum(string_lengths)
    last = np.flatnonzero((digits & 32) == 0)
    if digits.max() > 63 or (digits[string_ends - 1] & 32).any():
        return None
    num_digits = np.diff(last, prepend=-1)
    if num_digits.max() > MAX_RLE_DIGITS:
        return None
    values = np.where(digits[last] & 16, -1, 0) << (5 * num_digits)
    for place in range(num_digits.max()):
        longer = np.flatnonzero(num_digits > place)
        digit = digits[last[longer] - num_digits[longer] + 1 + place] & 31
        values[longer] += digit.astype(np.int64) << (5 * place)

    num_runs = np.diff(np.searchsorted(last, string_ends), prepend=0)
    positions = _positions(num_runs)
    for parity in (0, 1):
        is_chained = (positions % 2 == parity) & (positions > 0)
        num_chained = (num_runs - 1 + parity) // 2
        sums = np.cumsum(values[is_chained])
        before = np.append(0, sums)[np.cumsum(num_chained) - num_chained]
        values[is_chained] = sums - np.repeat(before, num_chained)
    if values.min() < 0 or (np.add.reduceat(values, np.cumsum(num_runs) - num_runs) != num_pixels).any():
        return None
    return values, num_runs


def _positions(group_sizes: np.ndarray) -> np.ndarray:
    """0, 1, 2, ... within each of several groups that follow one another."""
    starts = np.cumsum(group_sizes) - group_sizes
    return np.arange(group_sizes.sum()) - np.repeat(starts, group_sizes)


def _without_empty_runs(run_lengths: np.ndarray) -> np.ndarray:
    """The same mask with no run of length 0 but a first one: borders that coincide cancel in pairs."""
    num_pixels = run_lengths.sum()
    borders, times = np.unique(np.cumsum(run_lengths[:-1]), return_counts=True)
    borders = borders[(times % 2 == 1) & (borders < num_pixels)]
    return np.diff(borders, prepend=0, append=num_pixels)


def _encode(run_lengths: np.ndarray, video: Video) -> Rle:
    """Compressed RLE of a mask's run lengths."""
    size = [video.height, video.width]
    return mask_utils.frPyObjects({"size": size, "counts": run_lengths}, *size)


def _to_bytes(counts: str | bytes) -> bytes:
    """The characters of a compressed RLE; others than ASCII become bytes that no RLE has."""
    return counts if isinstance(counts, bytes) else counts.encode("utf-8", errors="surrogatepass")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and bool(abs(value) <= LARGEST_NUMBER)


def _brief(value: Any) -> str:
    """A short form of any value for an error message."""
    return "nothing" if value is None else reprlib.repr(value)
