# SPDX-License-Identifier: Apache-2.0
"""The clip tracker: instances of windows → instances of the whole video (IFC, section 3.4).

The tracker is a stream. Windows go in by `update`, in the order of their first frames; once no later window can hold a
frame, `release` hands out that frame's mean mask logits, and the mean class probabilities of the instances that ended.
What it keeps are the frames that a later window can still hold and the instances on them: its memory depends on the
window, the size of the masks and the number of live instances, never on the length of the video.

With embeddings, which the paper does without, a track may go on where no frame is shared, and after an absence: see
`TrackMemory`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..regions import region
from .live_instances import ClipInstances, FinishedFrame, FinishedInstances, LiveInstances
from .settings import AssociationSettings
from .track_memory import TrackMemory, normalized

# A pair of a known instance and one of a window is the same instance only if its soft IoU is above this.
MATCH_THRESHOLD = 0.05
EPSILON = 1e-6


class ClipTracker:
    """Joins the instances of windows into instances of the video.

    By masks, an instance is live as long as a later window can share a frame with one that holds it. The score of any
    other is 0 for ever, so it takes no part in the assignment. With embeddings `TrackMemory` says which take part. A
    pair whose masks can be compared, as both are seen on a shared frame, has to overlap there all the same.

    Args:
        window: T, the number of frames of a full window. A window's instances are compared with the last T windows.
        settings: what tells which instance is which; None for masks alone.
    """

    def __init__(self, window: int, settings: AssociationSettings | None = None):
        self._window = window
        self._settings = settings or AssociationSettings()
        self._tracks: TrackMemory | None = None  # where embeddings count, from the first window on
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
            ValueError: if a frame of a window is already final, or an embedding is not finite.
        """
        if not clips:
            return []
        self._live = self._live or LiveInstances(clips[0])
        if self._settings.uses_embeddings and self._tracks is None:
            num_classes, length = clips[0].class_probs.shape[1] - 1, clips[0].embeddings.shape[1]
            self._tracks = TrackMemory(self._settings, num_classes, length)
        for clip in clips:
            if clip.first_frame < self._live.first_frame:
                raise ValueError(
                    f"window at frame {clip.first_frame}: the frames before {self._live.first_frame} are final; "
                    "expected windows in the order of their first frames"
                )
        windows = [_Window.of_clip(clip) for clip in clips]
        known_ids = self._live.ids
        for window, overlaps in zip(windows, self._overlaps(windows, clips), strict=True):
            if self._tracks is not None:
                self._tracks.forget(window.first_frame)
                known_ids = self._tracks.ids
            window.ids = self._assign(window, overlaps, known_ids)
            known_ids = np.union1d(known_ids, window.ids)
            if self._tracks is not None:
                self._tracks.add(window.ids, window.end_frame, window.embeddings, window.class_probs)
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
            The frames before `before` that were not handed out yet, in order, and the instances that ended before it
            and cannot return; None if there are none of these.
        """
        if self._live is None:
            return [], None
        frames = self._live.finish_frames(before)
        self._memory = [window for window in self._memory if window.end_frame > self._live.first_frame]
        finished = self._live.finish_instances()
        if self._tracks is None:
            return frames, finished
        self._tracks.forget(before)
        return frames, self._tracks.hand_out(self._live.first_frame)

    def running_instances(self) -> FinishedInstances | None:
        """The instances that a later window can still hold, with the mean over the windows so far; None if there are
        none."""
        known = self._tracks or self._live
        return None if known is None else known.so_far()

    def _overlaps(
        self, windows: Sequence["_Window"], clips: Sequence[ClipInstances]
    ) -> list[list[tuple["_Window", np.ndarray]]]:
        """For each new window, each of the last T windows that shares a frame with it, and their soft IoU (N, I). The
        windows learn what the host has to know of their `clips`."""
        known = [*self._memory, *windows]
        pairs = [
            [earlier for earlier in known[max(n - self._window, 0) : n] if earlier.overlaps(window)]
            for n, window in enumerate(windows, len(self._memory))
        ]
        intersections = [
            earlier.intersection(window) for window, row in zip(windows, pairs, strict=True) for earlier in row
        ]
        looks = [] if self._tracks is None else [x for pair in zip(windows, clips, strict=True) for x in _looks(*pair)]
        host = iter(_to_host([*(window.probs.sum(2) for window in windows), *looks, *intersections]))
        for window in windows:
            window.areas = next(host)
        for window in windows if looks else []:
            window.is_seen, window.class_probs = next(host) > 0, next(host)
            window.embeddings = _finite(next(host), window.first_frame)
        return [
            [(earlier, earlier.soft_iou(window, next(host))) for earlier in row]
            for window, row in zip(windows, pairs, strict=True)
        ]

    def _assign(
        self, window: "_Window", overlaps: Sequence[tuple["_Window", np.ndarray]], known_ids: np.ndarray
    ) -> np.ndarray:
        """The instance of the video that each of the window's I instances is, (I,) int64; new ones get the next
        numbers. `known_ids` are those that it may be, ascending."""
        from scipy.optimize import linear_sum_assignment  # which takes long to import, and is needed here first

        ids = np.full(len(window.ids), -1, dtype=np.int64)
        scores = np.zeros((len(known_ids), len(ids)), dtype=np.float32)
        rows = np.searchsorted(known_ids, np.concatenate([known_ids[:0], *(earlier.ids for earlier, _ in overlaps)]))
        if len(rows):
            # The score is the mean over the windows that hold the known instance on one of this window's frames.
            np.add.at(scores, rows, np.concatenate([iou for _, iou in overlaps]))
            scores /= np.bincount(rows, minlength=len(known_ids))[:, None] + EPSILON
            scores[scores <= MATCH_THRESHOLD] = 0
        if self._tracks is not None:
            are_seen = np.zeros(scores.shape, dtype=bool)  # both, on a frame that is shared
            if len(rows):
                np.logical_or.at(are_seen, rows, np.concatenate([earlier.seen_with(window) for earlier, _ in overlaps]))
            similarities = self._tracks.similarities(window.embeddings, window.class_probs)
            may_match = (scores > 0) | (~are_seen & (similarities >= self._settings.similarity))
            scores = self._settings.mask_weight * scores + self._settings.embedding_weight * similarities.clip(min=0)
            scores[~may_match] = 0
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
        is_seen: (T', I) bool, whether a pixel is more likely the instance's than not. With embeddings only, as
        class_probs: (I, C + 1), and
        embeddings: (I, E), of length 1.
    """

    first_frame: int
    end_frame: int
    probs: Tensor
    areas: np.ndarray
    ids: np.ndarray
    is_seen: np.ndarray | None = None
    class_probs: np.ndarray | None = None
    embeddings: np.ndarray | None = None

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

    def seen_with(self, other: "_Window") -> np.ndarray:
        """Whether each instance (N) and each of `other` (I) are seen on one of the shared frames, (N, I) bool."""
        return self.is_seen[self._shared(other)].T @ other.is_seen[other._shared(self)]

    def _shared(self, other: "_Window") -> slice:
        """Those of the window's frames that `other` covers, too."""
        first, end = max(self.first_frame, other.first_frame), min(self.end_frame, other.end_frame)
        return slice(first - self.first_frame, end - self.first_frame)


def _looks(window: _Window, clip: ClipInstances) -> tuple[Tensor, Tensor, Tensor]:
    """What embeddings need to be on the host: is_seen, class_probs, embeddings of a window."""
    return (window.probs > 0.5).any(2).float(), clip.class_probs.float(), clip.embeddings.float()


def _finite(embeddings: np.ndarray, first_frame: int) -> np.ndarray:
    """The embeddings (I, E) of a window's instances, of length 1."""
    if wrong := np.count_nonzero(~np.isfinite(embeddings).all(1)):
        raise ValueError(
            f"window at frame {first_frame}: found embeddings of {wrong} of {len(embeddings)} instances that are not "
            "finite, expected numbers: the weights or the precision are wrong"
        )
    return normalized(embeddings)


def _to_host(tensors: Sequence[Tensor]) -> list[np.ndarray]:
    """Tensors of one type on the host, in one transfer."""
    flat = torch.cat([x.flatten() for x in tensors]).cpu().numpy()
    parts = np.split(flat, np.cumsum([x.numel() for x in tensors])[:-1])
    return [part.reshape(x.shape) for part, x in zip(parts, tensors, strict=True)]
