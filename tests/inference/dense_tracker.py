# SPDX-License-Identifier: Apache-2.0
"""The clip tracker as its definition reads, in float64 with dense arrays over windows, instances and frames.

Slow and with memory that grows with the square of the video's length: what the real tracker is measured against.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True)
class Window:
    """class_probs (I, C + 1) and mask_logits (I, T', h, w) of the frames first_frame, first_frame + 1, …, and
    embeddings (I, E) where they count."""

    first_frame: int
    class_probs: np.ndarray
    mask_logits: np.ndarray
    embeddings: np.ndarray | None = None

    @property
    def frames(self) -> np.ndarray:
        return self.first_frame + np.arange(self.mask_logits.shape[1])


def window_starts(num_frames: int, window: int, stride: int) -> list[int]:
    """First frames of the windows over a video; the last one ends with the video."""
    starts = list(range(0, max(num_frames - window, 0), stride))
    return [*starts, max(num_frames - window, 0)]


def track(
    windows: list[Window], num_frames: int, rescore: Callable[[list[np.ndarray], np.ndarray], np.ndarray] | None = None
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """
    Args:
        rescore: the assignment so far and the scores by masks of the instances until then and the next window's (N, I)
            → the scores of which those above 0 may match; None for those by masks.

    Returns:
        The instance of each window's instances; the instances' mean class probabilities (N, C + 1); their mean mask
        logits (N, V, h, w), NaN on a frame on which no window holds the instance.
    """
    num_windows, max_instances = len(windows), sum(len(w.class_probs) for w in windows)
    num_classes = windows[0].class_probs.shape[1]
    mask_size = windows[0].mask_logits.shape[2:]
    probs = np.zeros((num_windows, max_instances, num_frames, *mask_size))
    logits = np.zeros_like(probs)
    held = np.zeros((num_windows, max_instances, num_frames), dtype=bool)
    class_probs = np.zeros((num_windows, max_instances, num_classes))

    count, assignment = 0, []
    for n, window in enumerate(windows):
        window_logits = window.mask_logits.astype(np.float64)
        window_probs = 1 / (1 + np.exp(-window_logits))
        scores = np.zeros((count, len(window_probs)))
        for i in range(count):
            for j in range(len(window_probs)):
                total, holding = 0.0, 0
                for earlier in range(max(n - len(window.frames), 0), n):
                    shared = [t for t, frame in enumerate(window.frames) if held[earlier, i, frame]]
                    if shared:
                        s, p = probs[earlier, i, window.frames[shared]], window_probs[j, shared]
                        total += (s * p).sum() / ((s + p - s * p).sum() + 1e-6)
                        holding += 1
                scores[i, j] = total / (holding + 1e-6)
        scores[scores <= 0.05] = 0
        if rescore is not None:
            scores = rescore(assignment, scores)
        ids = np.full(len(window_probs), -1)
        for i, j in zip(*linear_sum_assignment(scores, maximize=True), strict=True):
            if scores[i, j] > 0:
                ids[j] = i
        for j in range(len(window_probs)):
            if ids[j] < 0:
                ids[j] = count
                count += 1
            probs[n, ids[j], window.frames] = window_probs[j]
            logits[n, ids[j], window.frames] = window_logits[j]
            held[n, ids[j], window.frames] = True
            class_probs[n, ids[j]] = window.class_probs[j]
        assignment.append(ids)

    with np.errstate(invalid="ignore"):
        mean_logits = logits.sum(0)[:count] / held.sum(0)[:count, :, None, None]
    mean_probs = class_probs.sum(0)[:count] / held.any(2).sum(0)[:count, None]
    return assignment, mean_probs, mean_logits


def random_windows(
    rng: np.random.Generator, num_frames: int, window: int, stride: int, mask_size: tuple[int, int] = (4, 5)
) -> list[Window]:
    """Windows over objects that come and go: each window sees some of the objects, in any order, with noise."""
    num_objects, num_classes = int(rng.integers(0, 6)), 3
    looks = rng.spawn(1)[0]  # whose numbers leave the others as they are
    # Of some of the objects the same, so that they are mistaken for each other.
    appearance, kinds = looks.normal(0, 1, (3, 8)), looks.integers(0, 3, num_objects)
    objects = rng.normal(-2, 4, (num_objects, num_frames, *mask_size))
    first = rng.integers(0, num_frames, num_objects)
    last = np.minimum(first + rng.integers(0, 2 * window + 1, num_objects), num_frames - 1)
    windows = []
    for start in window_starts(num_frames, window, stride):
        end = min(start + window, num_frames)
        present = np.flatnonzero((first < end) & (last >= start) & (rng.random(num_objects) < 0.85))
        rng.shuffle(present)
        logits = objects[present, start:end] + rng.normal(0, 1, (len(present), end - start, *mask_size))
        class_probs = rng.dirichlet(np.ones(num_classes + 1), len(present))
        embeddings = appearance[kinds[present]] + looks.normal(0, 0.4, (len(present), 8))
        windows.append(Window(start, *(x.astype(np.float32) for x in (class_probs, logits, embeddings))))
    return windows
