# SPDX-License-Identifier: Apache-2.0
"""Checks a data set in YTVIS's format and collects all faults, each with its place."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from ..parallel import map_videos
from ..faults import Fault, FaultLog
from ..images import BadImageError, check_image
from ..polygons import MAX_OUTLINE, fill, outline
from ..reading import brief, is_frame_size, is_number, read_json
from ..extents import measure, read_runs
from ..format import Structure, Video, read_structure, shown_id

POLYGON_MARGIN = 1.0  # by which a polygon may leave the frame, in pixels: annotators round
SIDES = ("left", "top", "right", "bottom")

Measured = tuple[int, Sequence[int], float]  # a mask's area; its left, top, width and height; slack of the area


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
    for index, annotation in video.annotations:
        faults += _AnnotationCheck(video, index, annotation, tolerance).run()
    return faults


def _check_files(video: Video, image_root: str | None, decode: bool) -> list[Fault]:
    log = FaultLog(video=shown_id(video.video_id))
    first_frames: dict[str, int] = {}
    for frame, name in enumerate(video.file_names):
        field = f"videos[{video.index}].file_names[{frame}]"
        if not isinstance(name, str) or not name:
            log.add("field", field, brief(name), "a path", frame)
            continue
        if name in first_frames:
            log.add("used twice", field, brief(name), f"another file than frame {first_frames[name]}", frame)
        first_frames.setdefault(name, frame)
        if image_root is None:
            continue
        try:
            check_image(os.path.join(image_root, name), video.size, decode)
        except BadImageError as error:
            log.add(error.kind, field, f"{error.found} ({brief(name)})", error.expected, frame)
    return log.faults


class _AnnotationCheck:
    """One annotation against its video."""

    def __init__(self, video: Video, index: int, annotation: dict[str, Any], tolerance: Tolerance) -> None:
        self.video, self.annotation, self.tolerance = video, annotation, tolerance
        self.place = f"annotations[{index}]"
        video_id = annotation.get("video_id")
        self.log = FaultLog(video=shown_id(video_id), annotation=shown_id(annotation.get("id")))

    def run(self) -> list[Fault]:
        """Its faults."""
        size = self.video.size or (None, None)
        for key, expected in zip(("height", "width", "length"), (*size, self.video.length), strict=True):
            if expected is not None and self.annotation.get(key, expected) != expected:
                self.log.add(
                    "length" if key == "length" else "field",
                    f"{self.place}.{key}",
                    brief(self.annotation[key]),
                    f"{expected}, as its video says",
                )
        segmentations = self._list("segmentations", required=True)
        boxes, areas = self._list("bboxes"), self._list("areas")
        if segmentations is None:
            return self.log.faults
        self._check_masks(segmentations, boxes, areas)
        return self.log.faults

    def _list(self, key: str, required: bool = False) -> list[Any] | None:
        """One of the lists with an entry a frame."""
        entries = self.annotation.get(key)
        if entries is None and not required:
            return None
        field, length = f"{self.place}.{key}", self.video.length
        if not isinstance(entries, list):
            self.log.add("field", field, brief(entries), "a list with an entry a frame")
            return None
        if length is not None and len(entries) != length:
            self.log.add("length", field, f"{len(entries)} entries", f"{length}, one for each frame of its video")
        return entries

    def _check_masks(self, segmentations: list[Any], boxes: list[Any] | None, areas: list[Any] | None) -> None:
        """Check all masks of the track, and areas and boxes against those that are good."""
        absent = {frame for frame, item in enumerate(segmentations) if item is None or item == []}
        measured: dict[int, Measured] = {}
        rles = {}
        for frame, item in enumerate(segmentations):
            if frame in absent:
                measured[frame] = (0, (0, 0, 0, 0), 0.0)
            elif isinstance(item, list):
                polygons = self._measure_polygons(item, frame)
                if polygons is not None:
                    measured[frame] = polygons
            elif isinstance(item, dict):
                rles[frame] = item
            else:
                field = f"{self.place}.segmentations[{frame}]"
                self.log.add("field", field, brief(item), "an RLE, a list of polygons or null", frame)
        measured |= self._measure_rles(rles)
        if len(measured) == len(segmentations) and not any(area for area, _, _ in measured.values()):
            self.log.add("empty track", f"{self.place}.segmentations", "no mask", "a mask on one frame at least")
        for frame, (area, box, slack) in sorted(measured.items()):
            if areas is not None and frame < len(areas):
                self._check_area(areas[frame], area, slack, frame)
            if boxes is not None and frame < len(boxes):
                self._check_box(boxes[frame], box, frame)
        self._check_unmeasured(areas, boxes, measured)

    def _measure_rles(self, rles: dict[int, dict[str, Any]]) -> dict[int, Measured]:
        """Area and box of the good ones, by frame."""
        good, runs, heights, widths = [], [], [], []
        for (frame, item), found in zip(rles.items(), read_runs([r.get("counts") for r in rles.values()]), strict=True):
            field = f"{self.place}.segmentations[{frame}]"
            size = item.get("size")
            well_formed = isinstance(size, list) and len(size) == 2 and is_frame_size(*size)
            expected = f"{list(self.video.size)}, as its video says" if self.video.size else "[height, width]"
            if not well_formed or (self.video.size is not None and tuple(size) != self.video.size):
                self.log.add("rle", f"{field}.size", brief(size), expected, frame)
            if isinstance(found, str):
                self.log.add("rle", f"{field}.counts", found, "run lengths", frame)
            elif well_formed:
                good.append(frame)
                runs.append(found)
                heights.append(size[0])
                widths.append(size[1])
        extent = measure(runs, heights)
        measured = {}
        for i, frame in enumerate(good):
            num_pixels = heights[i] * widths[i]
            if extent.pixels[i] != num_pixels:
                field = f"{self.place}.segmentations[{frame}].counts"
                expected = f"{num_pixels}, height x width"
                self.log.add("rle", field, f"runs that add up to {extent.pixels[i]}", expected, frame)
            else:
                measured[frame] = (int(extent.areas[i]), extent.boxes[i].tolist(), 0.0)
        return measured

    def _measure_polygons(self, polygons: list[Any], frame: int) -> Measured | None:
        """Area, box, and half the outline's length; None if there is a fault."""
        known = len(self.log.faults)
        length = 0.0
        for index, polygon in enumerate(polygons):
            field = f"{self.place}.segmentations[{frame}][{index}]"
            if not isinstance(polygon, list) or not all(is_number(value) for value in polygon):
                self.log.add("polygon", field, brief(polygon), "a list of numbers, x, y, x, y, ...", frame)
            elif len(polygon) % 2 or len(polygon) < 6:
                self.log.add("polygon", field, f"{len(polygon)} numbers", "x and y of 3 points or more", frame)
            else:
                length += outline(polygon)
                self._check_points(np.array(polygon, dtype=np.float64).reshape(-1, 2), field, frame)
        if length > MAX_OUTLINE:
            field = f"{self.place}.segmentations[{frame}]"
            self.log.add("polygon", field, f"an outline of {length:.0f} pixels", f"at most {MAX_OUTLINE}", frame)
        if len(self.log.faults) > known or self.video.size is None:
            return None
        rle = fill(polygons, self.video.size)
        return int(mask_utils.area(rle)), mask_utils.toBbox(rle).astype(int).tolist(), length / 2

    def _check_points(self, points: np.ndarray, field: str, frame: int) -> None:
        """Check that points (N, 2) lie in the frame."""
        if self.video.size is None:
            return
        height, width = self.video.size
        outside = (points < -POLYGON_MARGIN) | (points > np.array([width, height]) + POLYGON_MARGIN)
        if outside.any():
            point = np.flatnonzero(outside.any(axis=1))[0]
            found = f"point {point} at {points[point].tolist()}"
            self.log.add("polygon", field, found, f"points in the frame of {width} x {height}", frame)

    def _check_area(self, found: Any, area: int, slack: float, frame: int) -> None:
        field = f"{self.place}.areas[{frame}]"
        if found is not None and not (is_number(found) and found >= 0):
            self.log.add("field", field, brief(found), "a number of pixels or null", frame)
            return
        allowed = max(2.0, self.tolerance.area * area) + slack if area else 0.0
        if abs((found or 0) - area) > allowed:
            self.log.add("area", field, brief(found), f"{area} ± {allowed:.0f}, the mask's pixels", frame)

    def _check_box(self, found: Any, box: Sequence[int], frame: int) -> None:
        field = f"{self.place}.bboxes[{frame}]"
        if found is None or found == []:
            if box[2] > 0:
                self.log.add("box", field, brief(found), f"{box}, around the mask", frame)
            return
        if not isinstance(found, list) or len(found) != 4 or not all(is_number(value) for value in found):
            self.log.add("field", field, brief(found), "[left, top, width, height] or null", frame)
            return
        if box[2] == 0:
            if found[2] > 0 or found[3] > 0:
                self.log.add("box", field, brief(found), "null, as there is no mask", frame)
            return
        apart = [abs(ours - theirs) for ours, theirs in zip(_sides(found), _sides(box), strict=True)]
        wrong = [side for side, pixels in zip(SIDES, apart, strict=True) if pixels > self.tolerance.box]
        if wrong:
            shown = f"{box} ± {self.tolerance.box:g}, around the mask"
            self.log.add("box", field, f"{brief(found)} ({', '.join(wrong)} wrong)", shown, frame)

    def _check_unmeasured(self, areas: list[Any] | None, boxes: list[Any] | None, measured: dict[int, Any]) -> None:
        """Of the frames without a mask to compare with, check that areas are numbers and boxes four of them."""
        for frame, area in enumerate(areas or ()):
            if frame not in measured and area is not None and not (is_number(area) and area >= 0):
                self.log.add("field", f"{self.place}.areas[{frame}]", brief(area), "a number of pixels or null", frame)
        for frame, box in enumerate(boxes or ()):
            is_box = isinstance(box, list) and len(box) in (0, 4) and all(is_number(value) for value in box)
            if frame not in measured and box is not None and not is_box:
                expected = "[left, top, width, height] or null"
                self.log.add("field", f"{self.place}.bboxes[{frame}]", brief(box), expected, frame)


def _sides(box: Sequence[float]) -> tuple[float, float, float, float]:
    """left, top, right, bottom of left, top, width, height."""
    left, top, width, height = box
    return left, top, left + width, top + height
