# SPDX-License-Identifier: Apache-2.0
"""Association by embeddings as its definition reads: every track's history is gone through again for every pair."""

import numpy as np
from inference.dense_tracker import Window

from ifc.inference import AssociationSettings


class DenseAssociation:
    """What `dense_tracker.track` takes as `rescore`.

    Attributes:
        gone: the instances that are forgotten for good.
    """

    def __init__(self, windows: list[Window], settings: AssociationSettings):
        self.windows, self.settings = windows, settings
        self.gone: set[int] = set()

    def __call__(self, assignment: list[np.ndarray], ious: np.ndarray) -> np.ndarray:
        n, scores = len(assignment), np.zeros(ious.shape)
        window = self.windows[n]
        history = {
            i: [(m, ids.tolist().index(i)) for m, ids in enumerate(assignment) if i in ids] for i in range(len(ious))
        }
        absence = {i: window.first_frame - 1 - self.windows[held[-1][0]].frames[-1] for i, held in history.items()}
        absent = sorted((absence[i], i) for i in history if absence[i] > 0 and i not in self.gone)
        self.gone |= {i for _, i in absent[self.settings.memory_tracks :]}
        self.gone |= {i for frames, i in absent if frames > self.settings.memory_frames}
        for i, j in np.ndindex(*scores.shape):
            if i in self.gone:
                continue
            alike = self.similarity(history[i], window, j)
            if ious[i, j] > 0 or (alike >= self.settings.similarity and not self.seen_together(history[i], n, j)):
                scores[i, j] = self.settings.mask_weight * ious[i, j] + self.settings.embedding_weight * max(alike, 0)
        return scores

    def similarity(self, held: list[tuple[int, int]], window: Window, j: int) -> float:
        average, exemplars = None, []
        for m, k in held:
            embedding = unit(self.windows[m].embeddings[k])
            average = half(embedding) if average is None else average
            average = half(average + np.float32(self.settings.momentum) * (embedding - average))
            if self.settings.exemplars:
                exemplars = self.keep_unlike([*exemplars, embedding])
        probs = np.mean([self.windows[m].class_probs[k].astype(np.float64) for m, k in held], axis=0)[:-1]
        other = window.class_probs[j].astype(np.float64)[:-1]
        agreement = np.sqrt(probs / probs.sum() * other / other.sum()).sum()
        return agreement * max(unit(look) @ unit(window.embeddings[j]) for look in [average, *exemplars])

    def keep_unlike(self, exemplars: list[np.ndarray]) -> list[np.ndarray]:
        if len(exemplars) > self.settings.exemplars:
            pairs = [(x @ y, m) for m, x in enumerate(exemplars) for y in exemplars[m + 1 :]]
            exemplars.pop(max(pairs)[1])
        return [half(x) for x in exemplars]

    def seen_together(self, held: list[tuple[int, int]], n: int, j: int) -> bool:
        """Whether both masks have a pixel on a frame that a window of the last T and window n share."""
        window = self.windows[n]
        for m, k in held:
            earlier = self.windows[m]
            for t in set(earlier.frames) & set(window.frames) if m >= n - len(window.frames) else ():
                masks = earlier.mask_logits[k, t - earlier.first_frame], window.mask_logits[j, t - window.first_frame]
                if all((mask > 0).any() for mask in masks):
                    return True
        return False


def unit(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64) / np.linalg.norm(x.astype(np.float64))


def half(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float16).astype(np.float64)
