# SPDX-License-Identifier: Apache-2.0
"""DAVIS, YouTube-VOS, MOSE: a PNG for each annotated frame, whose pixels' palette indices are the objects' numbers.

Annotations/VIDEO/FRAME.png   or, of DAVIS, Annotations/480p/VIDEO/FRAME.png
JPEGImages/VIDEO/FRAME.jpg    likewise
meta.json                     the objects' categories, of YouTube-VOS
"""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..files import read_json, whole_folder, write_json
from ..images import natural_order, video_frames
from ..tracked_video import NamedTrack, TrackedVideo, category_ids
from ..values import brief, expect
from .from_ytvis import ReadVideo, read_ytvis
from .label_maps import Each, overlap_remarks, read_label_maps, write_label_maps

CATEGORY = "object"  # of objects without one
MAX_NUMBER = 255
RESOLUTIONS = ("480p", "Full-Resolution")  # DAVIS's


def read_indexed_png(
    root: str | os.PathLike,
    *,
    resolution: str | None = None,
    videos: Sequence[str] | None = None,
    meta_file: str | os.PathLike | None = None,
    void: int | None = None,
    each: Each = map,
) -> tuple[list[TrackedVideo], dict[str, int], list[str]]:
    """Read a data set of indexed PNGs.

    Args:
        root: the folder with Annotations and JPEGImages.
        resolution: the folder in both that holds the videos, as DAVIS has; None for "480p" if there is one.
        videos: which of them; None for all that have annotations.
        meta_file: the objects' categories; None for root/meta.json if there is one. Without one, or if it names none,
            all objects get the category "object".
        void: an index that is no object, besides 0.
        each: how a function is applied to the videos.

    Returns:
        the videos, the ids of the categories by name, and remarks for the user.

    Raises:
        OSError: a file cannot be read.
        ValueError: something is missing or malformed. The message names the file.
    """
    annotations, frames = find_folders(root, resolution)
    names = sorted((entry.name for entry in os.scandir(annotations) if entry.is_dir()), key=natural_order)
    remarks = []
    if videos is not None:
        missing = [name for name in videos if name not in names]
        if missing:
            raise ValueError(f"{annotations}: found no folder {missing[0]}, expected one for each video that is listed")
        names = list(dict.fromkeys(videos))
    if not names:
        raise ValueError(f"{annotations}: found no folder, expected one for each video")
    meta = Path(root) / "meta.json" if meta_file is None else Path(meta_file)
    classes = read_meta(meta) if meta_file is not None or meta.exists() else None
    read = partial(read_video, annotations=annotations, frames=frames, classes=classes, void=void)
    found = list(each(read, names))
    unseen = 0
    if classes is not None:
        shown = {(name, track.object_id) for name, video in zip(names, found, strict=True) for track in video.tracks}
        unseen = sum((name, number) not in shown for name in names for number in classes.get(name, ()))
    if unseen:
        remarks.append(f"{unseen} objects of {meta} have no pixel in any PNG and were left out")
    categories = {CATEGORY} if classes is None else {name for objects in classes.values() for name in objects.values()}
    return found, category_ids(sorted(categories)), remarks


def read_list(path: str | os.PathLike) -> list[str]:
    """What stands on the lines of a text that are not blank; some editors put a mark before the first."""
    text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def find_folders(root: str | os.PathLike, resolution: str | None) -> tuple[Path, Path]:
    """The folders of the annotations and of the frames of a data set; the arguments are `read_indexed_png`'s.

    Raises:
        ValueError: one does not exist.
    """
    annotations, frames = Path(root) / "Annotations", Path(root) / "JPEGImages"
    if resolution is None:
        resolution = next((name for name in RESOLUTIONS if (annotations / name).is_dir()), "")
    annotations, frames = annotations / resolution, frames / resolution
    for folder in (annotations, frames):
        if not folder.is_dir():
            raise ValueError(f"{folder}: found no such folder, expected {root} to hold Annotations and JPEGImages")
    return annotations, frames


def read_meta(path: str | os.PathLike) -> dict[str, dict[int, str]]:
    """YouTube-VOS's meta.json: by video and number of the object, its category.

    Raises:
        OSError: it cannot be read.
        ValueError: it is malformed.
    """
    content = read_json(path)
    videos = content.get("videos") if isinstance(content, dict) else None
    expect(isinstance(videos, dict), f"{path}: videos", videos, "an object")
    classes: dict[str, dict[int, str]] = {}
    for name, video in videos.items():
        objects = video.get("objects") if isinstance(video, dict) else None
        expect(isinstance(objects, dict), f"{path}: videos.{brief(name)}.objects", objects, "an object")
        classes[name] = {}
        for number, entry in objects.items():
            place = f"{path}: videos.{brief(name)}.objects.{brief(number)}"
            if not (number.isascii() and number.isdigit() and len(number) <= 3 and 0 < int(number) <= MAX_NUMBER):
                raise ValueError(f"{place}: found this number, expected one from 1 to {MAX_NUMBER}")
            category = entry.get("category", CATEGORY) if isinstance(entry, dict) else None
            expect(isinstance(category, str), f"{place}.category", category, "a string")
            classes[name][int(number)] = category
    return classes


def read_video(
    name: str, *, annotations: Path, frames: Path, classes: Mapping[str, Mapping[int, str]] | None, void: int | None
) -> TrackedVideo:
    """One video. Its masks are null on frames without a PNG, which need not all have one."""
    file_names, size = video_frames(frames, name)
    modes = ("P", "L", "1")
    masks, annotated = read_label_maps(annotations / name, file_names, size, modes, lambda n, _: n not in (0, void))
    own_classes = dict.fromkeys(masks, CATEGORY) if classes is None else classes.get(name, {})
    for number in masks:
        if number not in own_classes:
            raise ValueError(f"{annotations / name}: found object {number}, expected only those of meta.json")
    tracks = [NamedTrack(own_classes[number], track_masks, number) for number, track_masks in masks.items()]
    return TrackedVideo(file_names, size, tracks, annotated)


def palette() -> np.ndarray:
    """DAVIS's and Pascal VOC's colors, (256, 3) uint8: three bits of the index at a time, from the highest bit on."""
    index = np.arange(256)[:, None]
    channel = np.arange(3)
    bits = [((index >> 3 * place + channel) & 1) << 7 - place for place in range(8)]
    return np.sum(bits, axis=0).astype(np.uint8)


def write_indexed_png(json_file: str | os.PathLike, output: str | os.PathLike, each: Each = map) -> list[str]:
    """Write a json in YTVIS's format as output/Annotations/VIDEO/FRAME.png and output/meta.json.

    The numbers of a video's objects are the annotations' `object_id` if all have one, else 1, 2, ... in the json's
    order. Where objects overlap, the one that is listed later is in front. Frames get a PNG, also if it is empty, but
    for those that `annotated_frames` of the video leaves out.

    Returns:
        remarks for the user.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: the json is malformed, a video has more than 255 objects, or the folder exists.
    """
    videos, categories = read_ytvis(json_file)
    meta = {"videos": {video.folder: {"objects": _meta_objects(video, categories)} for video in videos}}
    output = Path(output)
    if (output / "meta.json").exists():
        raise ValueError(f"{output / 'meta.json'}: exists already, expected a new folder")
    with whole_folder(output / "Annotations") as folder:
        remarks = overlap_remarks(each(partial(write_video, folder=folder), videos))
        write_json(output / "meta.json", meta, indent=1)
    return remarks


def object_numbers(video: ReadVideo) -> list[int]:
    """A number from 1 to 255 for each track."""
    numbers = [object_id for _, object_id, _ in video.tracks]
    if all(number is None for number in numbers):
        numbers = list(range(1, len(numbers) + 1))
    for index, (number, (place, *_)) in enumerate(zip(numbers, video.tracks, strict=True)):
        fits = type(number) is int and 0 < number <= MAX_NUMBER and number not in numbers[:index]
        expected = f"a number from 1 to {MAX_NUMBER} that is used once in its video, or none in the whole video"
        expect(fits, f"{place}.object_id", number, expected)
    return numbers


def _meta_objects(video: ReadVideo, categories: Mapping[int, str]) -> dict[str, Any]:
    """YouTube-VOS's description of a video's objects."""
    objects = {}
    for number, (*_, track) in sorted(zip(object_numbers(video), video.tracks, strict=True)):
        frames = [stem for stem, mask in zip(video.stems, track.masks, strict=True) if mask]
        objects[str(number)] = {"category": categories[track.category_id], "frames": frames}
    return objects


def write_video(video: ReadVideo, *, folder: Path) -> list[int]:
    """Write a video's PNGs; on each of them, how many pixels belong to several objects."""
    return write_label_maps(folder / video.folder, video, object_numbers(video), np.uint8, palette().tobytes())
