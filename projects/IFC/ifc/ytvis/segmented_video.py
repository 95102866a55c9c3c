# SPDX-License-Identifier: Apache-2.0
"""What `ifc segment` writes of one video: the names in its folder, and a reader of video.json and objects.jsonl."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .files import read_json
from .masks import Rle, read_masks
from .values import expect, is_frame_size, is_integer, is_list, is_number

MANIFEST_FILE, OBJECTS_FILE, RESULTS_FILE = "video.json", "objects.jsonl", "results.json"
# What video.json says of how a video ended; that it is not yet; and that its process died of it, again and again.
FINISHED, INTERRUPTED, BROKEN, RUNNING, CRASHED = "finished", "interrupted", "broken", "running", "crashed"
ENDED = (FINISHED, INTERRUPTED, BROKEN)
PART_SUFFIX = ".part"  # of the folder's name before it has ended


@dataclass(frozen=True)
class FoundObject:
    """An object on one frame; its `area` is in pixels."""

    track_id: int
    category_id: int
    score: float
    mask: Rle
    area: int


@dataclass(frozen=True)
class FoundTrack:
    """A track's class and score over the whole video."""

    track_id: int
    category_id: int
    score: float


@dataclass(frozen=True)
class SegmentedVideo:
    """What was found in a video, of which T frames were segmented.

    Attributes:
        folder: that of its files.
        source: the video or folder of frames, as it was given.
        size: (height, width) of its frames and masks.
        categories: names by id.
        status: FINISHED, or why there may be more.
        start: seconds of the source from which on it was segmented.
        frame_rate: that of a folder of frames, if one was chosen.
        threshold: smallest score of a track that was drawn.
        times: T, in seconds from `start`.
        objects: those of each of the T frames.
        tracks: best score first, those that the results leave out left out.
        files: names of the other files in the folder that are there.
    """

    folder: Path
    source: str
    size: tuple[int, int]
    categories: dict[int, str]
    status: str
    start: float
    frame_rate: float | None
    threshold: float
    times: list[float]
    objects: list[list[FoundObject]]
    tracks: list[FoundTrack]
    files: list[str]


def checked_manifest(folder: str | os.PathLike[str]) -> Mapping[str, Any]:
    """video.json, of which "input", "status", "height" and "width" are checked.

    Raises:
        OSError: it cannot be read.
        ValueError: the first fault found, with file and field.
    """
    path = Path(folder) / MANIFEST_FILE
    manifest = read_json(path)
    expect(isinstance(manifest, Mapping), path, manifest, "an object")
    size = manifest.get("height"), manifest.get("width")
    expect(is_frame_size(*size), f"{path}: height, width", size, "a frame's size in pixels")
    for key in ("input", "status"):
        expect(isinstance(manifest.get(key), str), f"{path}: {key}", manifest.get(key), "a string")
    return manifest


def read_folder(folder: str | os.PathLike[str]) -> SegmentedVideo:
    """What `ifc segment` wrote of one video, also while it is running or after it was stopped.

    Raises:
        OSError: a file cannot be read.
        ValueError: the first fault found, with file and field.
    """
    folder = Path(folder)
    name, manifest = str(folder / MANIFEST_FILE), checked_manifest(folder)
    size = manifest["height"], manifest["width"]
    categories = read_categories(manifest.get("categories"), f"{name}: categories")
    times, objects = _read_objects(folder / OBJECTS_FILE, size, categories, manifest["status"] == FINISHED)
    expect(times, folder / OBJECTS_FILE, "no frame", "at least one")
    settings = _read_settings(manifest.get("settings"), f"{name}: settings")
    # While it runs there are no tracks yet: the last that was said of each stands in.
    last = {o.track_id: FoundTrack(o.track_id, o.category_id, o.score) for frame in objects for o in frame}
    for index, entry in enumerate(_entries(manifest.get("tracks") or [], f"{name}: tracks")):
        track = FoundTrack(*_read_track(entry, "id", categories, f"{name}: tracks[{index}]"))
        last[track.track_id] = track
    kept = {i: track for i, track in last.items() if track.score >= settings["results_threshold"]}
    files = manifest.get("files") or {}
    expect(isinstance(files, Mapping), f"{name}: files", files, "an object")
    return SegmentedVideo(
        folder=folder,
        source=manifest["input"],
        size=size,
        categories=categories,
        status=manifest["status"],
        start=settings["start"],
        frame_rate=settings["frame_rate"],
        threshold=settings["threshold"],
        times=times,
        objects=[[found for found in frame if found.track_id in kept] for frame in objects],
        tracks=sorted(kept.values(), key=lambda track: -track.score),
        files=[str(file) for file in files.values() if _is_plain_file(folder, file)],
    )


def _read_settings(value: Any, place: str) -> dict[str, Any]:
    """Those that a page depends on."""
    expect(isinstance(value, Mapping), place, value, "an object")
    defaults = {"start": 0.0, "frame_rate": None, "threshold": 0.0, "results_threshold": 0.0}
    settings = {key: value.get(key, default) for key, default in defaults.items()}
    for key, found in settings.items():
        is_good = (found is None and defaults[key] is None) or (is_number(found) and found >= 0)
        expect(is_good, f"{place}.{key}", found, "a number, 0 or more")
    return settings


def _is_plain_file(folder: Path, name: Any) -> bool:
    return isinstance(name, str) and Path(name).name == name and (folder / name).is_file()


def _entries(value: Any, place: str) -> list[Mapping[str, Any]]:
    expect(is_list(value), place, value, "a list")
    for index, entry in enumerate(value):
        expect(isinstance(entry, Mapping), f"{place}[{index}]", entry, "an object")
    return value


def read_categories(value: Any, place: str) -> dict[int, str]:
    """The names by id of a manifest's "categories", which messages call `place`; ValueError for a fault."""
    names = {}
    for index, entry in enumerate(_entries(value, place)):
        expect(is_integer(entry.get("id")), f"{place}[{index}].id", entry.get("id"), "an integer")
        expect(isinstance(entry.get("name"), str), f"{place}[{index}].name", entry.get("name"), "a string")
        names[entry["id"]] = entry["name"]
    return names


def _read_track(entry: Mapping[str, Any], key: str, categories: Mapping[int, str], place: str) -> tuple:
    """Id, category id and score, which objects and tracks have."""
    track_id, category_id, score = entry.get(key), entry.get("category_id"), entry.get("score")
    expect(is_integer(track_id) and track_id >= 0, f"{place}.{key}", track_id, "an integer, 0 or more")
    known = is_integer(category_id) and category_id in categories
    expect(known, f"{place}.category_id", category_id, "the id of one of the categories")
    expect(is_number(score), f"{place}.score", score, "a number")
    return track_id, category_id, float(score)


def _read_objects(
    path: Path, size: tuple[int, int], categories: Mapping[int, str], is_finished: bool
) -> tuple[list[float], list[list[FoundObject]]]:
    """Times (T,) and objects of the frames. The last line may be cut off where writing was not finished."""
    times, objects = [], []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            place = f"{path}: line {number}"
            if not line.endswith("\n") and not is_finished:
                break
            try:
                frame = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{place}: not valid json: {error}") from None
            expect(isinstance(frame, Mapping), place, frame, "an object")
            is_later = is_number(frame.get("time")) and (not times or frame["time"] >= times[-1])
            expect(is_later, f"{place}: time", frame.get("time"), "seconds, not before the frame before")
            times.append(float(frame["time"]))
            objects.append(_read_frame(frame, size, categories, place))
    return times, objects


def _read_frame(
    frame: Mapping[str, Any], size: tuple[int, int], categories: Mapping[int, str], place: str
) -> list[FoundObject]:
    entries = _entries(frame.get("objects"), f"{place}: objects")
    masks, areas, errors = read_masks([entry.get("segmentation") for entry in entries], size)
    for index, error in errors.items():
        raise ValueError(f"{place}: objects[{index}].segmentation{error.field}: {error}")
    found = {}
    for index, (entry, mask, area) in enumerate(zip(entries, masks, areas.tolist(), strict=True)):
        track = _read_track(entry, "track_id", categories, f"{place}: objects[{index}]")
        expect(track[0] not in found, f"{place}: objects[{index}].track_id", track[0], "another one than before")
        if mask is not None and area:
            found[track[0]] = FoundObject(*track, mask, area)
    return list(found.values())
