# SPDX-License-Identifier: Apache-2.0
"""Checks a data set in YTVIS's format and collects all faults, each with its place."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from ..masks import outline
from ..parallel import map_videos
from ..values import brief, is_list
from ..faults import KINDS, Fault, FaultLog, Tolerance
from ..images import BadImageError, check_image
from ..files import read_json
from ..format import Structure, Video, annotation_log, read_structure, shown_id
from ..ground_truth import AnnotatedTrack, read_annotation

POLYGON_MARGIN = 1.0  # by which a polygon may leave the frame, in pixels: annotators round
SIDES = ("left", "top", "right", "bottom")


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

    def text(self) -> str:
        """The faults counted by kind, then all of them, then what that means."""
        counts = self.counts()
        lines = [f"{counts[kind]:8}  {kind:14}  {meaning}" for kind, meaning in KINDS.items() if kind in counts]
        lines += map(str, self.faults)
        lines.append(
            f"{len(self.faults) or 'no'} faults in {self.num_frames} frames, {self.num_annotations} annotations"
        )
        if self.faults:
            refused = sum(fault.is_refused for fault in self.faults)
            means = f"refuse it for {refused} of them" if refused else "take it all the same"
            lines.append(f"training and evaluation {means}")
        return "\n".join(lines)


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
    """Compare polygons with the frame, and areas and boxes with the masks, where none of them is refused in itself."""
    place, segmentations = f"annotations[{index}]", entry["segmentations"]
    refused = {(fault.field.removeprefix(f"{place}.").partition("[")[0], fault.frame) for fault in log.faults}
    if not track.mask_areas.any() and not any(key == "segmentations" for key, _ in refused):
        log.add("empty track", f"{place}.segmentations", "no mask", "a mask on one frame at least", is_refused=False)
    present = [frame for frame, mask in enumerate(track.masks) if mask is not None]
    around = mask_utils.toBbox([track.masks[frame] for frame in present]).round().astype(int).tolist()
    boxes = dict(zip(present, around, strict=True))
    for frame, segmentation in enumerate(segmentations):
        if ("segmentations", frame) in refused:
            continue
        doubt = partial(log.add, frame=frame, is_refused=False)
        slack = 0.0
        if is_list(segmentation) and segmentation:
            slack = outline(segmentation) / 2
            _check_points(segmentation, track.masks[frame]["size"], f"{place}.segmentations[{frame}]", doubt)
        if track.areas is not None and frame < len(track.areas) and ("areas", frame) not in refused:
            area = int(track.mask_areas[frame])
            allowed = max(2.0, tolerance.area * area) + slack if area else 0.0
            _check_area(track.areas[frame], area, allowed, f"{place}.areas[{frame}]", doubt)
        if track.boxes is not None and frame < len(track.boxes) and ("bboxes", frame) not in refused:
            box = boxes.get(frame, [0, 0, 0, 0])
            _check_box(track.boxes[frame], box, tolerance.box, f"{place}.bboxes[{frame}]", doubt)


def _check_points(
    polygons: Sequence[Sequence[float]], size: Sequence[int], field: str, doubt: Callable[..., None]
) -> None:
    """Check that points lie in the frame."""
    limits = np.array([size[1], size[0]]) + POLYGON_MARGIN
    for index, polygon in enumerate(polygons):
        points = np.array(polygon, dtype=np.float64).reshape(-1, 2)
        outside = points[((points < -POLYGON_MARGIN) | (points > limits)).any(axis=1)]
        if len(outside):
            expected = f"points in the frame of {size[1]} x {size[0]}"
            doubt("polygon", f"{field}[{index}]", f"a point at {outside[0].tolist()}", expected)


def _check_area(found: float | None, area: int, allowed: float, field: str, doubt: Callable[..., None]) -> None:
    if abs((found or 0) - area) > allowed:
        doubt("area", field, brief(found), f"{area} ± {allowed:.0f}, the mask's pixels")


def _check_box(
    found: Sequence[float] | None, box: Sequence[int], allowed: float, field: str, doubt: Callable[..., None]
) -> None:
    if not found:
        if box[2] > 0:
            doubt("box", field, brief(found), f"{box}, around the mask")
    elif box[2] == 0:
        if found[2] > 0 or found[3] > 0:
            doubt("box", field, brief(found), "null, as there is no mask")
    else:
        apart = [abs(ours - theirs) for ours, theirs in zip(_sides(found), _sides(box), strict=True)]
        wrong = [side for side, pixels in zip(SIDES, apart, strict=True) if pixels > allowed]
        if wrong:
            shown = f"{box} ± {allowed:g}, around the mask"
            doubt("box", field, f"{brief(found)} ({', '.join(wrong)} wrong)", shown)


def _sides(box: Sequence[float]) -> tuple[float, float, float, float]:
    """left, top, right, bottom of left, top, width, height."""
    left, top, width, height = box
    return left, top, left + width, top + height
