# SPDX-License-Identifier: Apache-2.0
"""Label Studio's json export of video object tracking: sequences of boxes, whose masks are the boxes.

Boxes are in percent of the frame, and given at key frames, which count from 1. From an enabled key frame on the object
is seen, its box interpolated linearly up to the next key frame; behind a key frame that is not enabled it is gone.
Other kinds of regions are refused.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, unquote_plus

import numpy as np

from ..files import read_json
from ..tracked_video import NamedTrack, Rle, TrackedVideo, category_ids
from ..values import expect
from .outlines import find_frames, rotated_box_mask

BOX_KEYS = ("x", "y", "width", "height")
WITHOUT_REGION = (
    *("choices", "datetime", "number", "pairwise", "rating", "relation", "taxonomy", "textarea", "timelinelabels"),
)
UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-")  # that Label Studio puts before the names of uploaded files
MAX_PERCENT = 1000.0


def read_label_studio(
    json_file: str | os.PathLike, image_root: str | os.PathLike
) -> tuple[list[TrackedVideo], dict[str, int], list[str]]:
    """Read an export, each of whose tasks is a video.

    Args:
        json_file: the export, in the format "JSON".
        image_root: the folder with a folder of frames for each video, which has the name of the video file, with or
            without what Label Studio puts before the name, or the task's id.

    Returns:
        the videos, the ids of the categories by name, and remarks for the user.

    Raises:
        OSError: a file cannot be read.
        ValueError: something is missing, malformed, or of a kind that has no mask. The message names file and place.
    """
    tasks = read_json(json_file)
    expect(isinstance(tasks, list) and tasks, json_file, tasks, "a list of tasks (the export format 'JSON')")
    left_out: Counter[str] = Counter()
    used: dict[str, str] = {}
    videos = []
    for index, task in enumerate(tasks):
        place = f"{json_file}: [{index}]"
        results = _results(task, place)
        file_names, size = find_frames(image_root, _names(task, place), place, used)
        tracks = []
        for result_place, result in results:
            if result.get("type") in WITHOUT_REGION:
                left_out[result["type"]] += 1
            else:
                tracks += _read_track(result, result_place, len(file_names), size)
        videos.append(TrackedVideo(file_names, size, tracks))
    names = sorted({track.category for video in videos for track in video.tracks})
    if not names:
        raise ValueError(f"{json_file}: found no region that is seen, expected one at least")
    remarks = [f"{count} results of type {kind} have no region and were left out" for kind, count in left_out.items()]
    return videos, category_ids(names), remarks


def _results(task: Any, place: str) -> list[tuple[str, dict[str, Any]]]:
    """The results of a task's one annotation, with their places."""
    annotations = task.get("annotations") if isinstance(task, dict) else None
    expect(isinstance(annotations, list), f"{place}.annotations", annotations, "a list")
    kept = [
        (f"{place}.annotations[{index}].result", annotation)
        for index, annotation in enumerate(annotations)
        if not (isinstance(annotation, dict) and annotation.get("was_canceled") is True)
    ]
    if len(kept) > 1:
        raise ValueError(f"{place}.annotations: found {len(kept)} annotations of one video, expected 1")
    found = []
    for own_place, annotation in kept:
        results = annotation.get("result") if isinstance(annotation, dict) else None
        expect(isinstance(results, list), own_place, results, "a list")
        for index, result in enumerate(results):
            expect(isinstance(result, dict), f"{own_place}[{index}]", result, "an object")
            found.append((f"{own_place}[{index}]", result))
    return found


def _names(task: Mapping[str, Any], place: str) -> list[str]:
    """Names that the folder of the frames may have."""
    data = task.get("data")
    paths = [value for value in data.values() if isinstance(value, str)] if isinstance(data, dict) else []
    stems = [PurePosixPath(part).stem for path in paths for part in _parts_of_url(path)]
    expect(stems, f"{place}.data", data, "the path of a video")
    names = [name for stem in stems for name in (stem, UPLOAD_PREFIX.sub("", stem, count=1)) if name]
    return [*names, str(task["id"])] if type(task.get("id")) is int and abs(task["id"]) < 10**18 else names


def _parts_of_url(url: str) -> list[str]:
    """Where the path of a video's file stands: in the URL's path or, of Label Studio's local files, behind "?d="."""
    path, _, query = url.partition("?")
    local = [unquote_plus(field[2:]) for field in query.split("&") if field.startswith("d=")]
    return [*local, unquote(path), path]


def _read_track(result: Mapping[str, Any], place: str, num_frames: int, size: tuple[int, int]) -> list[NamedTrack]:
    """The track of one region; none if it is seen on no frame."""
    kind, value = result.get("type"), result.get("value")
    expect(kind == "videorectangle", f"{place}.type", kind, "'videorectangle'")
    expect(isinstance(value, dict), f"{place}.value", value, "an object")
    labels = value.get("labels")
    is_one = isinstance(labels, list) and len(labels) == 1 and isinstance(labels[0], str)
    expect(is_one, f"{place}.value.labels", labels, "one label")
    count = value.get("framesCount", num_frames)
    # It is the duration times the frame rate, rounded in one direction or the other.
    is_near = type(count) is int and abs(count - num_frames) <= 1
    expected = f"{num_frames}, the number of images in its folder (of the same frame rate)"
    expect(is_near, f"{place}.value.framesCount", count, expected)
    keys = _key_frames(value.get("sequence"), f"{place}.value.sequence", max(count, num_frames))
    masks: list[Rle | None] = [None] * num_frames
    for key, following in pairwise([*sorted(keys), num_frames]):
        enabled, box = keys[key]
        _, next_box = keys.get(following, keys[key])
        for frame in range(key, min(following if enabled else key + 1, num_frames)):
            share = (frame - key) / (following - key)
            masks[frame] = _mask(box + share * (next_box - box), size, place)
    return [NamedTrack(labels[0], masks)] if any(masks) else []


def _key_frames(sequence: Any, place: str, num_frames: int) -> dict[int, tuple[bool, np.ndarray]]:
    """By frame, from 0: whether it is enabled, and its x, y, width, height in percent, and degrees."""
    expect(isinstance(sequence, list), place, sequence, "a list of key frames")
    found: dict[int, tuple[bool, np.ndarray]] = {}
    for index, entry in enumerate(sequence):
        own_place = f"{place}[{index}]"
        expect(isinstance(entry, dict), own_place, entry, "an object")
        frame, enabled = entry.get("frame"), entry.get("enabled", True)
        is_new = type(frame) is int and 1 <= frame <= num_frames and frame - 1 not in found
        expect(is_new, f"{own_place}.frame", frame, f"a new one from 1 to {num_frames}")
        expect(isinstance(enabled, bool), f"{own_place}.enabled", enabled, "true or false")
        values = [entry.get(key) for key in BOX_KEYS] + [entry.get("rotation", 0)]
        for key, value in zip((*BOX_KEYS, "rotation"), values, strict=True):
            fits = type(value) in (int, float) and abs(value) <= MAX_PERCENT
            expect(fits, f"{own_place}.{key}", value, f"a number up to {MAX_PERCENT:g}")
        found[frame - 1] = enabled, np.array(values, dtype=np.float64)
    return found


def _mask(box: np.ndarray, size: tuple[int, int], place: str) -> Rle | None:
    """The mask of x, y, width, height in percent, turned around its upper left corner."""
    height, width = size
    left, top = box[0] * width / 100, box[1] * height / 100
    right, bottom = left + box[2] * width / 100, top + box[3] * height / 100
    return rotated_box_mask((left, top, right, bottom), float(box[4]), (left, top), size, place)
