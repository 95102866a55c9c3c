# SPDX-License-Identifier: Apache-2.0
"""MOTS and KITTI-MOTS: pictures of 16 bits a pixel, or lines of text.

A pixel's value is the number of its object, 1000 * class + instance; 10000 is a region to be ignored, 0 is background.
A line of text is `frame object class height width rle`, the frame being the number that its image file is named by
(https://www.vision.rwth-aachen.de/page/mots).

A region to be ignored has no class, and a crowd of YTVIS's format has one: it becomes a crowd of each class, which
ignores what is found in it just the same.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from ..files import whole_file
from ..images import image_size, list_frames, natural_order, read_image
from ..parallel import map_videos
from ..tracked_video import Rle, Track, TrackedVideo, encode
from ..values import brief
from .from_ytvis import ReadVideo, decode, label_map, read_ytvis, whole_folder
from .indexed_png import annotated_frames, overlap_remarks

CATEGORIES = {"car": 1, "pedestrian": 2}
IGNORED_CLASS = 10
IGNORED = 10_000
MAX_CLASS = 64  # of which all numbers fit into 16 bits
FRAME_FOLDER = "img1"  # below a sequence's folder, in MOTSChallenge's layout

Masks = dict[int, list[Rle | None]]  # by number of the object, T masks


def read_mots_png(
    instances: str | os.PathLike,
    images: str | os.PathLike,
    categories: Mapping[str, int],
    *,
    num_workers: int = 1,
    show_progress: bool = False,
) -> list[TrackedVideo]:
    """Read instances/SEQUENCE/FRAME.png, with the frames in images/SEQUENCE or images/SEQUENCE/img1.

    Args:
        instances, images: the folders.
        categories: the classes' numbers by name.
        num_workers: processes to use.
        show_progress: show a progress bar on stderr.

    Raises:
        OSError: a file cannot be read.
        ValueError: something is missing or malformed. The message names the file.
    """
    instances = Path(instances)
    names = sorted((path.name for path in instances.glob("*") if path.is_dir()), key=natural_order)
    if not names:
        raise ValueError(f"{instances}: found no folder, expected one for each sequence")
    read = partial(_read_png_sequence, instances=instances, images=Path(images), categories=dict(categories))
    return list(map_videos(read, names, num_workers, "reading" if show_progress else None))


def read_mots_text(
    texts: str | os.PathLike,
    images: str | os.PathLike,
    categories: Mapping[str, int],
    *,
    num_workers: int = 1,
    show_progress: bool = False,
) -> list[TrackedVideo]:
    """Read texts/SEQUENCE.txt or texts/SEQUENCE/gt/gt.txt; all else is as for `read_mots_png`."""
    texts = Path(texts)
    single = {path.stem: path for path in texts.glob("*.txt")}
    paths = {path.parents[1].name: path for path in texts.glob("*/gt/gt.txt")}
    if single.keys() & paths.keys():
        name = min(single.keys() & paths.keys())
        raise ValueError(f"{texts}: found {name}.txt and {name}/gt/gt.txt, expected one of them")
    paths |= single
    if not paths:
        raise ValueError(f"{texts}: found no text, expected SEQUENCE.txt or SEQUENCE/gt/gt.txt for each sequence")
    read = partial(_read_text_sequence, images=Path(images), categories=dict(categories))
    sequences = sorted(paths.items(), key=lambda item: natural_order(item[0]))
    return list(map_videos(read, sequences, num_workers, "reading" if show_progress else None))


def _frames(images: Path, name: str) -> tuple[list[str], tuple[int, int]]:
    """The paths of a sequence's frames, relative to `images`, and their size."""
    folder = images / name
    folder = folder / FRAME_FOLDER if (folder / FRAME_FOLDER).is_dir() else folder
    names = list_frames(folder)
    relative = PurePosixPath(folder.relative_to(images).as_posix())
    return [str(relative / file_name) for file_name in names], image_size(folder / names[0])


def _read_png_sequence(name: str, *, instances: Path, images: Path, categories: dict[str, int]) -> TrackedVideo:
    file_names, size = _frames(images, name)
    annotated = annotated_frames(instances / name, [PurePosixPath(file_name).stem for file_name in file_names])
    masks: Masks = defaultdict(lambda: [None] * len(file_names))
    for frame, path in annotated.items():
        pixels = read_image(path, ("I;16", "I"), size)
        for number in np.flatnonzero(np.bincount(pixels.ravel(), minlength=1)).tolist():
            if number != 0:
                _check_number(number, categories, str(path))
                masks[number][frame] = encode(pixels == number)
    flags = [frame in annotated for frame in range(len(file_names))]
    return TrackedVideo(file_names, size, _tracks(masks, categories), flags)


def _read_text_sequence(sequence: tuple[str, Path], *, images: Path, categories: dict[str, int]) -> TrackedVideo:
    name, path = sequence
    file_names, size = _frames(images, name)
    frames = {_frame_number(file_name, images): frame for frame, file_name in enumerate(file_names)}
    if len(frames) < len(file_names):
        raise ValueError(f"{images / name}: found two frames of one number, expected each once")
    masks: Masks = defaultdict(lambda: [None] * len(file_names))
    for place, frame_number, number, rle in _read_lines(path, size):
        _check_number(number, categories, place)
        if frame_number not in frames:
            raise ValueError(
                f"{place}: found frame {frame_number}, expected one of the {len(frames)} in {images / name}"
            )
        frame = frames[frame_number]
        if masks[number][frame] is not None:
            raise ValueError(f"{place}: found object {number} a second time on frame {frame_number}, expected it once")
        masks[number][frame] = rle
    return TrackedVideo(file_names, size, _tracks(masks, categories))


def _frame_number(file_name: str, images: Path | None = None) -> int:
    stem = PurePosixPath(file_name).stem
    if not re.fullmatch(r"[0-9]{1,9}", stem):
        place = file_name if images is None else images / file_name
        raise ValueError(f"{place}: found the name {brief(stem)}, expected the frame's number")
    return int(stem)


def _read_lines(path: Path, size: tuple[int, int]) -> Iterator[tuple[str, int, int, Rle]]:
    """Place, frame, number of the object, and mask of each line."""
    with open(path, encoding="ascii", errors="replace") as file:
        for index, line in enumerate(file, start=1):
            place, fields = f"{path}: line {index}", line.split()
            if not fields:
                continue
            if len(fields) != 6 or not all(re.fullmatch(r"[0-9]{1,9}", item) for item in fields[:5]):
                expected = "frame object class height width rle, the first five whole numbers"
                raise ValueError(f"{place}: found {brief(line.strip())}, expected {expected}")
            frame, number, category, height, width = map(int, fields[:5])
            if category != number // 1000:
                raise ValueError(f"{place}: found class {category}, expected {number // 1000}, as object {number} says")
            if (height, width) != size:
                raise ValueError(f"{place}: found {height} x {width}, expected the frames' {size[0]} x {size[1]}")
            mask = decode({"size": [height, width], "counts": fields[5]}, size, place)
            # Written anew, as one mask has several texts and all but one of them are traps.
            yield place, frame, number, encode(mask)


def _check_number(number: int, categories: Mapping[str, int], place: str) -> None:
    if number // 1000 not in (*categories.values(), IGNORED_CLASS):
        known = ", ".join(f"{number} ({name})" for name, number in categories.items())
        expected = f"1000 * class + instance, of the classes {known} and {IGNORED_CLASS} (ignored)"
        raise ValueError(f"{place}: found object {number}, expected {expected}")


def _tracks(masks: Masks, categories: Mapping[str, int]) -> list[Track]:
    names = {number: name for name, number in categories.items()}
    tracks = []
    for number, track_masks in sorted(masks.items()):
        is_ignored = number // 1000 == IGNORED_CLASS
        for name in categories if is_ignored else [names[number // 1000]]:
            tracks.append(Track(name, track_masks, number, is_crowd=is_ignored))
    return tracks


def object_numbers(video: ReadVideo) -> list[int]:
    """MOTS's number for each annotation of a json in YTVIS's format.

    The annotations' `object_id` if they have one; else they are counted. Crowds are regions to be ignored.
    """
    given = [annotation.get("object_id") for _, annotation in video.annotations]
    counts: dict[int, int] = defaultdict(int)
    numbers: list[int] = []
    used: set[int] = set()
    keep = any(number is not None for number in given)
    for (place, annotation), number in zip(video.annotations, given, strict=True):
        category_id, is_crowd = annotation["category_id"], bool(annotation.get("iscrowd", 0))
        if not 0 < category_id <= MAX_CLASS or category_id == IGNORED_CLASS:
            expected = f"a number from 1 to {MAX_CLASS} other than {IGNORED_CLASS}"
            raise ValueError(f"{place}.category_id: found {brief(category_id)}, expected {expected}")
        expected_class = IGNORED_CLASS if is_crowd else category_id
        if not keep:
            counts[category_id] += not is_crowd
            number = IGNORED if is_crowd else 1000 * category_id + counts[category_id]
        if type(number) is not int or number // 1000 != expected_class or (number in used and not is_crowd):
            expected = f"a number of class {expected_class} that is used once, or none in the whole video"
            raise ValueError(f"{place}: found object {brief(number)}, expected {expected}")
        if number > np.iinfo(np.uint16).max:
            raise ValueError(f"{place}: found object {number}, expected at most {np.iinfo(np.uint16).max}")
        numbers.append(number)
        used.add(number)
    return numbers


def _sequence_name(video: ReadVideo) -> str:
    folder = PurePosixPath(video.folder)
    return str(folder.parent if folder.name == FRAME_FOLDER and len(folder.parts) > 1 else folder)


def write_mots_png(
    json_file: str | os.PathLike, output: str | os.PathLike, *, num_workers: int = 1, show_progress: bool = False
) -> list[str]:
    """Write a json in YTVIS's format as output/SEQUENCE/FRAME.png.

    Category ids become the classes' numbers. Where objects overlap, the one that is listed later is in front.

    Returns:
        remarks for the user.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: the json is malformed or does not fit into the format, or the folder exists.
    """
    videos, _ = read_ytvis(json_file)
    with whole_folder(output) as folder:
        write = partial(_write_pngs, folder=folder)
        overlaps = list(map_videos(write, videos, num_workers, "writing" if show_progress else None))
    return overlap_remarks(overlaps)


def _write_pngs(video: ReadVideo, *, folder: Path) -> list[int]:
    numbers = object_numbers(video)
    own_folder = folder / _sequence_name(video)
    own_folder.mkdir(parents=True, exist_ok=True)
    overlaps = []
    for frame in video.written:
        labels, overlap = label_map(video, numbers, frame, np.uint16)
        Image.fromarray(labels).save(own_folder / f"{video.stems[frame]}.png")
        overlaps.append(overlap)
    return overlaps


def write_mots_text(
    json_file: str | os.PathLike, output: str | os.PathLike, *, num_workers: int = 1, show_progress: bool = False
) -> None:
    """Write a json in YTVIS's format as output/SEQUENCE.txt, in the order of frames and objects.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: the json is malformed or does not fit into the format, or the folder exists.
    """
    videos, _ = read_ytvis(json_file)
    with whole_folder(output) as folder:
        for name, text in map_videos(_text_of, videos, num_workers, "writing" if show_progress else None):
            path = folder / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as partial_path:
                partial_path.write_text(text, encoding="ascii")


def _text_of(video: ReadVideo) -> tuple[str, str]:
    """Name and text of a sequence."""
    numbers = object_numbers(video)
    lines: dict[tuple[int, int], str] = {}
    for number, (place, annotation) in zip(numbers, video.annotations, strict=True):
        for frame in range(len(video.stems)):
            mask = decode(annotation["segmentations"][frame], video.size, f"{place}.segmentations[{frame}]")
            if mask is None or not mask.any():
                continue
            frame_number = _frame_number(video.stems[frame])
            fields = (frame_number, number, number // 1000, *video.size, encode(mask)["counts"])
            line = " ".join(map(str, fields)) + "\n"
            # Regions to be ignored are crowds of each class; they share their number and are written once.
            if lines.setdefault((frame_number, number), line) != line:
                raise ValueError(f"{place}: found two masks of object {number} on frame {frame_number}, expected one")
    return _sequence_name(video), "".join(lines[key] for key in sorted(lines))
