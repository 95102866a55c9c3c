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
from PIL import Image

from ..files import read_json, write_json
from ..images import image_size, list_frames, natural_order, read_image
from ..parallel import map_videos
from ..tracked_video import Rle, Track, TrackedVideo, encode
from ..values import brief
from .from_ytvis import ReadVideo, label_map, read_ytvis, whole_folder

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
    num_workers: int = 1,
    show_progress: bool = False,
) -> tuple[list[TrackedVideo], dict[str, int], list[str]]:
    """Read a data set of indexed PNGs.

    Args:
        root: the folder with Annotations and JPEGImages.
        resolution: the folder in both that holds the videos, as DAVIS has; None for "480p" if there is one.
        videos: which of them; None for all that have annotations.
        meta_file: the objects' categories; None for root/meta.json if there is one. Without one, or if it names none,
            all objects get the category "object".
        void: an index that is no object, besides 0.
        num_workers: processes to use.
        show_progress: show a progress bar on stderr.

    Returns:
        the videos, the ids of the categories by name, and remarks for the user.

    Raises:
        OSError: a file cannot be read.
        ValueError: something is missing or malformed. The message names the file.
    """
    annotations, frames = find_folders(Path(root), resolution)
    names = sorted((entry.name for entry in os.scandir(annotations) if entry.is_dir()), key=natural_order)
    remarks = []
    if videos is not None:
        missing = [name for name in videos if name not in names]
        if missing:
            raise ValueError(f"{annotations}: found no folder {missing[0]}, expected one for each video that is listed")
        names = list(dict.fromkeys(videos))
    if not names:
        raise ValueError(f"{annotations}: found no folder, expected one for each video")
    meta_file = Path(meta_file) if meta_file is not None else Path(root) / "meta.json"
    classes = read_meta(meta_file) if meta_file.exists() else None
    read = partial(read_video, annotations=annotations, frames=frames, classes=classes, void=void)
    found = list(map_videos(read, names, num_workers, "reading" if show_progress else None))
    unseen = 0
    if classes is not None:
        shown = {(name, track.object_id) for name, video in zip(names, found, strict=True) for track in video.tracks}
        unseen = sum((name, number) not in shown for name in names for number in classes.get(name, ()))
    if unseen:
        remarks.append(f"{unseen} objects of {meta_file} have no pixel in any PNG and were left out")
    return found, _categories(classes), remarks


def find_folders(root: Path, resolution: str | None) -> tuple[Path, Path]:
    """The folders of the annotations and of the frames of a data set; the arguments are `read_indexed_png`'s.

    Raises:
        ValueError: one does not exist.
    """
    annotations, frames = root / "Annotations", root / "JPEGImages"
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
    if not isinstance(videos, dict):
        raise ValueError(f"{path}: videos: found {brief(videos)}, expected an object")
    classes: dict[str, dict[int, str]] = {}
    for name, video in videos.items():
        objects = video.get("objects") if isinstance(video, dict) else None
        if not isinstance(objects, dict):
            raise ValueError(f"{path}: videos.{brief(name)}.objects: found {brief(objects)}, expected an object")
        classes[name] = {}
        for number, entry in objects.items():
            place = f"{path}: videos.{brief(name)}.objects.{brief(number)}"
            if not (number.isascii() and number.isdigit() and len(number) <= 3 and 0 < int(number) <= MAX_NUMBER):
                raise ValueError(f"{place}: found this number, expected one from 1 to {MAX_NUMBER}")
            category = entry.get("category", CATEGORY) if isinstance(entry, dict) else None
            if not isinstance(category, str):
                raise ValueError(f"{place}.category: found {brief(category)}, expected a string")
            classes[name][int(number)] = category
    return classes


def _categories(classes: Mapping[str, Mapping[int, str]] | None) -> dict[str, int]:
    """Ids of all categories, in alphabetical order."""
    names = {CATEGORY} if classes is None else {name for objects in classes.values() for name in objects.values()}
    return {name: category_id for category_id, name in enumerate(sorted(names), start=1)}


def read_video(
    name: str, *, annotations: Path, frames: Path, classes: Mapping[str, Mapping[int, str]] | None, void: int | None
) -> TrackedVideo:
    """One video. Its masks are null on frames without a PNG, which need not all have one."""
    names = list_frames(frames / name)
    size = image_size(frames / name / names[0])
    stems = [Path(file_name).stem for file_name in names]
    masks: dict[int, list[Rle | None]] = {}
    annotated = annotated_frames(annotations / name, stems)
    for frame, path in annotated.items():
        pixels = read_image(path, ("P", "L", "1"), size)
        for number in np.flatnonzero(np.bincount(pixels.ravel(), minlength=1)).tolist():
            if number not in (0, void):
                masks.setdefault(number, [None] * len(names))[frame] = encode(pixels == number)
    own_classes = None if classes is None else classes.get(name, {})
    tracks = []
    for number, track_masks in sorted(masks.items()):
        if own_classes is not None and number not in own_classes:
            raise ValueError(f"{annotations / name}: found object {number}, expected only those of meta.json")
        tracks.append(Track(CATEGORY if own_classes is None else own_classes[number], track_masks, number))
    file_names = [f"{name}/{file_name}" for file_name in names]
    return TrackedVideo(file_names, size, tracks, [frame in annotated for frame in range(len(names))])


def annotated_frames(folder: Path, stems: Sequence[str]) -> dict[int, Path]:
    """The PNGs of a folder, by the index of the frame of the same name.

    Raises:
        ValueError: one has no frame.
    """
    indices = {stem: frame for frame, stem in enumerate(stems)}
    found = {}
    for path in sorted(path for path in folder.glob("*") if path.suffix.lower() == ".png"):
        if path.stem not in indices:
            raise ValueError(f"{path}: found no frame {path.stem}, expected one for each PNG")
        found[indices[path.stem]] = path
    if not found:
        raise ValueError(f"{folder}: found no PNG, expected one for each annotated frame")
    return dict(sorted(found.items()))


def palette() -> np.ndarray:
    """DAVIS's and Pascal VOC's colors, (256, 3) uint8: three bits of the index at a time, from the highest bit on."""
    index = np.arange(256)[:, None]
    channel = np.arange(3)
    bits = [((index >> 3 * place + channel) & 1) << 7 - place for place in range(8)]
    return np.sum(bits, axis=0).astype(np.uint8)


def write_indexed_png(
    json_file: str | os.PathLike, output: str | os.PathLike, *, num_workers: int = 1, show_progress: bool = False
) -> list[str]:
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
        write = partial(write_video, folder=folder)
        overlaps = list(map_videos(write, videos, num_workers, "writing" if show_progress else None))
        write_json(output / "meta.json", meta, indent=1)
    return overlap_remarks(overlaps)


def overlap_remarks(overlaps: Sequence[Sequence[int]]) -> list[str]:
    """What to say of pixels that belong to several objects, from their number on each frame of each video."""
    frames = [pixels for video in overlaps for pixels in video if pixels]
    if not frames:
        return []
    text = f"{sum(frames)} pixels of {len(frames)} frames belong to several objects; the one listed last is written"
    return [f"{text}, as a label map holds one"]


def object_numbers(video: ReadVideo) -> list[int]:
    """A number from 1 to 255 for each annotation."""
    numbers = [annotation.get("object_id") for _, annotation in video.annotations]
    if all(number is None for number in numbers):
        numbers = list(range(1, len(numbers) + 1))
    used = set()
    for number, (place, _) in zip(numbers, video.annotations, strict=True):
        if type(number) is not int or not 0 < number <= MAX_NUMBER or number in used:
            expected = f"a number from 1 to {MAX_NUMBER} that is used once in its video, or none in the whole video"
            raise ValueError(f"{place}: found object {brief(number)}, expected {expected}")
        used.add(number)
    return numbers


def _meta_objects(video: ReadVideo, categories: Mapping[int, str]) -> dict[str, Any]:
    """YouTube-VOS's description of a video's objects."""
    objects = {}
    for number, (_, annotation) in sorted(zip(object_numbers(video), video.annotations, strict=True)):
        frames = [stem for stem, mask in zip(video.stems, annotation["segmentations"], strict=True) if mask]
        objects[str(number)] = {"category": categories[annotation["category_id"]], "frames": frames}
    return objects


def write_video(video: ReadVideo, *, folder: Path) -> list[int]:
    """Write a video's PNGs; on each of them, how many pixels belong to several objects."""
    numbers = object_numbers(video)
    (folder / video.folder).mkdir(parents=True, exist_ok=True)
    colors = palette().tobytes()
    overlaps = []
    for frame in video.written:
        labels, overlap = label_map(video, numbers, frame, np.uint8)
        picture = Image.fromarray(labels)
        picture.putpalette(colors)
        picture.save(folder / video.folder / f"{video.stems[frame]}.png")
        overlaps.append(overlap)
    return overlaps
