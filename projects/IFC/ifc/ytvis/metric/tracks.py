# SPDX-License-Identifier: Apache-2.0
"""Tracks as YouTube-VIS's json files hold them: annotations and results, read and checked.

Whatever a file holds, it is read, or refused with one ValueError that names file and field. Needs NumPy and pycocotools
only.
"""

import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from ..masks import MAX_SIDE, Rle, Video, brief, is_number, read_masks

GroundTruthSource = str | os.PathLike | Mapping[str, Any]
ResultsSource = str | os.PathLike | Sequence[Mapping[str, Any]]
Key = tuple[int, int]  # video id, category id


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
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{os.fspath(source)}: not valid json (found bytes that are no UTF-8, as in a compressed file)"
            ) from error
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
            found = f"{brief(category_id)}, {brief(category)}"
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
    if not is_number(score):
        raise ValueError(f"{where}.score: found {brief(score)}, expected a finite number")
    return float(score)


def _read_areas(areas: Any, video: Video, where: str) -> list[float]:
    """An annotation's areas, one a frame, 0 for null."""
    if not isinstance(areas, Sequence) or isinstance(areas, str | bytes) or len(areas) != video.length:
        raise ValueError(f"{where}.areas: found {brief(areas)}, expected {video.length} entries, one a frame")
    for frame, area in enumerate(areas):
        if area is not None and not (is_number(area) and area >= 0):
            raise ValueError(f"{where}.areas[{frame}]: found {brief(area)}, expected a number of pixels or null")
    return [float(area or 0) for area in areas]


def _mean_area(areas: Sequence[float] | np.ndarray) -> float:
    """Mean of the areas that are not zero; 0 where all are."""
    values = np.asarray(areas)
    present = values[values > 0]
    return float(present.mean()) if present.size else 0.0
