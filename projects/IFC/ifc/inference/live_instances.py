# SPDX-License-Identifier: Apache-2.0
"""What the clip tracker keeps of the instances that a later window can still hold, and what it hands out of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class ClipInstances:
    """The I instances that one window of T' consecutive frames reports.

    Attributes:
        first_frame: index in the video of the window's first frame.
        class_probs: (I, C + 1) class probabilities, "no object" last.
        mask_logits: (I, T', h, w).
        embeddings: (I, E), see `IfcNetwork.embed`; None where the tracker uses none.
    """

    first_frame: int
    class_probs: Tensor
    mask_logits: Tensor
    embeddings: Tensor | None = None

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


class LiveInstances:
    """The N instances that a later window can still hold, and the F frames that are not final.

    The sums lie on the device of the first window. The counts are known on the host, where the assignment is solved, so
    that no decision has to wait for the device.

    Args:
        clip: the first window; its instances are still to be added.

    Attributes:
        ids: (N,) int64, ascending.
        first_frame: the first frame that is not final.
    """

    def __init__(self, clip: ClipInstances):
        self.ids = np.zeros(0, dtype=np.int64)
        self.first_frame = 0
        self._num_windows = self.ids  # (N,) that hold the instance
        self._end_frames = self.ids  # (N,) one past the last frame on which a window holds the instance
        self._frame_counts = np.zeros((0, 0), dtype=np.int64)  # (N, F) windows that hold the instance on the frame
        # Sums over those windows: (N, C + 1) and (N, F, h, w).
        self._class_sum = clip.class_probs.new_zeros((0, clip.class_probs.shape[1]), dtype=torch.float32)
        self._logit_sum = clip.mask_logits.new_zeros((0, 0, *clip.mask_logits.shape[2:]), dtype=torch.float32)

    def add(self, clips: Sequence[ClipInstances], ids: Sequence[np.ndarray]) -> None:
        """Add windows. Instance i of window n is `ids[n][i]`."""
        self._grow(np.union1d(self.ids, np.concatenate(ids)), max(clip.end_frame for clip in clips) - self.first_frame)
        rows = [np.searchsorted(self.ids, clip_ids) for clip_ids in ids]
        device_rows = self._on_device(np.concatenate(rows)).split([len(clip) for clip in clips])
        for clip, host_rows, clip_rows in zip(clips, rows, device_rows, strict=True):
            frames = slice(clip.first_frame - self.first_frame, clip.end_frame - self.first_frame)
            self._num_windows[host_rows] += 1
            self._end_frames[host_rows] = np.maximum(self._end_frames[host_rows], clip.end_frame)
            self._frame_counts[host_rows, frames] += 1
            self._class_sum.index_add_(0, clip_rows, clip.class_probs.float())
            self._logit_sum[:, frames].index_add_(0, clip_rows, clip.mask_logits.float())

    def finish_frames(self, before: int | None) -> list[FinishedFrame]:
        """Take out the frames before frame `before`, in order; None for all."""
        num_frames = self._frame_counts.shape[1]
        count = num_frames if before is None else min(max(before - self.first_frame, 0), num_frames)
        if not count:
            return []
        counts = self._frame_counts[:, :count].T  # (count, N)
        frames, rows = np.nonzero(counts)
        logit_sum = self._logit_sum[self._on_device(rows), self._on_device(frames)]  # (held, h, w)
        mean_logits = logit_sum / self._on_device(counts[frames, rows])[:, None, None]
        sizes = np.count_nonzero(counts, axis=1)
        finished = [
            FinishedFrame(index, ids, logits)
            for index, ids, logits in zip(
                range(self.first_frame, self.first_frame + count),
                np.split(self.ids[rows], np.cumsum(sizes)[:-1]),
                mean_logits.split(sizes.tolist()),
                strict=True,
            )
        ]
        self._frame_counts, self._logit_sum = self._frame_counts[:, count:], self._logit_sum[:, count:]
        self.first_frame += count
        return finished

    def finish_instances(self) -> FinishedInstances | None:
        """Take out the instances that are on no frame that is left; None if there are none."""
        ended = self._end_frames <= self.first_frame
        if not ended.any():
            return None
        finished, kept = self._means(np.flatnonzero(ended)), np.flatnonzero(~ended)
        self.ids = self.ids[kept]
        self._take(kept)
        return finished

    def so_far(self) -> FinishedInstances | None:
        """All instances, with the mean over the windows so far; None if there are none."""
        return self._means(np.arange(len(self.ids))) if len(self.ids) else None

    def _grow(self, ids: np.ndarray, num_frames: int) -> None:
        """Make room for instances and frames that no window holds yet; `ids` are all there are then."""
        new_ids = len(ids) - len(self.ids)
        new_frames = max(num_frames - self._frame_counts.shape[1], 0)
        known_ids, self.ids = self.ids, ids
        self._num_windows = np.pad(self._num_windows, (0, new_ids))
        self._end_frames = np.pad(self._end_frames, (0, new_ids))
        self._frame_counts = np.pad(self._frame_counts, ((0, new_ids), (0, new_frames)))
        self._class_sum = F.pad(self._class_sum, (0, 0, 0, new_ids))
        self._logit_sum = F.pad(self._logit_sum, (0, 0, 0, 0, 0, new_frames, 0, new_ids))
        if not np.array_equal(ids[: len(known_ids)], known_ids):  # an instance that was gone is back, among them
            self._take(np.argsort(np.concatenate([known_ids, np.setdiff1d(ids, known_ids)])))

    def _take(self, rows: np.ndarray) -> None:
        """Keep these rows of all sums and counts, in this order."""
        self._num_windows, self._end_frames = self._num_windows[rows], self._end_frames[rows]
        self._frame_counts = self._frame_counts[rows]
        device_rows = self._on_device(rows)
        self._class_sum, self._logit_sum = self._class_sum[device_rows], self._logit_sum[device_rows]

    def _means(self, rows: np.ndarray) -> FinishedInstances:
        num_windows = self._on_device(self._num_windows[rows])
        return FinishedInstances(self.ids[rows], self._class_sum[self._on_device(rows)] / num_windows[:, None])

    def _on_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._class_sum.device, non_blocking=True)
