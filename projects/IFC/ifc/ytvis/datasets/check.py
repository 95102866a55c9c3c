# SPDX-License-Identifier: Apache-2.0
"""Checks a data set in YTVIS's format and collects all faults, each with its place."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pycocotools import mask as mask_utils

from ..masks import outline
from ..parallel import map_videos
from ..values import brief, is_list, is_number
from ..faults import Fault, FaultLog
from ..images import BadImageError, check_image
from ..files import read_json
from ..format import AnnotatedTrack, Structure, Video, annotation_log, read_annotation, read_structure, shown_id

POLYGON_MARGIN = 1.0  # by which a polygon may leave the frame, in pixels: annotators round
SIDES = ("left", "top", "right", "bottom")


@dataclass(frozen=True)
class Tolerance:
    """How far a json's areas and boxes may be from the masks'.

    Attributes:
        area: the share of the mask's pixels; at least 2 pixels are allowed, and for polygons half a pixel for each
            pixel of outline, as there are several ways to fill one.
        box: for each of the four sides, in pixels; some count the last column and row and some do not.
    """

    area: float = 0.01
    box: float = 1.0


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes:
        faults: all of them; those of ids and fields first, then by video.
        structure: the data set; None if the json could not be read.
        num_annotations, num_frames: how many there are.
    """

    faults: list[Fault]
    structure: Structure | None
    num_annotations: int
    num_frames: int

    def counts(self) -> Counter[str]:
        """The number of faults of each kind that occurs."""
        return Counter(fault.kind for fault in self.faults)


def check_dataset(
    json_file: str | os.PathLike,
    image_root: str | os.PathLike,
    *,
    frames: bool = True,
    decode: bool = False,
    tolerance: Tolerance | None = None,
    num_workers: int = 1,
    show_progress: bool = False,
) -> CheckResult:
    """Check a data set. Nothing that the files hold makes it fail.

    Args:
        json_file: the annotation file. It may lack annotations.
        image_root: the folder that its `file_names` are relative to.
        frames: check the image files, too.
        decode: decode each image file whole.
        tolerance: of areas and boxes.
        num_workers: processes to use.
        show_progress: show a progress bar on stderr.
    """
    try:
        content = read_json(json_file)
    except (OSError, ValueError) as error:
        found = str(error).removeprefix(f"{json_file}: ").removeprefix("found ")
        return CheckResult([Fault("json", str(json_file), found, "a data set")], None, 0, 0)
    log = FaultLog()
    structure = read_structure(content, log)
    if frames and not os.path.isdir(image_root):
        log.add("missing frame", str(image_root), "no such folder", "the folder of the frames")
        frames = False
    check = partial(
        check_video,
        image_root=os.fspath(image_root) if frames else None,
        decode=decode,
        tolerance=tolerance or Tolerance(),
    )
    found = map_videos(check, structure.videos, num_workers, "checking" if show_progress else None)
    faults = log.faults + [fault for video_faults in found for fault in video_faults]
    return CheckResult(
        faults,
        structure,
        num_annotations=sum(len(video.annotations) for video in structure.videos),
        num_frames=sum(len(video.file_names or ()) for video in structure.videos),
    )


def check_video(video: Video, *, image_root: str | None, decode: bool, tolerance: Tolerance) -> list[Fault]:
    """The faults of a video's frames, if `image_root` is given, and of its annotations."""
    faults = [] if video.file_names is None else _check_files(video, image_root, decode)
    for index, entry in video.annotations:
        log = annotation_log(entry)
        track = read_annotation(video, index, entry, log)
        _compare_sizes(video, index, entry, log)
        if track is not None:
            _compare_masks(track, index, entry, tolerance, log)
        faults += log.faults
    return faults


def _check_files(video: Video, image_root: str | None, decode: bool) -> list[Fault]:
    log = FaultLog(video=shown_id(video.video_id))
    first_frames: dict[str, int] = {}
    for frame, name in enumerate(video.file_names):
        if not isinstance(name, str) or not name:
            continue  # a fault of the json's
        field = f"videos[{video.index}].file_names[{frame}]"
        if name in first_frames:
            expected = f"another file than frame {first_frames[name]}"
            log.add("used twice", field, brief(name), expected, frame, is_refused=False)
        first_frames.setdefault(name, frame)
        if image_root is None:
            continue
        try:
            check_image(os.path.join(image_root, name), video.size, decode)
        except BadImageError as error:
            log.add(error.kind, field, f"{error.found} ({brief(name)})", error.expected, frame)
    return log.faults


def _compare_sizes(video: Video, index: int, entry: Mapping[str, Any], log: FaultLog) -> None:
    """Compare an annotation's own size with its video's. (Its own length is 1 in YouTube-VIS 2019, and says nothing.)"""
    for key, expected in zip(("height", "width"), video.size or (), strict=False):
        if entry.get(key, expected) != expected:
            field = f"annotations[{index}].{key}"
            log.add("field", field, brief(entry[key]), f"{expected}, as its video says", is_refused=False)


def _compare_masks(
    track: AnnotatedTrack, index: int, entry: Mapping[str, Any], tolerance: Tolerance, log: FaultLog
) -> None:
    """Compare areas and boxes with the masks that have no fault, and polygons with the frame."""
    place, segmentations = f"annotations[{index}]", entry["segmentations"]
    faulty = {fault.frame for fault in log.faults if fault.field.startswith(f"{place}.segmentations")}
    if not faulty and not track.mask_areas.any():
        log.add("empty track", f"{place}.segmentations", "no mask", "a mask on one frame at least", is_refused=False)
    present = [frame for frame, mask in enumerate(track.masks) if mask is not None]
    boxes = dict(zip(present, mask_utils.toBbox([track.masks[frame] for frame in present]).tolist(), strict=True))
    for frame, segmentation in enumerate(segmentations):
        if frame in faulty:
            continue
        slack = 0.0
        if is_list(segmentation) and segmentation:
            slack = outline(segmentation) / 2
            _check_points(segmentation, track.masks[frame]["size"], f"{place}.segmentations[{frame}]", frame, log)
        areas = entry.get("areas")
        if areas is not None and frame < len(areas):
            _check_area(areas[frame], int(track.mask_areas[frame]), slack, tolerance, f"{place}.areas[{frame}]", frame, log)
        if track.boxes is not None and frame < len(track.boxes):
            box = [round(side) for side in boxes.get(frame, (0, 0, 0, 0))]
            _check_box(track.boxes[frame], box, tolerance, f"{place}.bboxes[{frame}]", frame, log)


def _check_points(
    polygons: Sequence[Sequence[float]], size: Sequence[int], field: str, frame: int, log: FaultLog
) -> None:
    """Check that points lie in the frame."""
    height, width = size
    for index, polygon in enumerate(polygons):
        points = zip(polygon[::2], polygon[1::2], strict=True)
        low, high = -POLYGON_MARGIN, POLYGON_MARGIN
        outside = [(x, y) for x, y in points if not (low <= x <= width + high and low <= y <= height + high)]
        if outside:
            expected = f"points in the frame of {width} x {height}"
            log.add("polygon", f"{field}[{index}]", f"{brief(outside[0])}", expected, frame, is_refused=False)


def _check_area(
    found: Any, area: int, slack: float, tolerance: Tolerance, field: str, frame: int, log: FaultLog
) -> None:
    if found is not None and not (is_number(found) and found >= 0):
        return  # a fault of the json's
    allowed = max(2.0, tolerance.area * area) + slack if area else 0.0
    if abs((found or 0) - area) > allowed:
        log.add("area", field, brief(found), f"{area} ± {allowed:.0f}, the mask's pixels", frame, is_refused=False)


def _check_box(found: Any, box: Sequence[int], tolerance: Tolerance, field: str, frame: int, log: FaultLog) -> None:
    if found is None or found == []:
        found = None
        if box[2] > 0:
            log.add("box", field, brief(found), f"{box}, around the mask", frame, is_refused=False)
        return
    if not is_list(found) or len(found) != 4 or not all(map(is_number, found)):
        return  # a fault of the json's
    if box[2] == 0:
        if found[2] > 0 or found[3] > 0:
            log.add("box", field, brief(found), "null, as there is no mask", frame, is_refused=False)
        return
    apart = [abs(ours - theirs) for ours, theirs in zip(_sides(found), _sides(box), strict=True)]
    wrong = [side for side, pixels in zip(SIDES, apart, strict=True) if pixels > tolerance.box]
    if wrong:
        shown = f"{box} ± {tolerance.box:g}, around the mask"
        log.add("box", field, f"{brief(found)} ({', '.join(wrong)} wrong)", shown, frame, is_refused=False)


def _sides(box: Sequence[float]) -> tuple[float, float, float, float]:
    """left, top, right, bottom of left, top, width, height."""
    left, top, width, height = box
    return left, top, left + width, top + height
