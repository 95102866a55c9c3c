# SPDX-License-Identifier: Apache-2.0
"""What the clip tracker knows of tracks besides their masks: what they look like, their class, and since when they are
gone. It takes a track up again where masks cannot.

A track's looks are a moving average of its windows' embeddings and, beside it, a few of these that are least alike (the
memory of VISAGE, arXiv 2312.04885, made small). All of it lies on the host, where the assignment is solved, so that
nothing waits for the device: `bytes_per_track` for each track, whatever the size of its masks and the length of the
video.
"""

import numpy as np
import torch

from .live_instances import FinishedInstances
from .settings import AssociationSettings

EPSILON = 1e-6


class TrackMemory:
    """The N tracks that a window to come may continue.

    A window that begins after a track's last frame finds it absent, by the frames between them. A track that is absent
    longer than `memory_frames`, or is not among the `memory_tracks` absent ones that ended last, is forgotten. That
    depends on the windows alone, not on when `forget` is called.

    Args:
        settings: see `AssociationSettings`.
        num_classes: C.
        length: E, of an embedding.
    """

    def __init__(self, settings: AssociationSettings, num_classes: int, length: int):
        self._settings = settings
        track = [
            ("id", np.int64),
            ("end_frame", np.int64),  # one past the last frame on which a window holds the track
            ("num_windows", np.int64),  # that hold it
            ("class_sum", np.float32, num_classes + 1),  # over these, "no object" last
            ("looks", np.float16, (1 + settings.exemplars, length)),  # the average, then exemplars, zero where none is
        ]
        self._tracks = np.zeros(0, dtype=track)  # ascending by id
        self._forgotten = self._tracks  # and not handed out yet

    @property
    def ids(self) -> np.ndarray:
        """(N,) int64, ascending."""
        return self._tracks["id"]

    @property
    def bytes_per_track(self) -> int:
        """That the memory takes."""
        return self._tracks.itemsize

    def forget(self, first_frame: int | None) -> None:
        """Forget the tracks that no window from `first_frame` on continues; None if there is no such window."""
        tracks, settings = self._tracks, self._settings
        if first_frame is None:
            is_kept = np.zeros(len(tracks), dtype=bool)
        else:
            absence = first_frame - tracks["end_frame"]
            is_kept = absence <= 0
            latest = np.argsort(np.where(is_kept, np.iinfo(np.int64).max, absence), kind="stable")
            latest = latest[: np.count_nonzero(absence > 0)][: settings.memory_tracks]
            is_kept[latest] = absence[latest] <= settings.memory_frames
        self._forgotten = np.concatenate([self._forgotten, tracks[~is_kept]])
        self._tracks = tracks[is_kept]

    def hand_out(self, end_frame: int) -> FinishedInstances | None:
        """The forgotten tracks that ended before `end_frame` and were not handed out yet; None if there are none."""
        has_ended = self._forgotten["end_frame"] <= end_frame
        finished, self._forgotten = self._forgotten[has_ended], self._forgotten[~has_ended]
        return _means(np.sort(finished, order="id"))

    def so_far(self) -> FinishedInstances | None:
        """All tracks, with the mean class probabilities until now; None if there are none."""
        return _means(self._tracks)

    def similarities(self, embeddings: np.ndarray, class_probs: np.ndarray) -> np.ndarray:
        """How alike the tracks and a window's instances are.

        Args:
            embeddings: (I, E), of length 1.
            class_probs: (I, C + 1), "no object" last.

        Returns:
            (N, I) float32, -1 to 1: the highest cosine of the instance's embedding with the track's average or one of
            its exemplars, times how far the class probabilities agree (Bhattacharyya's coefficient, 0 to 1).
        """
        cosines = normalized(self._tracks["looks"].astype(np.float32)) @ embeddings.T  # (N, 1 + exemplars, I)
        is_empty = ~self._tracks["looks"].any(2, keepdims=True)
        cosines = np.where(is_empty, -1, cosines).max(1)
        classes = [x[:, :-1] / x[:, :-1].sum(1, keepdims=True) for x in (self._tracks["class_sum"], class_probs)]
        return cosines * (np.sqrt(classes[0]) @ np.sqrt(classes[1]).T)

    def add(self, ids: np.ndarray, end_frame: int, embeddings: np.ndarray, class_probs: np.ndarray) -> None:
        """Add a window's instances.

        Args:
            ids: (I,) int64, which track each is; those that are not in `ids` are new ones.
            end_frame: of the window, the end exclusive.
            embeddings, class_probs: see `similarities`.
        """
        is_new = ~np.isin(ids, self.ids)
        added = np.zeros(np.count_nonzero(is_new), dtype=self._tracks.dtype)
        added["id"], added["looks"][:, 0] = ids[is_new], embeddings[is_new]
        tracks = np.sort(np.concatenate([self._tracks, added]), order="id")
        rows = np.searchsorted(tracks["id"], ids)
        tracks["end_frame"][rows] = np.maximum(tracks["end_frame"][rows], end_frame)
        tracks["num_windows"][rows] += 1
        tracks["class_sum"][rows] += class_probs
        looks = tracks["looks"][rows].astype(np.float32)  # (I, 1 + exemplars, E)
        looks[:, 0] += self._settings.momentum * (embeddings - looks[:, 0])
        looks[:, 1:] = _least_alike(looks[:, 1:], embeddings)
        tracks["looks"][rows] = looks
        self._tracks = tracks


def _least_alike(exemplars: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    """The exemplars (I, K, E) with one more embedding (I, E) each, less the older one of those two that are most alike;
    less a place where there is none yet, if there is one."""
    candidates = np.concatenate([exemplars, embeddings[:, None]], axis=1)  # (I, K + 1, E), the oldest first
    cosines = candidates @ candidates.transpose(0, 2, 1)
    is_newer = np.triu(np.ones(cosines.shape[1:], dtype=bool), 1)
    alike = np.where(is_newer, cosines, -np.inf).max(2)
    alike[~candidates.any(2)] = np.inf
    is_kept = np.arange(candidates.shape[1]) != alike.argmax(1)[:, None]
    return candidates[is_kept].reshape(exemplars.shape)


def normalized(embeddings: np.ndarray) -> np.ndarray:
    """Those of length 1; zeros stay."""
    return embeddings / np.maximum(np.linalg.norm(embeddings, axis=-1, keepdims=True), EPSILON)


def _means(tracks: np.ndarray) -> FinishedInstances | None:
    if not len(tracks):
        return None
    means = tracks["class_sum"] / tracks["num_windows"][:, None].astype(np.float32)
    return FinishedInstances(tracks["id"].copy(), torch.from_numpy(means))
