# SPDX-License-Identifier: Apache-2.0
"""How the parts of a data set's json refer to one another: videos, categories, and each video's annotations."""

from dataclasses import dataclass, field
from typing import Any

from .faults import FaultLog
from .reading import MAX_FRAME_PIXELS, brief, is_frame_size

MAX_ID = 2**63  # that training takes


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
    entry: dict[str, Any] = field(default_factory=dict)
    annotations: list[tuple[int, dict[str, Any]]] = field(default_factory=list)


@dataclass(frozen=True)
class Structure:
    """What a json in YTVIS's format holds.

    Attributes:
        videos: in the json's order; at the end one more for the annotations of videos that are not listed, if any.
        categories: name by id.
        has_annotations: whether there are annotations, which a split for a server's evaluation lacks.
    """

    videos: list[Video]
    categories: dict[int, str]
    has_annotations: bool


def read_structure(content: Any, log: FaultLog) -> Structure:
    """Sort a json's content by video, and add to `log` what is wrong with ids, names, sizes and lengths."""
    if not isinstance(content, dict):
        log.add("field", "top level", brief(content), "an object with videos, categories and annotations")
        return Structure([], {}, False)
    categories = _read_categories(content, log)
    videos = _read_videos(content, log)
    has_annotations = content.get("annotations") is not None
    if has_annotations:
        _add_annotations(videos, categories, content, log)
    return Structure(videos, categories, has_annotations)


def _entries(content: dict[str, Any], key: str, log: FaultLog) -> list[tuple[int, dict[str, Any]]]:
    """The objects under `key`, with their places."""
    entries = content.get(key)
    if not isinstance(entries, list):
        log.add("field", key, brief(entries), "a list")
        return []
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            log.add("field", f"{key}[{index}]", brief(entry), "an object")
    return [(index, entry) for index, entry in enumerate(entries) if isinstance(entry, dict)]


def _check_id(entry: dict[str, Any], place: str, first_places: dict[int, str], log: FaultLog) -> int | None:
    """The id of an entry if it is good and new."""
    found = entry.get("id")
    if type(found) is not int or abs(found) > MAX_ID:
        log.add("field", f"{place}.id", brief(found), "an integer of at most 64 bits")
        return None
    if found in first_places:
        log.add("used twice", f"{place}.id", brief(found), f"another id than that of {first_places[found]}")
        return None
    first_places[found] = place
    return found


def _read_categories(content: dict[str, Any], log: FaultLog) -> dict[int, str]:
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
    if content.get("categories") == []:
        log.add("field", "categories", "an empty list", "at least one category")
    return categories


def _read_videos(content: dict[str, Any], log: FaultLog) -> list[Video]:
    videos = []
    places: dict[int, str] = {}
    for index, entry in _entries(content, "videos", log):
        place = f"videos[{index}]"
        _check_id(entry, place, places, log)
        video_log = FaultLog(video=shown_id(entry.get("id")))
        size = (entry.get("height"), entry.get("width"))
        if not is_frame_size(*size):
            found, expected = " x ".join(map(brief, size)), f"positive integers, at most {MAX_FRAME_PIXELS} pixels"
            video_log.add("field", f"{place}: height x width", found, expected)
        file_names, length = entry.get("file_names"), entry.get("length")
        if not isinstance(file_names, list) or not file_names:
            video_log.add("field", f"{place}.file_names", brief(file_names), "a list of paths, one a frame")
            file_names = None
        if "length" in entry and (type(length) is not int or length < 1):
            video_log.add("field", f"{place}.length", brief(length), "the number of frames")
            length = None
        elif None not in (file_names, length) and length != len(file_names):
            video_log.add("length", f"{place}.length", brief(length), f"{len(file_names)}, the number of file_names")
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
        log.faults += video_log.faults
    if content.get("videos") == []:
        log.add("field", "videos", "an empty list", "at least one video")
    return videos


def _add_annotations(videos: list[Video], categories: dict[int, str], content: dict[str, Any], log: FaultLog) -> None:
    """Give each annotation to its video; of several with one id, to the first."""
    by_id: dict[int, Video] = {}
    for video in videos:
        if type(video.video_id) is int:
            by_id.setdefault(video.video_id, video)
    strays = Video(index=None, video_id=None)
    places: dict[int, str] = {}
    for index, entry in _entries(content, "annotations", log):
        place = f"annotations[{index}]"
        own_log = FaultLog(video=shown_id(entry.get("video_id")), annotation=shown_id(entry.get("id")))
        _check_id(entry, place, places, own_log)
        video_id, category_id = entry.get("video_id"), entry.get("category_id")
        video = by_id.get(video_id, strays) if type(video_id) is int else strays
        if video is strays:
            expected = f"the id of one of the {len(by_id)} videos"
            own_log.add("unknown id", f"{place}.video_id", brief(video_id), expected)
        if type(category_id) is not int or category_id not in categories:
            expected = f"the id of one of the {len(categories)} categories"
            own_log.add("unknown id", f"{place}.category_id", brief(category_id), expected)
        if entry.get("iscrowd", 0) not in (0, 1):
            own_log.add("field", f"{place}.iscrowd", brief(entry["iscrowd"]), "0 or 1")
        video.annotations.append((index, entry))
        log.faults += own_log.faults
    if strays.annotations:
        videos.append(strays)


def shown_id(value: Any) -> Any:
    """An id as a fault names it: as it is where it is an integer of sane size."""
    return value if value is None or (type(value) is int and abs(value) < 10**18) else brief(value)
