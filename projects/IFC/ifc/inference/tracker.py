# SPDX-License-Identifier: Apache-2.0
"""The clip tracker: instances of overlapping windows → instances of the whole video (IFC, section 3.4).

The tracker is a stream. Windows go in by `update`, in the order of their first frames; once no later window can hold a
frame, `release` hands out that frame's mean mask logits, and the mean class probabilities of the instances that ended.
What it keeps are the frames that a later window can still hold and the instances on them: its memory depends on the
window, the size of the masks and the number of live instances, never on the length of the video.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

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


@dataclass(frozen=True)
class _SoftMasks:
    """What one window says of its I instances: the tracker's memory for the soft IoU.

    Attributes:
        first_frame, end_frame: the frames that the window covers, the end exclusive.
        probs: (I, T', h, w) mask probabilities.
        areas: (I, T'), the sum of `probs` over each frame.
    """

    first_frame: int
    end_frame: int
    probs: Tensor
    areas: Tensor

    @classmethod
    def of(cls, clip: ClipInstances) -> "_SoftMasks":
        probs = clip.mask_logits.sigmoid()
        return cls(clip.first_frame, clip.end_frame, probs, probs.sum((-1, -2)))

    def iou(self, other: "_SoftMasks") -> Tensor | None:
        """Soft IoU of each instance (N) with each of `other` (I) over the frames that both windows cover, (N, I);
        None if there are none.
        """
        first, end = max(self.first_frame, other.first_frame), min(self.end_frame, other.end_frame)
        if first >= end:
            return None
        probs, areas = self._over(first, end)  # (N, P), (N,)
        other_probs, other_areas = other._over(first, end)  # (I, P), (I,)
        intersection = probs @ other_probs.T  # (N, I)
        return intersection / (areas[:, None] + other_areas - intersection + EPSILON)

    def _over(self, first: int, end: int) -> tuple[Tensor, Tensor]:
        """Probabilities (I, frames · h · w) and areas (I,) over some of the frames."""
        frames = slice(first - self.first_frame, end - self.first_frame)
        return self.probs[:, frames].flatten(1), self.areas[:, frames].sum(1)


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

    def add(self, rows: np.ndarray, clip: ClipInstances, frames: slice) -> None:
        """Add a window: its instance i is row `rows[i]`, its frames are the live frames `frames`."""
        self.num_windows[rows] += 1
        self.end_frame[rows] = np.maximum(self.end_frame[rows], clip.end_frame)
        self.frame_counts[rows, frames] += 1
        device_rows = self.on_device(rows)
        self.class_sum.index_add_(0, device_rows, clip.class_probs)
        self.logit_sum[:, frames].index_add_(0, device_rows, clip.mask_logits)

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
        self._memory: deque[tuple[np.ndarray, _SoftMasks]] = deque(maxlen=window)  # with each row's instance
        self._live: _LiveInstances | None = None
        self._num_instances = 0
        self._first_frame = 0  # the first frame that is not final
        self._end_frame = 0  # one past the last frame that a window covered

    @property
    def num_instances(self) -> int:
        """Instances seen so far, finished ones included."""
        return self._num_instances

    def update(self, clip: ClipInstances) -> np.ndarray:
        """Add the next window.

        Args:
            clip: the window's instances, on the device that shall hold the state; there may be none.

        Returns:
            (I,) int64, the instance of the video that each of the window's instances is.

        Raises:
            ValueError: if a frame of the window is already final.
        """
        if clip.first_frame < self._first_frame:
            raise ValueError(
                f"window at frame {clip.first_frame}: the frames before {self._first_frame} are final; "
                "expected windows in the order of their first frames"
            )
        clip = ClipInstances(clip.first_frame, clip.class_probs.float(), clip.mask_logits.float())
        if self._live is None:
            self._live = _LiveInstances.none(clip)
        live = self._live

        masks = _SoftMasks.of(clip)
        rows = self._match(masks)
        is_new = rows < 0
        num_new = np.count_nonzero(is_new)
        rows[is_new] = len(live.ids) + np.arange(num_new)

        end_frame = max(self._end_frame, clip.end_frame)
        live.grow(self._num_instances + np.arange(num_new), end_frame - self._end_frame)
        live.add(rows, clip, slice(clip.first_frame - self._first_frame, clip.end_frame - self._first_frame))
        self._num_instances += num_new
        self._end_frame = end_frame
        self._memory.append((live.ids[rows], masks))
        return live.ids[rows]

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
        self._memory = deque((m for m in self._memory if m[1].end_frame > before), maxlen=self._memory.maxlen)
        ended = self._live.end_frame <= before
        return frames, self._finish_instances(ended) if ended.any() else None

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
        live = self._live
        class_sum = live.class_sum[live.on_device(np.flatnonzero(ended))]
        class_probs = class_sum / live.on_device(live.num_windows[ended])[:, None]
        instances = FinishedInstances(live.ids[ended], class_probs)
        live.keep(np.flatnonzero(~ended))
        return instances

    def _match(self, masks: _SoftMasks) -> np.ndarray:
        """The live row of each of the window's instances, (I,) int64; -1 for a new one."""
        matched = np.full(len(masks.areas), -1, dtype=np.int64)
        scores = self._scores(masks)
        if scores is not None:
            scores = torch.where(scores > MATCH_THRESHOLD, scores, 0).cpu().numpy()
            rows, columns = linear_sum_assignment(scores, maximize=True)
            same = scores[rows, columns] > 0
            matched[columns[same]] = rows[same]
        return matched

    def _scores(self, masks: _SoftMasks) -> Tensor | None:
        """Score of each live instance and each of the window's, (N, I): the mean soft IoU over the earlier windows that
        hold the instance on a frame of this window. None if no earlier window covers one of its frames.
        """
        overlaps = [(ids, iou) for ids, earlier in self._memory if (iou := earlier.iou(masks)) is not None]
        if not overlaps:
            return None
        rows = np.searchsorted(self._live.ids, np.concatenate([ids for ids, _ in overlaps]))
        # The mean over an instance's windows is a product with a matrix: unlike a scatter, it sums in a fixed order.
        num_windows = np.bincount(rows, minlength=len(self._live.ids))
        weights = np.zeros((len(self._live.ids), len(rows)), dtype=np.float32)
        weights[rows, np.arange(len(rows))] = 1 / (num_windows[rows] + EPSILON)
        return self._live.on_device(weights) @ torch.cat([iou for _, iou in overlaps])
