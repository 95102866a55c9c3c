# SPDX-License-Identifier: Apache-2.0
"""Annotations in YouTube-VIS's format as checked tracks."""

import os
import weakref
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .faults import FaultLog
from .files import load_json
from .format import Video, annotation_log, read_structure
from .masks import Rle, read_masks
from .values import brief, is_list, is_number

GroundTruthSource = str | os.PathLike | Mapping[str, Any]
Key = tuple[int, int]  # video id, category id


@dataclass(frozen=True)
class MaskTrack:
    """An object through a video of T frames.

    `masks` has T entries, None where the object is absent; `mask_areas` (T,) int64 holds the pixels of each, 0 where
    it is absent; `area`, the track's mean area in pixels, decides the area range that it counts in.
    """

    masks: list[Rle | None]
    mask_areas: np.ndarray
    area: float


@dataclass(frozen=True)
class AnnotatedTrack(MaskTrack):
    """A track of the ground truth. `areas` and `boxes` are the json's own, one a frame, or None."""

    annotation_id: int | None
    category_id: int
    is_crowd: bool
    areas: Sequence[Any] | None
    boxes: Sequence[Any] | None


@dataclass(frozen=True)
class GroundTruth:
    """A checked annotation file.

    `videos` by id, names of `categories` by id, and `tracks` by video id, in the file's order, or None for a split
    without annotations. `source` names the file in error messages.
    """

    source: str
    videos: dict[int, Video]
    categories: dict[int, str]
    tracks: dict[int, list[AnnotatedTrack]] | None

    def by_category(self) -> dict[Key, list[AnnotatedTrack]]:
        """The tracks by video and category."""
        grouped = defaultdict(list)
        for video_id, tracks in (self.tracks or {}).items():
            for track in tracks:
                grouped[video_id, track.category_id].append(track)
        return dict(grouped)


# What was read of a file lives as long as somebody uses it: an evaluation's loader and metric read the json once.
_in_use: weakref.WeakValueDictionary[tuple, GroundTruth] = weakref.WeakValueDictionary()


def read_ground_truth(source: GroundTruthSource) -> GroundTruth:
    """Read and check a json file in YouTube-VIS's format, or what `json.load` made of it.

    A video may lack `file_names` if it has a `length`: the metric looks at no frames.

    Raises:
        OSError: the file cannot be read.
        ValueError: the first fault found, with file and field.
    """
    key = None
    if isinstance(source, str | os.PathLike):
        status = os.stat(source)
        key = (os.path.realpath(source), status.st_mtime_ns, status.st_size)
        if key in _in_use:
            return _in_use[key]
    name, content = load_json(source, "ground truth")
    log = FaultLog()
    structure = read_structure(content, log, needs_frames=False)
    log.refuse(name)
    tracks: dict[int, list[AnnotatedTrack]] | None = {} if structure.has_annotations else None
    for video in structure.videos:
        for index, entry in video.annotations:
            log = annotation_log(entry)
            track = read_annotation(video, index, entry, log)
            log.refuse(name)
            tracks.setdefault(video.video_id, []).append(track)
        video.annotations = []
    ground_truth = GroundTruth(
        name, {video.video_id: video for video in structure.videos}, structure.categories, tracks
    )
    if key is not None:
        _in_use[key] = ground_truth
    return ground_truth


def read_annotation(video: Video, index: int, entry: Mapping[str, Any], log: FaultLog) -> AnnotatedTrack | None:
    """The track of an annotation of `video`, whose ids are good; None if nothing can be said without a fault mended.

    Masks with a fault, which is added to `log`, are missing from it.
    """
    place = f"annotations[{index}]"
    segmentations, boxes, areas = (
        _frame_list(entry, key, video.length, place, log) for key in ("segmentations", "bboxes", "areas")
    )
    for frame, box in enumerate(boxes or ()):
        if box is not None and not (is_list(box) and len(box) in (0, 4) and all(map(is_number, box))):
            log.add("field", f"{place}.bboxes[{frame}]", brief(box), "[left, top, width, height] or null", frame)
    for frame, area in enumerate(areas or ()):
        if area is not None and not (is_number(area) and area >= 0):
            log.add("field", f"{place}.areas[{frame}]", brief(area), "a number of pixels or null", frame)
    if segmentations is None or video.size is None:
        return None
    masks, mask_areas, errors = read_masks(segmentations, video.size)
    for frame, error in errors.items():
        log.add(error.kind, f"{place}.segmentations[{frame}]{error.field}", error.found, error.expected, frame)
    given = mask_areas if areas is None or log.faults else [area or 0 for area in areas]
    return AnnotatedTrack(
        masks,
        mask_areas,
        mean_area(given),
        annotation_id=entry.get("id"),
        category_id=entry.get("category_id"),
        is_crowd=bool(entry.get("iscrowd", 0)),
        areas=areas,
        boxes=boxes,
    )


def mean_area(areas: Sequence[float] | np.ndarray) -> float:
    """Mean of the areas that are not zero; 0 where all are."""
    values = np.asarray(areas)
    present = values[values > 0]
    return float(present.mean()) if present.size else 0.0


def _frame_list(
    entry: Mapping[str, Any], key: str, length: int | None, place: str, log: FaultLog
) -> Sequence[Any] | None:
    """One of an annotation's lists with an entry a frame; all but the segmentations may be missing."""
    entries = entry.get(key)
    if entries is None and key != "segmentations":
        return None
    if not is_list(entries):
        log.add("field", f"{place}.{key}", brief(entries), "a list with an entry a frame")
        return None
    if length is not None and len(entries) != length:
        log.add(
            "length", f"{place}.{key}", f"{len(entries)} entries", f"{brief(length)}, one for each frame of its video"
        )
    return entries
