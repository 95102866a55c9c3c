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
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..regions import region

# A pair of a known instance and one of a window is the same instance only if its soft IoU is above this.
MATCH_THRESHOLD = 0.05
EPSILON = 1e-6


@dataclass(frozen=True)
class ClipInstances:
    """The I instances that one window of T' consecutive frames reports.

    Attributes:
        first_frame: index in the video of the window's first frame.
        class_probs: (I, C + 1) class probabilities, "no object" last.
        mask_logits: (I, T', h, w).
    """

    first_frame: int
    class_probs: Tensor
    mask_logits: Tensor

    @property
    def end_frame(self) -> int:
        """One past the last frame."""
        return self.first_frame + self.mask_logits.shape[1]

    def __len__(self) -> int:
        return len(self.class_probs)


@dataclass(frozen=True)
class FinishedFrame:
    """The masks of one frame, which no later window changes.

    Attributes:
        index: the frame's index in the video.
        instance_ids: (n,) int64, ascending: the instances that a window holds on this frame.
        mask_logits: (n, h, w), the mean over those windows.
    """

    index: int
    instance_ids: np.ndarray
    mask_logits: Tensor


@dataclass(frozen=True)
class FinishedInstances:
    """Instances that no later window can hold.

    Attributes:
        ids: (n,) int64, ascending. Instances are numbered 0, 1, … in the order in which they were first seen.
        class_probs: (n, C + 1), the mean over the windows that hold the instance.
    """

    ids: np.ndarray
    class_probs: Tensor


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
    if not tensors:
        return []
    flat = torch.cat([x.flatten() for x in tensors]).cpu().numpy()
    parts = np.split(flat, np.cumsum([x.numel() for x in tensors])[:-1])
    return [part.reshape(x.shape) for part, x in zip(parts, tensors, strict=True)]


@dataclass
class _LiveInstances:
    """The N instances that a later window can still hold, and the F frames that are not final.

    The sums lie on the tracker's device. The counts are known on the host, where the assignment is solved, so that no
    decision has to wait for the device.

    Attributes:
        ids: (N,) int64, ascending.
        num_windows: (N,) int64, windows that hold the instance.
        end_frame: (N,) int64, one past the last frame on which a window holds the instance.
        frame_counts: (N, F) int64, windows that hold the instance on the frame.
        class_sum: (N, C + 1), over the windows that hold the instance.
        logit_sum: (N, F, h, w), over the windows that hold the instance on the frame.
    """

    ids: np.ndarray
    num_windows: np.ndarray
    end_frame: np.ndarray
    frame_counts: np.ndarray
    class_sum: Tensor
    logit_sum: Tensor

    @classmethod
    def none(cls, clip: ClipInstances) -> "_LiveInstances":
        """No instance and no frame, with the class count, mask size and device of `clip`."""
        no_ids = np.zeros(0, dtype=np.int64)
        return cls(
            ids=no_ids,
            num_windows=no_ids,
            end_frame=no_ids,
            frame_counts=np.zeros((0, 0), dtype=np.int64),
            class_sum=clip.class_probs.new_zeros((0, clip.class_probs.shape[1]), dtype=torch.float32),
            logit_sum=clip.mask_logits.new_zeros((0, 0, *clip.mask_logits.shape[2:]), dtype=torch.float32),
        )

    def on_device(self, array: np.ndarray) -> Tensor:
        """`array` on the device of the sums."""
        return torch.from_numpy(array).to(self.class_sum.device)

    def grow(self, new_ids: np.ndarray, new_frames: int) -> None:
        """Append instances and frames that no window holds yet."""
        num_new = len(new_ids)
        self.ids = np.concatenate([self.ids, new_ids])
        self.num_windows = np.pad(self.num_windows, (0, num_new))
        self.end_frame = np.pad(self.end_frame, (0, num_new))
        self.frame_counts = np.pad(self.frame_counts, ((0, num_new), (0, new_frames)))
        self.class_sum = F.pad(self.class_sum, (0, 0, 0, num_new))
        self.logit_sum = F.pad(self.logit_sum, (0, 0, 0, 0, 0, new_frames, 0, num_new))

    def add(self, clips: Sequence[ClipInstances], rows: Sequence[np.ndarray], first_frame: int) -> None:
        """Add windows: instance i of window n is row `rows[n][i]`; `first_frame` is the first live frame."""
        device_rows = self.on_device(np.concatenate(rows)).split([len(clip) for clip in clips])
        for clip, host_rows, clip_rows in zip(clips, rows, device_rows, strict=True):
            frames = slice(clip.first_frame - first_frame, clip.end_frame - first_frame)
            self.num_windows[host_rows] += 1
            self.end_frame[host_rows] = np.maximum(self.end_frame[host_rows], clip.end_frame)
            self.frame_counts[host_rows, frames] += 1
            self.class_sum.index_add_(0, clip_rows, clip.class_probs.float())
            self.logit_sum[:, frames].index_add_(0, clip_rows, clip.mask_logits.float())

    def drop_frames(self, count: int) -> None:
        """Forget the first `count` frames."""
        self.frame_counts = self.frame_counts[:, count:]
        self.logit_sum = self.logit_sum[:, count:]

    def keep(self, rows: np.ndarray) -> None:
        """Forget every instance but those of `rows`, ascending."""
        self.ids, self.num_windows, self.end_frame = self.ids[rows], self.num_windows[rows], self.end_frame[rows]
        self.frame_counts = self.frame_counts[rows]
        device_rows = self.on_device(rows)
        self.class_sum, self.logit_sum = self.class_sum[device_rows], self.logit_sum[device_rows]


class ClipTracker:
    """Joins the instances of overlapping windows, by soft IoU, into instances of the video.

    An instance is live as long as a later window can share a frame with one that holds it. The score of any other is 0
    for ever, so it takes no part in the assignment.

    Args:
        window: T, the number of frames of a full window. A window's instances are compared with the last T windows.
    """

    def __init__(self, window: int):
        if window < 1:
            raise ValueError(f"window: found {window}, expected at least 1 frame")
        self._window = window
        self._memory: list[_Window] = []  # the last T of those that a later window can overlap
        self._live: _LiveInstances | None = None
        self._num_instances = 0
        self._first_frame = 0  # the first frame that is not final
        self._end_frame = 0  # one past the last frame that a window covered

    @property
    def num_instances(self) -> int:
        """Instances seen so far, finished ones included."""
        return self._num_instances

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
        for clip in clips:
            if clip.first_frame < self._first_frame:
                raise ValueError(
                    f"window at frame {clip.first_frame}: the frames before {self._first_frame} are final; "
                    "expected windows in the order of their first frames"
                )
        if not clips:
            return []
        if self._live is None:
            self._live = _LiveInstances.none(clips[0])
        known_ids = self._live.ids
        windows = [_as_window(clip) for clip in clips]
        for window, overlaps in zip(windows, self._overlaps(windows), strict=True):
            window.ids = self._assign(overlaps, known_ids, len(window.ids))
            known_ids = np.union1d(known_ids, window.ids)
            self._num_instances = max(self._num_instances, 1 + window.ids.max(initial=-1))

        end_frame = max(self._end_frame, *(clip.end_frame for clip in clips))
        self._live.grow(known_ids[len(self._live.ids) :], end_frame - self._end_frame)
        rows = [np.searchsorted(known_ids, window.ids) for window in windows]
        self._live.add(clips, rows, self._first_frame)
        self._end_frame = end_frame
        self._memory = [*self._memory, *windows][-self._window :]
        return [window.ids for window in windows]

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
        before = self._end_frame if before is None else min(before, self._end_frame)
        frames = self._finish_frames(max(before - self._first_frame, 0))
        self._memory = [window for window in self._memory if window.end_frame > before]
        ended = self._live.end_frame <= before
        return frames, self._finish_instances(ended) if ended.any() else None

    def live_instances(self) -> FinishedInstances | None:
        """The instances that a later window can still hold, with the mean over the windows so far; None if there are
        none."""
        if self._live is None or not len(self._live.ids):
            return None
        return FinishedInstances(self._live.ids, self._mean_probs(np.arange(len(self._live.ids))))

    def _finish_frames(self, count: int) -> list[FinishedFrame]:
        """Take out the first `count` live frames."""
        if not count:
            return []
        live = self._live
        counts = live.frame_counts[:, :count].T  # (count, N)
        frames, rows = np.nonzero(counts)
        logit_sum = live.logit_sum[live.on_device(rows), live.on_device(frames)]  # (held, h, w)
        mean_logits = logit_sum / live.on_device(counts[frames, rows])[:, None, None]
        sizes = np.count_nonzero(counts, axis=1)
        finished = [
            FinishedFrame(index, ids, logits)
            for index, ids, logits in zip(
                range(self._first_frame, self._first_frame + count),
                np.split(live.ids[rows], np.cumsum(sizes)[:-1]),
                mean_logits.split(sizes.tolist()),
                strict=True,
            )
        ]
        live.drop_frames(count)
        self._first_frame += count
        return finished

    def _finish_instances(self, ended: np.ndarray) -> FinishedInstances:
        """Take out the live instances that `ended`, (N,) bool."""
        instances = FinishedInstances(self._live.ids[ended], self._mean_probs(np.flatnonzero(ended)))
        self._live.keep(np.flatnonzero(~ended))
        return instances

    def _mean_probs(self, rows: np.ndarray) -> Tensor:
        """Class probabilities of live rows, (n, C + 1): the mean over the windows that hold the instance."""
        live = self._live
        return live.class_sum[live.on_device(rows)] / live.on_device(live.num_windows[rows])[:, None]

    def _overlaps(self, windows: Sequence[_Window]) -> list[list[tuple[_Window, np.ndarray]]]:
        """For each new window, each of the last T windows that shares a frame with it, and their soft IoU (N, I)."""
        known = [*self._memory, *windows]
        pairs = [
            [earlier for earlier in known[max(n - self._window, 0) : n] if earlier.overlaps(window)]
            for n, window in enumerate(windows, len(self._memory))
        ]
        intersections = [
            earlier.intersection(window) for window, row in zip(windows, pairs, strict=True) for earlier in row
        ]
        areas = [window.probs.sum(2) for window in windows]
        host = iter(_to_host([*areas, *intersections]))
        for window in windows:
            window.areas = next(host)
        return [
            [(earlier, earlier.soft_iou(window, next(host))) for earlier in row]
            for window, row in zip(windows, pairs, strict=True)
        ]

    def _assign(self, overlaps: Sequence[tuple[_Window, np.ndarray]], known_ids: np.ndarray, count: int) -> np.ndarray:
        """The instance of the video that each of a window's `count` instances is, (count,) int64; new ones get the
        next numbers. `known_ids` are the live instances, ascending."""
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


def _as_window(clip: ClipInstances) -> _Window:
    """A new window, of which areas and ids are not known yet."""
    probs = clip.mask_logits.float().sigmoid().flatten(2).transpose(0, 1)  # (T', I, h·w), a view
    unknown_areas = np.zeros((0, len(clip)), dtype=np.float32)
    return _Window(clip.first_frame, clip.end_frame, probs, unknown_areas, np.full(len(clip), -1, dtype=np.int64))
