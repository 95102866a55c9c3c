# SPDX-License-Identifier: Apache-2.0
"""YouTube-VIS's json: the one reader of videos, categories and annotations, and all that can be wrong with them.

The format is described at https://youtube-vos.org/dataset/vis/: `videos`, `categories`, and `annotations`, one of which
is one object with a list entry for every frame of its video. What published files are known to hold is no fault: null
annotations of a split for a server, an annotation's own `length` of 1, or no `areas` or `bboxes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .faults import FaultLog
from .values import MAX_FRAME_PIXELS, MAX_ID, brief, is_frame_size, is_integer, is_list


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
