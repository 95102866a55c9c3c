# SPDX-License-Identifier: Apache-2.0
"""Pictures of frames with masks, at the size that a page shows."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..drawing import Color, DrawnObject, TrackDrawer, palette_color
from ..ground_truth import GroundTruth
from ..images import read_rgb
from ..masks import Rle
from ..metric.errors import CORRECT
from ..metric.evaluation import Evaluation

WIDTH = 480  # pixels of a frame
GAP = 8  # between two
WRONG = (230, 30, 30)  # what is missed or found in error; no object's color comes near it


class FrameFiles:
    """The frames of a data set's videos, by the file_names of its annotation file."""

    def __init__(self, ground_truth: GroundTruth, root: str | os.PathLike) -> None:
        """
        Args:
            ground_truth: a checked annotation file.
            root: the folder that file_names are relative to.

        Raises:
            NotADirectoryError: there is no such folder.
            ValueError: a video has no file_names.
        """
        self._root = Path(root)
        if not self._root.is_dir():
            raise NotADirectoryError(f"{root}: expected the folder of the frames")
        self._videos = ground_truth.videos
        for video in ground_truth.videos.values():
            if video.file_names is None:
                place = f"{ground_truth.source}: videos[{video.index}].file_names"
                raise ValueError(f"{place}: found nothing, expected {video.length} names, one a frame")

    def read(self, video_id: int, frame: int) -> np.ndarray:
        """One frame, (H, W, 3) uint8.

        Raises:
            BadImageError: it cannot be read, or has another size than the video.
        """
        video = self._videos[video_id]
        return read_rgb(self._root / video.file_names[frame], video.size)


def draw_objects(
    frame: np.ndarray,
    masks: Sequence[Rle | None],
    labels: Sequence[str],
    colors: Sequence[Color] | None = None,
    width: int = WIDTH,
) -> np.ndarray:
    """A frame at some width, by default that of a page's pictures, with the masks of N objects.

    Args:
        frame: (H, W, 3) uint8 RGB.
        masks: N, None where an object is not seen.
        labels: N.
        colors: N; by default they are those of tracks 1, 2, ..., as in an overlay.

    Returns:
        (h, width, 3) uint8 RGB.
    """
    frame_size = frame.shape[:2]
    size = min(max(round(width * frame_size[0] / frame_size[1]), 1), 2 * width), width
    colors = [None] * len(masks) if colors is None else colors
    objects = [
        DrawnObject(number, label, mask, color)
        for number, (label, mask, color) in enumerate(zip(labels, masks, colors, strict=True), start=1)
        if mask is not None
    ]
    return TrackDrawer(*frame_size, size=size).draw(frame, objects)


def fullest_frame(presence: np.ndarray) -> int:
    """The frame on which most tracks are seen, of `presence` (N, T) bool; of several, the one nearest to the middle."""
    counts = presence.sum(axis=0)
    fullest = np.flatnonzero(counts == counts.max())
    return int(fullest[np.abs(fullest - (len(counts) - 1) / 2).argmin()])


def compare_objects(evaluation: Evaluation, video_id: int, frames: FrameFiles) -> tuple[int, np.ndarray]:
    """The frame that shows most objects (or results, of a video without objects), with the objects' masks on the left
    and those of the results that count as found on the right.

    An object and the result that matches it have one color; red is what is missed or found in error.

    Returns:
        number of the frame, and the picture (H, W, 3) uint8.

    Raises:
        BadImageError: the frame cannot be read, or has another size than the masks.
    """
    findings, names = evaluation.findings[video_id], evaluation.ground_truth.categories
    found = [d for d, track in enumerate(findings.results) if track.score >= evaluation.score]
    results = [findings.results[d] for d in found]
    length = evaluation.ground_truth.videos[video_id].length
    areas = [track.mask_areas for track in findings.objects or results]
    frame = fullest_frame(np.reshape(areas, (-1, length)) > 0)
    image = frames.read(video_id, frame)
    matched = [findings.targets[d] if findings.verdicts[d] == CORRECT else None for d in found]
    colors = {target: palette_color(i, without_red=True) for i, target in enumerate(matched) if target is not None}
    left = draw_objects(
        image,
        [track.masks[frame] for track in findings.objects],
        [names[category] for category in findings.object_categories],
        [colors.get(g, WRONG) for g in range(len(findings.objects))],
    )
    right = draw_objects(
        image,
        [track.masks[frame] for track in results],
        [f"{names[findings.result_categories[d]]} {findings.results[d].score:.2f}" for d in found],
        [colors.get(target, WRONG) for target in matched],
    )
    return frame, np.hstack([left, np.full((len(left), GAP, 3), 255, dtype=np.uint8), right])
