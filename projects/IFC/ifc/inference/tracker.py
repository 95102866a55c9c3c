# SPDX-License-Identifier: Apache-2.0
"""The clip tracker: instances of overlapping windows → instances of the whole video (IFC, section 3.4).

The tracker is a stream. Windows go in by `update`, in the order of their first frames; once no later window can hold a
frame, `release` hands out that frame's mean mask logits, and the mean class probabilities of the instances that ended.
What it keeps are the frames that a later window can still hold and the instances on them: its memory depends on the
window, the size of the masks and the number of live instances, never on the length of the video.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..regions import region
from .live_instances import ClipInstances, FinishedFrame, FinishedInstances, LiveInstances

# A pair of a known instance and one of a window is the same instance only if its soft IoU is above this.
MATCH_THRESHOLD = 0.05
EPSILON = 1e-6


class ClipTracker:
    """Joins the instances of overlapping windows, by soft IoU, into instances of the video.

    An instance is live as long as a later window can share a frame with one that holds it. The score of any other is 0
    for ever, so it takes no part in the assignment.

    Args:
        window: T, the number of frames of a full window. A window's instances are compared with the last T windows.
    """

    def __init__(self, window: int):
        self._window = window
        self._memory: list[_Window] = []  # the last T of those that a later window can overlap
        self._live: LiveInstances | None = None
        self._num_instances = 0  # seen so far, finished ones included

    @region("tracker")
    def update(self, clips: Sequence[ClipInstances]) -> list[np.ndarray]:
        """Add the next windows. Several at once give what they give one by one, and wait for the device once.

        Args:
            clips: the windows' instances, on the device that shall hold the state; a window may have none.

        Returns:
            For each window (I,) int64, the instance of the video that each of the window's instances is.

        Raises:
            ValueError: if a frame of a window is already final.
        """
        if not clips:
            return []
        self._live = self._live or LiveInstances(clips[0])
        for clip in clips:
            if clip.first_frame < self._live.first_frame:
                raise ValueError(
                    f"window at frame {clip.first_frame}: the frames before {self._live.first_frame} are final; "
                    "expected windows in the order of their first frames"
                )
        windows = [_Window.of_clip(clip) for clip in clips]
        known_ids = self._live.ids
        for window, overlaps in zip(windows, self._overlaps(windows), strict=True):
            window.ids = self._assign(overlaps, known_ids, len(window.ids))
            known_ids = np.union1d(known_ids, window.ids)
            self._num_instances = max(self._num_instances, 1 + window.ids.max(initial=-1))
        ids = [window.ids for window in windows]
        self._live.add(clips, ids)
        self._memory = [*self._memory, *windows][-self._window :]
        return ids

    @region("tracker")
    def release(self, before: int | None = None) -> tuple[list[FinishedFrame], FinishedInstances | None]:
        """Hand out what is final if every later window starts at frame `before` or after it, and forget it.

        Args:
            before: a frame index; None if there is no later window.

        Returns:
            The frames before `before` that were not handed out yet, in order, and the instances that ended before it;
            None if there are none of these.
        """
        if self._live is None:
            return [], None
        frames = self._live.finish_frames(before)
        self._memory = [window for window in self._memory if window.end_frame > self._live.first_frame]
        return frames, self._live.finish_instances()

    def running_instances(self) -> FinishedInstances | None:
        """The instances that a later window can still hold, with the mean over the windows so far; None if there are
        none."""
        return None if self._live is None else self._live.so_far()

    def _overlaps(self, windows: Sequence["_Window"]) -> list[list[tuple["_Window", np.ndarray]]]:
        """For each new window, each of the last T windows that shares a frame with it, and their soft IoU (N, I)."""
        known = [*self._memory, *windows]
        pairs = [
            [earlier for earlier in known[max(n - self._window, 0) : n] if earlier.overlaps(window)]
            for n, window in enumerate(windows, len(self._memory))
        ]
        intersections = [
            earlier.intersection(window) for window, row in zip(windows, pairs, strict=True) for earlier in row
        ]
        host = iter(_to_host([*(window.probs.sum(2) for window in windows), *intersections]))
        for window in windows:
            window.areas = next(host)
        return [
            [(earlier, earlier.soft_iou(window, next(host))) for earlier in row]
            for window, row in zip(windows, pairs, strict=True)
        ]

    def _assign(
        self, overlaps: Sequence[tuple["_Window", np.ndarray]], known_ids: np.ndarray, count: int
    ) -> np.ndarray:
        """The instance of the video that each of a window's `count` instances is, (count,) int64; new ones get the
        next numbers. `known_ids` are the live instances, ascending."""
        from scipy.optimize import linear_sum_assignment  # which takes long to import, and is needed here first

        ids = np.full(count, -1, dtype=np.int64)
        if overlaps and count:
            rows = np.searchsorted(known_ids, np.concatenate([window.ids for window, _ in overlaps]))
            # The score is the mean over the windows that hold the known instance on one of this window's frames.
            scores = np.zeros((len(known_ids), count), dtype=np.float32)
            np.add.at(scores, rows, np.concatenate([iou for _, iou in overlaps]))
            scores /= np.bincount(rows, minlength=len(known_ids))[:, None] + EPSILON
            scores[scores <= MATCH_THRESHOLD] = 0
            matched, columns = linear_sum_assignment(scores, maximize=True)
            same = scores[matched, columns] > 0
            ids[columns[same]] = known_ids[matched[same]]
        is_new = ids < 0
        ids[is_new] = self._num_instances + np.arange(np.count_nonzero(is_new))
        return ids


@dataclass
class _Window:
    """What one window says of its I instances: the tracker's memory for the soft IoU.

    The mask probabilities lie on the tracker's device, all else on the host.

    Attributes:
        first_frame, end_frame: the frames that the window covers, the end exclusive.
        probs: (T', I, h·w) mask probabilities.
        areas: (T', I), the sum of `probs` over each frame.
        ids: (I,) int64, the instance of the video that each of the window's instances is.
    """

    first_frame: int
    end_frame: int
    probs: Tensor
    areas: np.ndarray
    ids: np.ndarray

    @classmethod
    def of_clip(cls, clip: ClipInstances) -> "_Window":
        """A new window, of which areas and ids are not known yet."""
        probs = clip.mask_logits.float().sigmoid().flatten(2).transpose(0, 1)  # (T', I, h·w), a view
        return cls(clip.first_frame, clip.end_frame, probs, np.zeros((0, len(clip))), np.zeros(len(clip), np.int64))

    def overlaps(self, other: "_Window") -> bool:
        """Whether there is a frame that both windows cover."""
        return max(self.first_frame, other.first_frame) < min(self.end_frame, other.end_frame)

    def intersection(self, other: "_Window") -> Tensor:
        """Σ s·p of each instance (N) with each of `other` (I) over the frames that both windows cover, (N, I)."""
        probs = self.probs[self._shared(other)]  # (frames, N, h·w)
        return torch.bmm(probs, other.probs[other._shared(self)].transpose(1, 2)).sum(0)

    def soft_iou(self, other: "_Window", intersection: np.ndarray) -> np.ndarray:
        """Soft IoU from that `intersection`, (N, I)."""
        areas = self.areas[self._shared(other)].sum(0)[:, None] + other.areas[other._shared(self)].sum(0)
        return intersection / (areas - intersection + EPSILON)

    def _shared(self, other: "_Window") -> slice:
        """Those of the window's frames that `other` covers, too."""
        first, end = max(self.first_frame, other.first_frame), min(self.end_frame, other.end_frame)
        return slice(first - self.first_frame, end - self.first_frame)


def _to_host(tensors: Sequence[Tensor]) -> list[np.ndarray]:
    """Tensors of one type on the host, in one transfer."""
    flat = torch.cat([x.flatten() for x in tensors]).cpu().numpy()
    parts = np.split(flat, np.cumsum([x.numel() for x in tensors])[:-1])
    return [part.reshape(x.shape) for part, x in zip(parts, tensors, strict=True)]
