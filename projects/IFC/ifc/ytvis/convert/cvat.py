# SPDX-License-Identifier: Apache-2.0
"""CVAT's export "CVAT for video 1.1": tracks of boxes (also rotated), polygons and masks.

CVAT writes a shape of a track for each frame, the interpolated ones as well, up to one that is `outside`. Where a file
of boxes has key frames only, the frames between are interpolated linearly, as CVAT does.
"""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from ..tracked_video import NamedTrack, Rle, TrackedVideo, category_ids, encode
from ..values import MAX_NUMBER, expect
from .outlines import find_frames, polygon_mask, rotated_box_mask
from .xml_reader import place_of, read_xml


def read_cvat(
    xml_files: Sequence[str | os.PathLike], image_root: str | os.PathLike
) -> tuple[list[TrackedVideo], dict[str, int]]:
    """Read one XML a video.

    Args:
        xml_files: the exports.
        image_root: the folder with a folder of frames for each video, which has the name of the XML, of its folder, or
            of the task or the video file that it names.

    Returns:
        the videos, and the ids of the categories by name.

    Raises:
        OSError: a file cannot be read.
        ValueError: something is missing, malformed, or of a kind that has no mask. The message names file and line.
    """
    labels: dict[str, None] = {}
    used: dict[str, str] = {}
    videos = [_read_video(Path(path), image_root, labels, used) for path in xml_files]
    return videos, category_ids(labels)


def _read_video(
    path: Path, image_root: str | os.PathLike, labels: dict[str, None], used: dict[str, str]
) -> TrackedVideo:
    """One XML; its labels are added to `labels`, which keeps their order, and its folder to `used`."""
    root = read_xml(path)
    if root.tag != "annotations":
        raise ValueError(f"{path}: found <{root.tag[:40]}>, expected <annotations>")
    jobs = [element for kind in ("task", "job") for element in root.iterfind(f"meta//{kind}")]
    if len(jobs) != 1:
        raise ValueError(f"{path}: meta: found {len(jobs)} tasks, expected 1 (of a project, export each task)")
    for element in root:
        if element.tag not in ("version", "meta", "track"):
            expected = "<track> only: export as 'CVAT for video 1.1', without tags"
            raise ValueError(f"{place_of(element)}: found <{element.tag[:40]}>, expected {expected}")
    # The folder has the name of the XML, of its folder, of the task, or of the video file.
    names = [path.stem, path.resolve().parent.name, jobs[0].findtext("name"), jobs[0].findtext("source")]
    names = [*names[:3], Path(names[3] or "").stem]
    file_names, size = find_frames(image_root, filter(None, names), str(path), used)
    frames = _frames_by_number(path, root, jobs[0], file_names, size)
    own = [name.text for name in jobs[0].iterfind("labels/label/name") if name.text]
    labels.update(dict.fromkeys(own))
    tracks = []
    for element in root.iterfind("track"):
        label = element.get("label")
        expected = f"one of the {len(own)} labels of the task" if own else "a name"
        expect(label in own if own else label is not None, f"{place_of(element)}: label", label, expected)
        labels.setdefault(label)
        masks = _read_track(element, frames, size)
        if any(masks):
            tracks.append(NamedTrack(label, masks))
    return TrackedVideo(file_names, size, tracks)


def _frames_by_number(
    path: Path, root: Element, job: Element, file_names: Sequence[str], size: tuple[int, int]
) -> dict[int, int]:
    """Index of each frame by its number in the XML, whose words on the frames are those that there are."""
    step_text = (job.findtext("frame_filter") or "").replace(" ", "").removeprefix("step=") or "1"
    start = _integer(job.findtext("start_frame") or "0", f"{path}: start_frame")
    step = _integer(step_text, f"{path}: frame_filter")
    num_frames = _integer(job.findtext("size") or str(len(file_names)), f"{path}: size")
    if step < 1 or start < 0:
        raise ValueError(f"{path}: found frames from {start} in steps of {step}, expected 0 and 1 or more")
    if num_frames != len(file_names):
        folder = file_names[0].rpartition("/")[0]
        raise ValueError(f"{path}: size: found {num_frames} frames, expected the {len(file_names)} in {folder}")
    for key, expected in zip(("height", "width"), size, strict=True):
        place, found = f"{path}: original_size/{key}", root.findtext(f"meta/original_size/{key}")
        found = found or job.findtext(f"original_size/{key}")
        expect(found is None or _integer(found, place) == expected, place, found, f"the frames' {expected}")
    return {start + step * frame: frame for frame in range(num_frames)}


def _read_track(track: Element, frames: Mapping[int, int], size: tuple[int, int]) -> list[Rle | None]:
    """The masks of a track, one a frame."""
    shapes: dict[int, Element] = {}
    for element in track:
        place = place_of(element)
        if element.tag not in SHAPES:
            raise ValueError(f"{place}: found <{element.tag[:40]}>, expected <box>, <polygon> or <mask>")
        number = _integer(element.get("frame"), f"{place}: frame")
        if number not in frames:
            raise ValueError(f"{place}: frame: found {number}, expected that of one of the {len(frames)} frames")
        if frames[number] in shapes:
            raise ValueError(f"{place}: frame: found {number} a second time in its track, expected it once")
        shapes[frames[number]] = element
    masks: list[Rle | None] = [None] * len(frames)
    order = sorted(shapes)
    for frame, following in zip(order, [*order[1:], None], strict=False):  # there may be none
        element = shapes[frame]
        if element.get("outside", "0") == "1":
            continue
        masks[frame] = SHAPES[element.tag](element, size)
        if following is None or following == frame + 1:
            continue
        # Boxes are interpolated; one stays in place before it goes outside.
        end = shapes[following]
        if element.tag != "box" or end.tag != "box":
            found = f"frame {list(frames)[frame + 1]} missing in a track of <{element.tag}>"
            raise ValueError(f"{place_of(element)}: found {found}, expected one for each frame")
        box = _read_box(element, size)
        change = 0 if end.get("outside", "0") == "1" else _read_box(end, size) - box
        for between in range(frame + 1, following):
            share = (between - frame) / (following - frame)
            masks[between] = _box_mask(box + share * change, size, place_of(element))
    return masks


def _box(element: Element, size: tuple[int, int]) -> Rle | None:
    return _box_mask(_read_box(element, size), size, place_of(element))


def _read_box(element: Element, size: tuple[int, int]) -> np.ndarray:
    """left, top, right, bottom in pixels, and rotation in degrees."""
    place = place_of(element)
    keys = ("xtl", "ytl", "xbr", "ybr")
    edges = tuple(_number(element.get(key), f"{place}: {key}", 2 * max(size)) for key in keys)
    if edges[2] < edges[0] or edges[3] < edges[1]:
        raise ValueError(f"{place}: found a box from {edges[:2]} to {edges[2:]}, expected its right and lower end last")
    return np.array([*edges, _number(element.get("rotation", "0"), f"{place}: rotation", 720)])


def _box_mask(box: np.ndarray, size: tuple[int, int], place: str) -> Rle | None:
    left, top, right, bottom, degrees = box.tolist()
    center = ((left + right) / 2, (top + bottom) / 2)
    return rotated_box_mask((left, top, right, bottom), degrees, center, size, place)


def _polygon(element: Element, size: tuple[int, int]) -> Rle | None:
    place = f"{place_of(element)}: points"
    text = element.get("points") or ""
    pairs = [pair.split(",") for pair in text.split(";")]
    fits = len(pairs) >= 3 and all(len(pair) == 2 for pair in pairs)
    expect(fits, place, text, "x,y;x,y;... of 3 points or more")
    return polygon_mask([_number(value, place, 2 * max(size)) for pair in pairs for value in pair], size, place)


def _painted(element: Element, size: tuple[int, int]) -> Rle | None:
    """A <mask>: run lengths along the rows of a rectangle, background first."""
    place = place_of(element)
    keys = ("left", "top", "width", "height")
    left, top, width, height = (_integer(element.get(key), f"{place}: {key}") for key in keys)
    if not (min(left, top) >= 0 and 0 < width <= size[1] - left and 0 < height <= size[0] - top):
        found = f"a mask of {width} x {height} at {left}, {top}"
        raise ValueError(f"{place}: found {found}, expected one in the frame of {size[1]} x {size[0]}")
    runs = [_integer(run, f"{place}: rle") for run in (element.get("rle") or "").split(",")]
    if min(runs) < 0 or sum(runs) != width * height:
        found = f"run lengths of {sum(runs)} pixels"
        raise ValueError(f"{place}: rle: found {found}, expected {width * height}, width x height, none negative")
    mask = np.zeros(size, dtype=bool)
    painted = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask[top : top + height, left : left + width] = painted.reshape(height, width)
    return encode(mask) if mask.any() else None


SHAPES = {"box": _box, "polygon": _polygon, "mask": _painted}


def _integer(text: str | None, place: str) -> int:
    try:
        value = int(text) if text is not None and len(text) < 20 else math.nan
    except ValueError:
        value = math.nan
    expect(abs(value) <= MAX_NUMBER, place, text, "a whole number")
    return value


def _number(text: str | None, place: str, limit: float) -> float:
    """A coordinate, which may leave the frame by no more than its longer side, or an angle."""
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        value = math.nan
    expect(abs(value) <= limit, place, text, f"a number from {-limit} to {limit}")
    return value
