# SPDX-License-Identifier: Apache-2.0
"""Tracks as YouTube-VIS's json files hold them: annotations and results, read and checked.

Whatever a file holds, it is read, or refused with one ValueError that names file and field. Nothing reaches pycocotools
unchecked, which reads beyond the end of a malformed mask.

Needs NumPy and pycocotools only.
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

MAX_SIDE = 2**14  # pixels of a frame's height and width, more than twice those of 8K
MAX_OUTLINE = 2**20  # pixels along a polygon, of each of which rasterizing takes about 80 bytes
MAX_RLE_DIGITS = 6  # characters, of 5 bits each, that the runs of the largest frame and their sign can take
DECODED_FRAMES = 64  # frames of a track decoded at once, to bound the memory it takes
LARGEST_NUMBER = 1e100  # squares and sums of numbers up to here stay finite

GroundTruthSource = str | os.PathLike | Mapping[str, Any]
ResultsSource = str | os.PathLike | Sequence[Mapping[str, Any]]
Rle = dict[str, Any]  # pycocotools' compressed run-length mask: {"size": [height, width], "counts": bytes}
Key = tuple[int, int]  # video id, category id


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
    tracks: dict[Key, list[AnnotatedTrack]] | None


# ---------------------------------------------------------------------------------------------------------------------
# Files


def read_ground_truth(source: GroundTruthSource, with_tracks: bool = True) -> GroundTruth:
    """Read and check a json file in YouTube-VIS's format, or what `json.load` made of it.

    Args:
        with_tracks: read the annotations too; otherwise videos and categories alone, as of a split without annotations.

    Raises:
        OSError: the file cannot be read.
        ValueError: the first fault found, with file and field.
    """
    name, data = load_json(source, "ground truth")
    if not isinstance(data, Mapping):
        raise ValueError(f"{name}: found {brief(data)}, expected an object with videos, categories and annotations")
    videos = _read_videos(data, name)
    categories = _read_categories(data, name)
    if data.get("annotations") is None or not with_tracks:
        return GroundTruth(name, videos, categories, None)
    tracks = defaultdict(list)
    for index, record in enumerate(_list_of_objects(data, "annotations", name)):
        where = f"{name}: annotations[{index}]"
        key = read_video_id(record, videos, where), read_category_id(record, categories, where)
        video = videos[key[0]]
        masks, mask_areas = read_masks(record.get("segmentations"), video, where)
        is_crowd = record.get("iscrowd", 0)
        if is_crowd not in (0, 1):
            raise ValueError(f"{where}.iscrowd: found {brief(is_crowd)}, expected 0 or 1")
        area = _mean_area(_read_areas(record.get("areas"), video, where))
        tracks[key].append(AnnotatedTrack(masks, mask_areas, area, bool(is_crowd)))
    return GroundTruth(name, videos, categories, dict(tracks))


def read_results(source: ResultsSource, ground_truth: GroundTruth) -> dict[Key, list[ResultTrack]]:
    """Read and check a json file of results, or such a list; tracks by (video id, category id), in the file's order.

    Raises:
        OSError: the file cannot be read.
        ValueError: the first fault found, with file and field.
    """
    name, records = load_results(source)
    tracks = defaultdict(list)
    for index, record in enumerate(records):
        where = f"{name}: results[{index}]"
        if not isinstance(record, Mapping):
            raise ValueError(f"{where}: found {brief(record)}, expected an object")
        video_id = read_video_id(record, ground_truth.videos, where)
        category_id = read_category_id(record, ground_truth.categories, where)
        score = read_score(record, where)
        masks, mask_areas = read_masks(record.get("segmentations"), ground_truth.videos[video_id], where)
        tracks[video_id, category_id].append(ResultTrack(masks, mask_areas, _mean_area(mask_areas), score))
    return dict(tracks)


def load_results(source: ResultsSource) -> tuple[str, Sequence]:
    """The name of a json file of results, for messages, and its list, whose entries are not checked yet.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no json or no list.
    """
    name, data = load_json(source, "results")
    if not isinstance(data, Sequence) or isinstance(data, str | bytes):
        raise ValueError(f"{name}: found {brief(data)}, expected a list of results")
    return name, data


def load_json(source: Any, description: str) -> tuple[str, Any]:
    """Name and content of a json file; loaded data is passed on under the name `description`."""
    if not isinstance(source, str | os.PathLike):
        return description, source
    with open(source, encoding="utf-8") as file:
        try:
            return os.fspath(source), json.load(file)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{os.fspath(source)}: not valid json ({error})") from error


# ---------------------------------------------------------------------------------------------------------------------
# Fields


def _read_videos(data: Mapping, name: str) -> dict[int, Video]:
    videos = {}
    for index, record in enumerate(_list_of_objects(data, "videos", name)):
        where = f"{name}: videos[{index}]"
        video_id = _read_integer(record, "id", where)
        if video_id in videos:
            raise ValueError(f"{where}.id: found {brief(video_id)} a second time, expected each video once")
        length = _read_size(record, "length", where)
        height, width = (_read_size(record, field, where, most=MAX_SIDE) for field in ("height", "width"))
        videos[video_id] = Video(length, height, width)
    return videos


def _read_categories(data: Mapping, name: str) -> dict[int, str]:
    categories, names = {}, set()
    for index, record in enumerate(_list_of_objects(data, "categories", name)):
        where = f"{name}: categories[{index}]"
        category_id, category = _read_integer(record, "id", where), record.get("name")
        if not isinstance(category, str):
            raise ValueError(f"{where}.name: found {brief(category)}, expected a string")
        if category_id in categories or category in names:
            found = f"{brief(category_id)}, {category!r}"
            raise ValueError(f"{where}: found {found} a second time, expected each category once")
        categories[category_id] = category
        names.add(category)
    return categories


def _list_of_objects(data: Mapping, field: str, name: str) -> list[Mapping]:
    records = data.get(field)
    if not isinstance(records, Sequence) or isinstance(records, str | bytes):
        raise ValueError(f"{name}: {field}: found {brief(records)}, expected a list")
    for index, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise ValueError(f"{name}: {field}[{index}]: found {brief(record)}, expected an object")
    return records


def _read_integer(record: Mapping, field: str, where: str) -> int:
    value = record.get(field)
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ValueError(f"{where}.{field}: found {brief(value)}, expected an integer")
    return int(value)


def _read_size(record: Mapping, field: str, where: str, most: int | None = None) -> int:
    value = _read_integer(record, field, where)
    if value < 1:
        raise ValueError(f"{where}.{field}: found {brief(value)}, expected at least 1")
    if most is not None and value > most:
        raise ValueError(f"{where}.{field}: found {brief(value)}, expected at most {most}")
    return value


def read_video_id(record: Mapping, videos: Mapping[int, Video], where: str) -> int:
    """The video of an annotation or a result, which must be one of `videos`."""
    video_id = _read_integer(record, "video_id", where)
    if video_id not in videos:
        expected = f"expected the id of one of the {len(videos)} videos"
        raise ValueError(f"{where}.video_id: found {brief(video_id)}, {expected}")
    return video_id


def read_category_id(record: Mapping, categories: Mapping[int, str], where: str) -> int:
    """The category of an annotation or a result, which must be one of `categories`."""
    category_id = _read_integer(record, "category_id", where)
    if category_id not in categories:
        expected = f"expected the id of one of the {len(categories)} categories"
        raise ValueError(f"{where}.category_id: found {brief(category_id)}, {expected}")
    return category_id


def read_score(record: Mapping, where: str) -> float:
    """The score of a result."""
    score = record.get("score")
    if not _is_number(score):
        raise ValueError(f"{where}.score: found {brief(score)}, expected a finite number")
    return float(score)


def _read_areas(areas: Any, video: Video, where: str) -> list[float]:
    """An annotation's areas, one a frame, 0 for null."""
    if not isinstance(areas, Sequence) or isinstance(areas, str | bytes) or len(areas) != video.length:
        raise ValueError(f"{where}.areas: found {brief(areas)}, expected {video.length} entries, one a frame")
    for frame, area in enumerate(areas):
        if area is not None and not (_is_number(area) and area >= 0):
            raise ValueError(f"{where}.areas[{frame}]: found {brief(area)}, expected a number of pixels or null")
    return [float(area or 0) for area in areas]


def _mean_area(areas: Sequence[float] | np.ndarray) -> float:
    """Mean of the areas that are not zero; 0 where all are."""
    values = np.asarray(areas)
    present = values[values > 0]
    return float(present.mean()) if present.size else 0.0


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and bool(abs(value) <= LARGEST_NUMBER)


def brief(value: Any) -> str:
    """A short form of any value for an error message."""
    return "nothing" if value is None else reprlib.repr(value)


# ---------------------------------------------------------------------------------------------------------------------
# Masks


def read_masks(segmentations: Any, video: Video, where: str) -> tuple[list[Rle | None], np.ndarray]:
    """The masks of a track as compressed RLE, None where absent, and their areas (T,) int64.

    Raises:
        ValueError: the first fault found.
    """
    segmentations = list_of_masks(segmentations, video, where)
    masks = [
        None if mask is None else _to_compressed_rle(mask, video, f"{where}.segmentations[{frame}]")
        for frame, mask in enumerate(segmentations)
    ]
    areas = np.zeros(video.length, dtype=np.int64)
    frames = [frame for frame, mask in enumerate(masks) if mask is not None]
    for start in range(0, len(frames), DECODED_FRAMES):
        _check_masks(masks, areas, frames[start : start + DECODED_FRAMES], video, where)
    return masks, areas


def list_of_masks(segmentations: Any, video: Video, where: str) -> Sequence:
    """A track's segmentations, one a frame, which are not checked yet."""
    if not isinstance(segmentations, Sequence) or isinstance(segmentations, str | bytes):
        raise ValueError(f"{where}.segmentations: found {brief(segmentations)}, expected a list, one entry a frame")
    if len(segmentations) != video.length:
        found = f"found {len(segmentations)} entries, expected {brief(video.length)}"
        raise ValueError(f"{where}.segmentations: {found}, one a frame")
    return segmentations


def check_mask(segmentations: Sequence, frame: int, video: Video, where: str) -> None:
    """Check the mask of one frame of a track alone.

    Raises:
        ValueError: the first fault of this mask.
    """
    if segmentations[frame] is not None:
        mask = _to_compressed_rle(segmentations[frame], video, f"{where}.segmentations[{frame}]")
        _check_masks({frame: mask}, np.zeros(video.length, dtype=np.int64), [frame], video, where)


def _to_compressed_rle(segmentation: Any, video: Video, where: str) -> Rle:
    """A segmentation of any of the three kinds as compressed RLE; a compressed one is not checked yet."""
    if isinstance(segmentation, list | tuple):
        return _rasterize(segmentation, video, where)
    if not isinstance(segmentation, Mapping):
        raise ValueError(f"{where}: found {brief(segmentation)}, expected an RLE, a list of polygons or null")
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list | tuple) or list(size) != [video.height, video.width]:
        raise ValueError(f"{where}.size: found {brief(size)}, expected the video's [{video.height}, {video.width}]")
    if isinstance(counts, str | bytes):
        return {"size": [video.height, video.width], "counts": _to_bytes(counts)}
    if not isinstance(counts, list | tuple):
        raise ValueError(f"{where}.counts: found {brief(counts)}, expected a string or a list of run lengths")
    faults = [run for run, length in enumerate(counts) if type(length) is not int or length < 0]
    if faults:
        raise ValueError(
            f"{where}.counts[{faults[0]}]: found {brief(counts[faults[0]])}, expected an integer, 0 or more"
        )
    if sum(counts) != video.height * video.width:
        expected = f"expected {video.height} x {video.width} = {video.height * video.width}"
        raise ValueError(f"{where}.counts: found run lengths of {brief(sum(counts))} pixels, {expected}")
    return _encode(np.array(counts), video)


def _rasterize(polygons: Sequence, video: Video, where: str) -> Rle:
    """The union of polygons as compressed RLE. They may leave the frame by no more than its longer side."""
    if len(polygons) == 0:
        return _encode(np.array([video.height * video.width]), video)
    margin = max(video.height, video.width)
    for index, polygon in enumerate(polygons):
        if not isinstance(polygon, list | tuple) or len(polygon) < 6 or len(polygon) % 2:
            expected = "expected x1, y1, x2, y2, ... of 3 points or more"
            raise ValueError(f"{where}[{index}]: found {brief(polygon)}, {expected}")
        for position, coordinate in enumerate(polygon):
            if not _is_number(coordinate) or not -margin <= coordinate <= 2 * margin:
                expected = f"expected a number of pixels between {-margin} and {2 * margin}"
                raise ValueError(f"{where}[{index}][{position}]: found {brief(coordinate)}, {expected}")
        points = np.array(polygon, dtype=np.float64).reshape(-1, 2)
        outline = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum()
        if outline > MAX_OUTLINE:
            raise ValueError(
                f"{where}[{index}]: found an outline of {outline:.0f} pixels, expected at most {MAX_OUTLINE}"
            )
    return mask_utils.merge(mask_utils.frPyObjects([list(polygon) for polygon in polygons], video.height, video.width))


def _check_masks(
    masks: list[Rle | None] | dict[int, Rle], areas: np.ndarray, frames: list[int], video: Video, where: str
) -> None:
    """Check the compressed masks of some frames of a track and fill in their areas, both in place.

    Runs of length 0 inside a mask, at which pycocotools may stop intersecting early, are taken out.
    """
    num_pixels = video.height * video.width
    strings = [masks[frame]["counts"] for frame in frames]
    decoded = _decode(strings, num_pixels)
    if decoded is None:
        frame = next(
            frame for frame, string in zip(frames, strings, strict=True) if _decode([string], num_pixels) is None
        )
        expected = f"expected a compressed RLE of {video.height} x {video.width} = {num_pixels} pixels"
        found = brief(masks[frame]["counts"].decode("utf-8", errors="backslashreplace"))
        raise ValueError(f"{where}.segmentations[{frame}].counts: found {found}, {expected}")

    areas[frames], has_empty_runs = decoded.areas, decoded.has_empty_runs
    for index in np.flatnonzero(has_empty_runs):
        masks[frames[index]] = _encode(_without_empty_runs(decoded.run_lengths(index)), video)


@dataclass(frozen=True)
class _Runs:
    """The run lengths of S masks.

    `first` (S,) is each mask's first run, which may be empty. `rest` (N, 2) holds the runs after it, of one mask after
    the other: an object's run and the one that follows. An odd last one is followed by a run of length 0, which is
    none. `ends` (S,) are the rows at which the masks end, `num_runs` (S,) counts all runs of each, `areas` (S,) int64
    the pixels of the objects.
    """

    first: np.ndarray
    rest: np.ndarray
    ends: np.ndarray
    num_runs: np.ndarray
    areas: np.ndarray

    @property
    def has_empty_runs(self) -> np.ndarray:
        """Whether a mask has runs of length 0 other than its first: (S,) bool."""
        num_added = (self.num_runs - 1) % 2
        if self.rest.size - np.count_nonzero(self.rest) == num_added.sum():
            return np.zeros(len(self.ends), dtype=bool)
        return _sums(self.rest == 0, self.ends).sum(axis=1) > num_added

    def run_lengths(self, index: int) -> np.ndarray:
        """All runs of one mask."""
        start = self.ends[index - 1] if index else 0
        return np.append(self.first[index], self.rest[start : self.ends[index]])[: self.num_runs[index]].astype(
            np.int64
        )


def _decode(strings: list[bytes], num_pixels: int) -> _Runs | None:
    """Decode compressed RLEs of `num_pixels` pixels each; None if any is malformed or of another size.

    A run length is written in digits of 5 bits, lowest first, each a character from "0" on; bit 5 says that another
    digit follows, bit 4 of the last one is the sign. From the fourth run on, the difference to the run before the last
    one is written. As in pycocotools, arithmetic is that of 32 bits.
    """
    string_lengths = np.array([len(string) for string in strings])
    if not string_lengths.all():
        return None
    digits = np.frombuffer(b"".join(strings), dtype=np.uint8) - np.uint8(ord("0"))  # below "0" wraps around
    string_ends = np.cumsum(string_lengths)
    last = np.flatnonzero(digits < 32)
    if digits.max() > 63 or (digits[string_ends - 1] > 31).any():
        return None
    num_digits = np.diff(last, prepend=-1)
    if num_digits.max() > MAX_RLE_DIGITS:
        return None
    values = (digits[last] ^ 16).astype(np.int32) - 16
    longer = np.flatnonzero(num_digits > 1)
    for place in range(1, num_digits.max()):
        values[longer] = 32 * values[longer] + (digits[last[longer] - place] & 31)
        longer = longer[num_digits[longer] > place + 1]

    run_ends = np.searchsorted(last, string_ends)
    num_runs = np.diff(run_ends, prepend=0)
    is_odd = (num_runs - 1) % 2 == 1
    ends = np.cumsum(num_runs // 2)
    rest = np.zeros(2 * ends[-1], dtype=np.int32)
    is_first = np.zeros(len(values), dtype=bool)
    is_first[run_ends - num_runs] = True
    is_added = np.zeros(len(rest), dtype=bool)
    is_added[2 * ends[is_odd] - 1] = True
    rest[~is_added] = values[~is_first]
    rest = np.cumsum(rest.reshape(-1, 2), axis=0, dtype=np.int32)
    before = np.concatenate([np.zeros((1, 2), dtype=np.int32), rest])[ends - num_runs // 2]
    rest -= np.repeat(before, num_runs // 2, axis=0)
    rest.ravel()[is_added] = 0
    first, sums = values[is_first], _sums(rest, ends)
    if first.min() < 0 or rest.min(initial=0) < 0 or (first + sums.sum(axis=1) != num_pixels).any():
        return None
    return _Runs(first, rest, ends, num_runs, areas=sums[:, 0])


def _sums(pairs: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Sums over groups of rows of `pairs` (N, 2) that follow one another, of which some may be empty: (S, 2) int64."""
    sums = np.zeros((len(pairs) + 1, 2), dtype=np.int64)
    np.cumsum(pairs, axis=0, out=sums[1:])
    return np.diff(sums[ends], axis=0, prepend=0)


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
