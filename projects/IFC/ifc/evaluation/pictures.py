# SPDX-License-Identifier: Apache-2.0
"""A video in a picture: some of its frames with what was found, above the same frames with what is there."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..ytvis.drawing import select_tracks
from ..ytvis.ground_truth import GroundTruth
from ..ytvis.reports.pictures import GAP, FrameFiles, draw_objects

NUM_FRAMES = 4
WIDTH = 320  # pixels of a frame
SHOWN_SCORE = 0.3  # of what is drawn, as demo.py's default


def spread(count: int, total: int) -> list[int]:
    """At most `count` of the numbers below `total`, as far apart as they can be."""
    return sorted({round(number) for number in np.linspace(0, total - 1, min(count, total))})


def video_picture(
    ground_truth: GroundTruth, frames: FrameFiles, video_id: int, results: Sequence[Mapping[str, Any]]
) -> np.ndarray:
    """Frames of a video from left to right, with the results of a score of 0.3 or more; below, where the split has
    annotations, the same frames with those.

    Args:
        results: the video's, in YTVIS's format; tracks of one instance share their masks.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        BadImageError: a frame cannot be read.
    """
    names = ground_truth.categories
    index_of = {category_id: index for index, category_id in enumerate(names)}
    found = select_tracks(
        [track["score"] for track in results],
        [index_of[track["category_id"]] for track in results],
        [track["segmentations"] for track in results],
        list(names.values()),
        SHOWN_SCORE,
    )
    rows = [([track.masks for track in found], [track.label for track in found])]
    if ground_truth.tracks is not None:
        annotated = ground_truth.tracks.get(video_id, [])
        rows.append(([track.masks for track in annotated], [names[track.category_id] for track in annotated]))
    shown = spread(NUM_FRAMES, ground_truth.videos[video_id].length)
    images = {frame: frames.read(video_id, frame) for frame in shown}
    strips = [
        _joined(
            [draw_objects(image, [m[t] for m in masks], labels, width=WIDTH) for t, image in images.items()], axis=1
        )
        for masks, labels in rows
    ]
    return _joined(strips, axis=0)


def _joined(pictures: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Pictures of one size beside (axis 1) or below (axis 0) one another, with a white gap."""
    height, width = pictures[0].shape[:2]
    gap = np.full((GAP, width, 3) if axis == 0 else (height, GAP, 3), 255, dtype=np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)][1:], axis)
