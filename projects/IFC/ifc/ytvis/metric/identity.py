# SPDX-License-Identifier: Apache-2.0
"""Tracks frame by frame: who overlaps whom, and where an object's result changes.

An identity switch is CLEAR MOT's (Bernardin and Stiefelhagen, "Evaluating Multiple Object Tracking Performance", 2008):
on each frame the objects of a category are matched one to one with its results, at a mask IoU of 0.5 or more, those
matched on the frame before staying together if they can and the others with the highest total IoU; an object switches
where its result is another one than that it last had.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as mask_utils
from scipy.optimize import linear_sum_assignment

from ..ground_truth import MaskTrack

SAME_OBJECT_IOU = 0.5


@dataclass(frozen=True)
class FrameOverlap:
    """The objects and results that are seen on one frame, as indices (G',) and (D',), and their IoUs (G', D')."""

    objects: np.ndarray
    results: np.ndarray
    ious: np.ndarray


def frame_overlaps(objects: Sequence[MaskTrack], results: Sequence[MaskTrack]) -> list[FrameOverlap]:
    """The overlap on each of the T frames of a video; an empty list for no tracks at all."""
    tracks = [*objects, *results]
    if not tracks:
        return []
    present = np.stack([track.mask_areas > 0 for track in tracks])  # (G + D, T)
    overlaps = []
    for frame in range(present.shape[1]):
        shown = np.flatnonzero(present[: len(objects), frame])
        found = np.flatnonzero(present[len(objects) :, frame])
        ious = np.zeros((len(shown), len(found)))
        if ious.size:
            found_masks, shown_masks = (
                [tracks[i].masks[frame] for i in side] for side in (found + len(objects), shown)
            )
            ious = mask_utils.iou(found_masks, shown_masks, np.zeros(len(shown), dtype=np.uint8)).T
        overlaps.append(FrameOverlap(shown, found, ious))
    return overlaps


@dataclass(frozen=True)
class FrameMatches:
    """The objects and results of a frame that are matched with each other, as indices (M,) and (M,).

    `before` (M,) is the result that each object had when it was last matched, -1 for none.
    """

    objects: np.ndarray
    results: np.ndarray
    before: np.ndarray

    @property
    def is_switch(self) -> np.ndarray:
        """(M,) bool"""
        return (self.before >= 0) & (self.before != self.results)


def match_frames(frames: Sequence[FrameOverlap], num_objects: int) -> Iterator[FrameMatches]:
    """The matches on each frame of a video with `num_objects` objects."""
    last, previous = np.full(num_objects, -1), np.full(num_objects, -1)  # results of each object; -1 for none
    for frame in frames:
        if not frame.ious.size:
            # As CLEAR MOT counts, a frame without objects or without results interrupts nothing.
            yield FrameMatches(*np.empty((3, 0), dtype=np.int64))
            continue
        stays = frame.results[None] == previous[frame.objects][:, None]
        value = np.where(frame.ious >= SAME_OBJECT_IOU, frame.ious + 1000 * stays, 0)
        rows, columns = linear_sum_assignment(-value)
        is_match = value[rows, columns] > 0
        objects, results = frame.objects[rows[is_match]], frame.results[columns[is_match]]
        yield FrameMatches(objects, results, last[objects])
        last[objects] = results
        previous[:] = -1
        previous[objects] = results


def count_switches(frames: Sequence[FrameOverlap], num_objects: int) -> np.ndarray:
    """Identity switches of each of `num_objects` objects through the frames of a video: (num_objects,) int."""
    switches = np.zeros(num_objects, dtype=np.int64)
    for matches in match_frames(frames, num_objects):
        switches[matches.objects] += matches.is_switch
    return switches


def count_returns(frames: Sequence[FrameOverlap], num_objects: int) -> tuple[int, int]:
    """How often an object is matched that was out of sight since it last was, and how often its result is the same."""
    returns = kept = 0
    was_away = np.zeros(num_objects, dtype=bool)  # since the object was last matched
    for frame, matches in zip(frames, match_frames(frames, num_objects), strict=True):
        was_away[np.setdiff1d(np.arange(num_objects), frame.objects)] = True
        is_back = was_away[matches.objects] & (matches.before >= 0)
        returns += int(is_back.sum())
        kept += int((is_back & ~matches.is_switch).sum())
        was_away[matches.objects] = False
    return returns, kept
