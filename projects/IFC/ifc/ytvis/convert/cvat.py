# SPDX-License-Identifier: Apache-2.0
"""CVAT's export "CVAT for video 1.1": tracks of boxes (also rotated), polygons and masks.

CVAT writes a shape of a track for each frame, the interpolated ones as well, up to one that is `outside`. Where a file
of boxes has key frames only, the frames between are interpolated linearly, as CVAT does.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from ..tracked_video import Rle, Track, TrackedVideo, encode
from ..values import MAX_NUMBER, brief
from .outlines import find_frames, polygon_mask, rotated_box_mask
from .xml_reader import line_of, read_xml

SHAPES = ("box", "polygon", "mask")


@dataclass(frozen=True)
class _Video:
    """What is needed to read shapes.

    Attributes:
        path: of the XML.
        size: of a frame, (height, width).
        num_frames: of the video.
        start, step: number of the first frame, and from one frame to the next, in the numbers of the XML.
    """

    path: Path
    size: tuple[int, int]
    num_frames: int
    start: int
    step: int


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
    videos = [_read_video(Path(path), image_root, labels) for path in xml_files]
    used: dict[str, Path] = {}
    for path, video in zip(xml_files, videos, strict=True):
        folder = video.file_names[0].rpartition("/")[0]
        if folder in used:
            raise ValueError(f"{path}: found the frames of {used[folder]}, {folder}, expected a folder of its own")
        used[folder] = Path(path)
    return videos, {name: category_id for category_id, name in enumerate(labels, start=1)}


def _read_video(path: Path, image_root: str | os.PathLike, labels: dict[str, None]) -> TrackedVideo:
    """One XML; its labels are added to `labels`, which keeps their order."""
    root = read_xml(path)
    if root.tag != "annotations":
        raise ValueError(f"{path}: found <{root.tag[:40]}>, expected <annotations>")
    jobs = [element for kind in ("task", "job") for element in root.iterfind(f"meta//{kind}")]
    if len(jobs) != 1:
        raise ValueError(f"{path}: meta: found {len(jobs)} tasks, expected 1 (of a project, export each task)")
    others = [element for element in root if element.tag not in ("version", "meta", "track")]
    if others:
        expected = "<track> only: export as 'CVAT for video 1.1', without tags"
        raise ValueError(f"{path}: {line_of(others[0])}: found <{others[0].tag[:40]}>, expected {expected}")
    file_names, size = find_frames(image_root, _names(path, jobs[0]), str(path))
    video = _video(path, root, jobs[0], file_names, size)
    own = [name.text for name in jobs[0].iterfind("labels/label/name") if name.text]
    labels.update(dict.fromkeys(own))
    tracks = []
    for element in root.iterfind("track"):
        label = element.get("label")
        if label is None or (own and label not in own):
            expected = f"one of the {len(own)} labels of the task" if own else "a name"
            raise ValueError(f"{path}: {line_of(element)}: label: found {brief(label)}, expected {expected}")
        labels.setdefault(label)
        masks = _read_track(element, video)
        if any(masks):
            tracks.append(Track(label, masks))
    return TrackedVideo(file_names, size, tracks)


def _names(path: Path, job: Element) -> list[str]:
    """Names that the folder of the frames may have."""
    names = [path.stem, path.resolve().parent.name]
    task_name, source = job.findtext("name"), job.findtext("source")
    names += [task_name] if task_name else []
    return names + ([Path(source).stem] if source else [])


def _video(path: Path, root: Element, job: Element, file_names: Sequence[str], size: tuple[int, int]) -> _Video:
    """The frames' numbers in the XML, checked against the frames that there are."""
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
        found = root.findtext(f"meta/original_size/{key}") or job.findtext(f"original_size/{key}")
        if found is not None and _integer(found, f"{path}: original_size/{key}") != expected:
            raise ValueError(f"{path}: original_size/{key}: found {brief(found)}, expected the frames' {expected}")
    return _Video(path, size, num_frames, start, step)


def _read_track(track: Element, video: _Video) -> list[Rle | None]:
    """The masks of a track, one a frame."""
    shapes: dict[int, Element] = {}
    for element in track:
        place = f"{video.path}: {line_of(element)}"
        if element.tag not in SHAPES:
            raise ValueError(f"{place}: found <{element.tag[:40]}>, expected <box>, <polygon> or <mask>")
        number = _integer(element.get("frame"), f"{place}: frame")
        frame, rest = divmod(number - video.start, video.step)
        if rest or not 0 <= frame < video.num_frames:
            raise ValueError(f"{place}: frame: found {number}, expected that of one of the {video.num_frames} frames")
        if frame in shapes:
            raise ValueError(f"{place}: frame: found {number} a second time in its track, expected it once")
        shapes[frame] = element
    masks: list[Rle | None] = [None] * video.num_frames
    frames = sorted(shapes)
    for frame, following in zip(frames, [*frames[1:], None], strict=False):  # there may be none
        element = shapes[frame]
        if element.get("outside", "0") == "1":
            continue
        masks[frame] = _mask(element, video)
        if following is not None and following > frame + 1:
            _fill_gap(masks, frame, following, element, shapes[following], video)
    return masks


def _fill_gap(masks: list[Rle | None], first: int, last: int, start: Element, end: Element, video: _Video) -> None:
    """Interpolate a box on the frames between two on which it is given; it stays in place before it goes outside."""
    place = f"{video.path}: {line_of(start)}"
    if start.tag != "box" or end.tag != "box":
        found = f"frame {video.start + video.step * (first + 1)} missing in a track of <{start.tag}>"
        raise ValueError(f"{place}: found {found}, expected one for each frame")
    before = np.array(_box(start, video))
    after = before if end.get("outside", "0") == "1" else np.array(_box(end, video))
    for frame in range(first + 1, last):
        share = (frame - first) / (last - first)
        masks[frame] = _box_mask((1 - share) * before + share * after, video, place)


def _mask(element: Element, video: _Video) -> Rle | None:
    if element.tag == "box":
        return _box_mask(_box(element, video), video, f"{video.path}: {line_of(element)}")
    return _polygon(element, video) if element.tag == "polygon" else _painted(element, video)


def _box(element: Element, video: _Video) -> tuple[float, ...]:
    """left, top, right, bottom in pixels, and rotation in degrees."""
    place = f"{video.path}: {line_of(element)}"
    edges = tuple(_number(element.get(key), f"{place}: {key}", video.size) for key in ("xtl", "ytl", "xbr", "ybr"))
    if edges[2] < edges[0] or edges[3] < edges[1]:
        raise ValueError(f"{place}: found a box from {edges[:2]} to {edges[2:]}, expected its right and lower end last")
    return *edges, _number(element.get("rotation", "0"), f"{place}: rotation", (360, 360))


def _box_mask(box: Sequence[float], video: _Video, place: str) -> Rle | None:
    left, top, right, bottom, degrees = (float(value) for value in box)
    center = ((left + right) / 2, (top + bottom) / 2)
    return rotated_box_mask((left, top, right, bottom), degrees, center, video.size, place)


def _polygon(element: Element, video: _Video) -> Rle | None:
    place = f"{video.path}: {line_of(element)}: points"
    text = element.get("points") or ""
    pairs = [pair.split(",") for pair in text.split(";")]
    if len(pairs) < 3 or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{place}: found {brief(text)}, expected x,y;x,y;... of 3 points or more")
    points = [_number(value, place, video.size) for pair in pairs for value in pair]
    return polygon_mask(points, video.size, place)


def _painted(element: Element, video: _Video) -> Rle | None:
    """A <mask>: run lengths along the rows of a rectangle, background first."""
    place = f"{video.path}: {line_of(element)}"
    left, top, width, height = (
        _integer(element.get(key), f"{place}: {key}") for key in ("left", "top", "width", "height")
    )
    inside = min(left, top) >= 0 and 0 < width <= video.size[1] - left and 0 < height <= video.size[0] - top
    if not inside:
        found = f"a mask of {width} x {height} at {left}, {top}"
        raise ValueError(f"{place}: found {found}, expected one in the frame of {video.size[1]} x {video.size[0]}")
    runs = [_integer(run, f"{place}: rle") for run in (element.get("rle") or "").split(",")]
    if min(runs) < 0 or sum(runs) != width * height:
        found = f"run lengths of {sum(runs)} pixels"
        raise ValueError(f"{place}: rle: found {found}, expected {width * height}, width x height, none negative")
    mask = np.zeros(video.size, dtype=bool)
    painted = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask[top : top + height, left : left + width] = painted.reshape(height, width)
    return encode(mask) if mask.any() else None


def _integer(text: str | None, place: str) -> int:
    try:
        value = int(text) if text is not None and len(text) < 20 else None
    except ValueError:
        value = None
    if value is None or abs(value) > MAX_NUMBER:
        raise ValueError(f"{place}: found {brief(text)}, expected a whole number")
    return value


def _number(text: str | None, place: str, size: tuple[int, int]) -> float:
    """A coordinate, which may leave the frame by no more than its longer side."""
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        value = math.nan
    limit = 2 * max(size)
    if not abs(value) <= limit:
        raise ValueError(f"{place}: found {brief(text)}, expected a number from {-limit} to {limit}")
    return value
