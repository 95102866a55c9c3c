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
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from ..files import whole_folder
from ..images import natural_order, video_frames
from ..masks import require_masks
from ..tracked_video import NamedTrack, Rle, TrackedVideo, encode
from ..values import expect
from .from_ytvis import ReadVideo, read_ytvis
from .label_maps import Each, overlap_remarks, read_label_maps, write_label_maps

CATEGORIES = {"car": 1, "pedestrian": 2}
IGNORED_CLASS = 10
MAX_NUMBER = 2**16 - 1
MAX_CLASS = 64  # of which all numbers are that small
FRAME_FOLDER = "img1"  # below a sequence's folder, in MOTSChallenge's layout


def read_categories(options: Sequence[str]) -> dict[str, int]:
    """Numbers of classes by name, from texts NUMBER=NAME.

    Raises:
        ValueError: one is no such text, or a number or name is used twice or cannot be MOTS's.
    """
    categories: dict[str, int] = {}
    for option in options:
        number, _, name = option.partition("=")
        fits = re.fullmatch(r"[0-9]{1,2}", number) and name and name not in categories
        fits = fits and int(number) not in categories.values()
        expect(fits, "--categories", option, "N=NAME, each number and name once")
        _check_class(int(number), "--categories", option)
        categories[name] = int(number)
    return categories


def _check_class(number: int, place: str, found: Any) -> None:
    fits = 0 < number <= MAX_CLASS and number != IGNORED_CLASS
    expect(fits, place, found, f"a number from 1 to {MAX_CLASS} other than {IGNORED_CLASS}")


def read_mots_png(
    instances: str | os.PathLike, images: str | os.PathLike, categories: Mapping[str, int], each: Each = map
) -> list[TrackedVideo]:
    """Read instances/SEQUENCE/FRAME.png, with the frames in images/SEQUENCE or images/SEQUENCE/img1.

    Args:
        instances, images: the folders.
        categories: the classes' numbers by name.
        each: how a function is applied to the sequences.

    Raises:
        OSError: a file cannot be read.
        ValueError: something is missing or malformed. The message names the file.
    """
    instances = Path(instances)
    names = sorted((path.name for path in instances.glob("*") if path.is_dir()), key=natural_order)
    if not names:
        raise ValueError(f"{instances}: found no folder, expected one for each sequence")
    read = partial(_read_png_sequence, instances=instances, images=Path(images), categories=dict(categories))
    return list(each(read, names))


def read_mots_text(
    texts: str | os.PathLike, images: str | os.PathLike, categories: Mapping[str, int], each: Each = map
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
    return list(each(read, sorted(paths.items(), key=lambda item: natural_order(item[0]))))


def _frames(images: Path, name: str) -> tuple[list[str], tuple[int, int]]:
    """The paths of a sequence's frames, relative to `images`, and their size."""
    return video_frames(images, f"{name}/{FRAME_FOLDER}" if (images / name / FRAME_FOLDER).is_dir() else name)


def _read_png_sequence(name: str, *, instances: Path, images: Path, categories: dict[str, int]) -> TrackedVideo:
    file_names, size = _frames(images, name)
    is_object = partial(_is_object, categories=categories)
    masks, annotated = read_label_maps(instances / name, file_names, size, ("I;16", "I"), is_object)
    return TrackedVideo(file_names, size, _tracks(masks, categories), annotated)


def _read_text_sequence(sequence: tuple[str, Path], *, images: Path, categories: dict[str, int]) -> TrackedVideo:
    name, path = sequence
    file_names, size = _frames(images, name)
    frames = {_frame_number(file_name, images): frame for frame, file_name in enumerate(file_names)}
    if len(frames) < len(file_names):
        raise ValueError(f"{images / name}: found two frames of one number, expected each once")
    masks: dict[int, list[Rle | None]] = defaultdict(lambda: [None] * len(file_names))
    lines = path.read_text(encoding="ascii", errors="replace").split("\n")
    for place, line in ((f"{path}: line {index}", line) for index, line in enumerate(lines, start=1) if line.strip()):
        fields = line.split()
        fits = len(fields) == 6 and all(re.fullmatch(r"[0-9]{1,9}", item) for item in fields[:5])
        expect(fits, place, line.strip(), "frame object class height width rle, the first five whole numbers")
        frame_number, number, category, height, width = map(int, fields[:5])
        if category != number // 1000:
            raise ValueError(f"{place}: found class {category}, expected {number // 1000}, as object {number} says")
        if not _is_object(number, place, categories):
            raise ValueError(f"{place}: found object 0, the background, expected 1000 * class + instance")
        if (height, width) != size:
            raise ValueError(f"{place}: found {height} x {width}, expected the frames' {size[0]} x {size[1]}")
        if frame_number not in frames:
            expected = f"one of the {len(frames)} in {images / name}"
            raise ValueError(f"{place}: found frame {frame_number}, expected {expected}")
        if masks[number][frames[frame_number]] is not None:
            raise ValueError(f"{place}: found object {number} a second time on frame {frame_number}, expected it once")
        (mask,) = require_masks([{"size": [height, width], "counts": fields[5]}], size, place)
        masks[number][frames[frame_number]] = _rewritten(mask)
    return TrackedVideo(file_names, size, _tracks(masks, categories))


def _frame_number(file_name: str, images: Path | None = None) -> int:
    stem = PurePosixPath(file_name).stem
    place = file_name if images is None else images / file_name
    expect(re.fullmatch(r"[0-9]{1,9}", stem), f"{place}: name", stem, "the frame's number")
    return int(stem)


def _is_object(number: int, place: str | Path, categories: Mapping[str, int]) -> bool:
    """Whether a number is that of an object, not of the background; ValueError if it is that of no class."""
    if number != 0 and number // 1000 not in (*categories.values(), IGNORED_CLASS):
        known = ", ".join(f"{number} ({name})" for name, number in categories.items())
        expected = f"1000 * class + instance, of the classes {known} and {IGNORED_CLASS} (ignored)"
        raise ValueError(f"{place}: found object {number}, expected {expected}")
    return number != 0


def _tracks(masks: Mapping[int, list[Rle | None]], categories: Mapping[str, int]) -> list[NamedTrack]:
    names = {number: [name] for name, number in categories.items()} | {IGNORED_CLASS: list(categories)}
    return [
        NamedTrack(name, track_masks, number, is_crowd=number // 1000 == IGNORED_CLASS)
        for number, track_masks in sorted(masks.items())
        for name in names[number // 1000]
    ]


def mots_numbers(video: ReadVideo) -> list[int]:
    """MOTS's number for each track of a json in YTVIS's format.

    The tracks' `object_id` if they have one; else they are counted. Crowds are regions to be ignored.
    """
    are_given = any(number is not None for _, number, _ in video.tracks)
    counts: Counter[int] = Counter()
    numbers: list[int] = []
    for place, number, track in video.tracks:
        _check_class(track.category_id, f"{place}.category_id", track.category_id)
        own_class = IGNORED_CLASS if track.is_crowd else track.category_id
        if not are_given:
            counts[own_class] += not track.is_crowd
            number = 1000 * own_class + counts[own_class]
        fits = type(number) is int and number // 1000 == own_class and (track.is_crowd or number not in numbers)
        expected = f"a number of class {own_class} up to {MAX_NUMBER} that is used once, or none in the whole video"
        expect(fits and number <= MAX_NUMBER, f"{place}.object_id", number, expected)
        numbers.append(number)
    return numbers


def _sequence_name(video: ReadVideo) -> str:
    folder = PurePosixPath(video.folder)
    return str(folder.parent if folder.name == FRAME_FOLDER and len(folder.parts) > 1 else folder)


def write_mots_png(json_file: str | os.PathLike, output: str | os.PathLike, each: Each = map) -> list[str]:
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
        return overlap_remarks(each(partial(_write_pngs, folder=folder), videos))


def _write_pngs(video: ReadVideo, *, folder: Path) -> list[int]:
    return write_label_maps(folder / _sequence_name(video), video, mots_numbers(video), np.uint16)


def write_mots_text(json_file: str | os.PathLike, output: str | os.PathLike, each: Each = map) -> list[str]:
    """Write a json in YTVIS's format as output/SEQUENCE.txt, in the order of frames and objects.

    Returns:
        remarks for the user: none.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: the json is malformed or does not fit into the format, or the folder exists.
    """
    videos, _ = read_ytvis(json_file)
    with whole_folder(output) as folder:
        for name, text in each(_text_of, videos):
            path = folder / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="ascii")
    return []


def _text_of(video: ReadVideo) -> tuple[str, str]:
    """Name and text of a sequence."""
    lines: dict[tuple[int, int], str] = {}
    for number, (place, _, track) in zip(mots_numbers(video), video.tracks, strict=True):
        for stem, mask in zip(video.stems, track.masks, strict=True):
            if mask is None or not mask_utils.area(mask):
                continue
            frame_number = _frame_number(stem)
            fields = (frame_number, number, number // 1000, *video.size, _rewritten(mask)["counts"])
            line = " ".join(map(str, fields)) + "\n"
            # Regions to be ignored are crowds of each class; they share their number and are written once.
            if lines.setdefault((frame_number, number), line) != line:
                raise ValueError(f"{place}: found two masks of object {number} on frame {frame_number}, expected one")
    return _sequence_name(video), "".join(lines[key] for key in sorted(lines))


def _rewritten(mask: dict[str, Any]) -> Rle:
    """The same mask in the one text that is usual: it has several, and all but one of them are traps."""
    return encode(mask_utils.decode(mask))
