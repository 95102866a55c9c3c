# SPDX-License-Identifier: Apache-2.0
"""YouTube-VIS's json: the one reader of videos, categories and annotations, and all that can be wrong with them.

The format is described at https://youtube-vos.org/dataset/vis/: `videos`, `categories`, and `annotations`, one of which
is one object with a list entry for every frame of its video. What published files are known to hold is no fault: null
annotations of a split for a server, an annotation's own `length` of 1, or no `areas` or `bboxes`.
"""

import os
import weakref
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .faults import FaultLog
from .files import load_json
from .masks import Rle, read_masks
from .values import MAX_FRAME_PIXELS, MAX_ID, brief, is_frame_size, is_integer, is_list, is_number

GroundTruthSource = str | os.PathLike | Mapping[str, Any]
Key = tuple[int, int]  # video id, category id


@dataclass
class Video:
    """An entry of "videos", with what belongs to it.

    Attributes:
        index: its place in "videos"; None for the annotations of a video that is not listed.
        video_id: as the json gives it.
        size: (height, width) in pixels, None if the json gives none that can be.
        file_names: as the json gives them; None if they are no list.
        length: in frames, None if it is not known.
        entry: the whole entry.
        annotations: (place in "annotations", entry).
    """

    index: int | None
    video_id: Any
    size: tuple[int, int] | None = None
    file_names: list[Any] | None = None
    length: int | None = None
    entry: Mapping[str, Any] = field(default_factory=dict)
    annotations: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)


@dataclass(frozen=True)
class Structure:
    """How the parts of a json refer to one another.

    Attributes:
        videos: in the json's order; at the end one more for the annotations of videos that are not listed, if any.
        categories: name by id.
        has_annotations: whether there are annotations, which a split for a server's evaluation lacks.
    """

    videos: list[Video]
    categories: dict[int, str]
    has_annotations: bool


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


def read_structure(content: Any, log: FaultLog, *, needs_frames: bool = True) -> Structure:
    """Sort a json's content by video, and add to `log` what is wrong with ids, names, sizes and lengths.

    Args:
        needs_frames: videos need `file_names`; otherwise a `length` is enough.
    """
    if not isinstance(content, Mapping):
        log.add("field", "top level", brief(content), "an object with videos, categories and annotations")
        return Structure([], {}, False)
    categories = _read_categories(content, log)
    videos = _read_videos(content, log, needs_frames)
    has_annotations = content.get("annotations") is not None
    if has_annotations:
        _add_annotations(videos, categories, content, log)
    return Structure(videos, categories, has_annotations)


def annotation_log(entry: Mapping[str, Any]) -> FaultLog:
    """A log for the faults of one annotation."""
    return FaultLog(video=shown_id(entry.get("video_id")), annotation=shown_id(entry.get("id")))


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


def read_reference(entry: Mapping[str, Any], key: str, known: Mapping[int, Any], place: str, log: FaultLog) -> Any:
    """What the id under `key`, "video_id" or "category_id", refers to; None, and a fault, for an unknown one."""
    found = entry.get(key)
    if is_integer(found) and found in known:
        return known[found]
    of = "videos" if key == "video_id" else "categories"
    log.add("unknown id", f"{place}.{key}", brief(found), f"the id of one of the {len(known)} {of}")
    return None


def shown_id(value: Any) -> Any:
    """An id as a fault names it: as it is where it is an integer of sane size."""
    return value if value is None or (type(value) is int and abs(value) < 10**18) else brief(value)


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


def _entries(content: Mapping[str, Any], key: str, log: FaultLog) -> list[tuple[int, Mapping[str, Any]]]:
    """The objects under `key`, with their places."""
    entries = content.get(key)
    if not is_list(entries):
        log.add("field", key, brief(entries), "a list")
        return []
    if not entries and key != "annotations":
        log.add("field", key, "an empty list", "at least one")
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            log.add("field", f"{key}[{index}]", brief(entry), "an object")
    return [(index, entry) for index, entry in enumerate(entries) if isinstance(entry, Mapping)]


def _check_id(entry: Mapping[str, Any], place: str, first_places: dict[int, str], log: FaultLog) -> int | None:
    """The id of an entry if it is good and new."""
    found = entry.get("id")
    if not is_integer(found) or abs(found) > MAX_ID:
        log.add("field", f"{place}.id", brief(found), "an integer of at most 64 bits")
        return None
    if found in first_places:
        log.add("used twice", f"{place}.id", brief(found), f"another id than that of {first_places[found]}")
        return None
    first_places[found] = place
    return found


def _read_categories(content: Mapping[str, Any], log: FaultLog) -> dict[int, str]:
    categories: dict[int, str] = {}
    places: dict[int, str] = {}
    name_places: dict[str, str] = {}
    for index, entry in _entries(content, "categories", log):
        place = f"categories[{index}]"
        category_id, name = _check_id(entry, place, places, log), entry.get("name")
        if not isinstance(name, str):
            log.add("field", f"{place}.name", brief(name), "a string")
        elif name in name_places:
            log.add("used twice", f"{place}.name", brief(name), f"another name than that of {name_places[name]}")
        else:
            name_places[name] = place
        if category_id is not None:
            categories[category_id] = name if isinstance(name, str) else brief(name)
    return categories


def _read_videos(content: Mapping[str, Any], log: FaultLog, needs_frames: bool) -> list[Video]:
    videos = []
    places: dict[int, str] = {}
    for index, entry in _entries(content, "videos", log):
        place = f"videos[{index}]"
        _check_id(entry, place, places, log)
        own_log = FaultLog(video=shown_id(entry.get("id")))
        size = (entry.get("height"), entry.get("width"))
        if not is_frame_size(*size):
            found, expected = " x ".join(map(brief, size)), f"positive integers, at most {MAX_FRAME_PIXELS} pixels"
            own_log.add("field", f"{place}: height x width", found, expected)
        file_names = _read_file_names(entry, place, own_log, needs_frames)
        length = entry.get("length")
        if ("length" in entry or file_names is None) and not (is_integer(length) and length >= 1):
            own_log.add("field", f"{place}.length", brief(length), "the number of frames")
            length = None
        elif None not in (file_names, length) and length != len(file_names):
            own_log.add("length", f"{place}.length", brief(length), f"{len(file_names)}, the number of file_names")
        videos.append(
            Video(
                index=index,
                video_id=entry.get("id"),
                size=size if is_frame_size(*size) else None,
                file_names=file_names,
                length=len(file_names) if file_names else length,
                entry=entry,
            )
        )
        log.faults += own_log.faults
    return videos


def _read_file_names(entry: Mapping[str, Any], place: str, log: FaultLog, needed: bool) -> list[Any] | None:
    names = entry.get("file_names")
    if names is None and not needed:
        return None
    if not is_list(names) or not names:
        log.add("field", f"{place}.file_names", brief(names), "a list of paths, one a frame")
        return None
    for frame, name in enumerate(names):
        if not isinstance(name, str) or not name:
            log.add("field", f"{place}.file_names[{frame}]", brief(name), "a path", frame)
    return names


def _add_annotations(
    videos: list[Video], categories: dict[int, str], content: Mapping[str, Any], log: FaultLog
) -> None:
    """Give each annotation to its video; of several videos with one id, to the first."""
    by_id: dict[int, Video] = {}
    for video in videos:
        if is_integer(video.video_id):
            by_id.setdefault(video.video_id, video)
    strays = Video(index=None, video_id=None)
    places: dict[int, str] = {}
    for index, entry in _entries(content, "annotations", log):
        place, own_log = f"annotations[{index}]", annotation_log(entry)
        if entry.get("id") is not None:  # which nothing needs
            _check_id(entry, place, places, own_log)
        video = read_reference(entry, "video_id", by_id, place, own_log) or strays
        read_reference(entry, "category_id", categories, place, own_log)
        if entry.get("iscrowd", 0) not in (0, 1):
            own_log.add("field", f"{place}.iscrowd", brief(entry["iscrowd"]), "0 or 1")
        video.annotations.append((index, entry))
        log.faults += own_log.faults
    if strays.annotations:
        videos.append(strays)
