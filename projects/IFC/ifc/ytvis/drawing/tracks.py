# SPDX-License-Identifier: Apache-2.0
"""Which of a video's tracks are drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .drawer import DrawnObject


@dataclass(frozen=True)
class DrawnTrack:
    """One instance as it is shown.

    Attributes:
        track_id: 1, 2, ... in order of falling score; decides the color.
        class_name: name of its best class.
        score: score of that class, 0 to 1.
        masks: for each frame a compressed RLE {"size": [h, w], "counts": ...}, or None where it is not seen.
    """

    track_id: int
    class_name: str
    score: float
    masks: Sequence[Mapping[str, Any] | None]

    @property
    def label(self) -> str:
        return f"{self.class_name} {self.score:.0%} #{self.track_id}"


def objects_on(tracks: Sequence[DrawnTrack], frame: int) -> list[DrawnObject]:
    """What is drawn onto a frame: the tracks that are seen on it."""
    return [DrawnObject(t.track_id, t.label, t.masks[frame]) for t in tracks if t.masks[frame] is not None]


def select_tracks(
    scores: Sequence[float],
    labels: Sequence[int],
    masks: Sequence[Sequence[Mapping[str, Any] | None]],
    class_names: Sequence[str],
    threshold: float,
) -> list[DrawnTrack]:
    """Choose what is drawn: of each instance its best class, if the score of that is at least `threshold`.

    With MULTI_CLS_ON a model gives several tracks for one instance, one a class. They share one list of masks (the same
    object), by which they are told here.

    Args:
        scores: a score for each track, 0 to 1.
        labels: a class for each track, an index into `class_names`.
        masks: for each track its masks, one a frame (see `DrawnTrack`).
        class_names: the names of the classes.
        threshold: smallest score that is shown.

    Returns:
        The tracks by falling score, numbered from 1. A lower threshold adds tracks at the end and changes no number.
    """
    best_of_instance: dict[int, int] = {}
    for track in sorted(range(len(scores)), key=lambda track: -scores[track]):
        best_of_instance.setdefault(id(masks[track]), track)
    shown = [track for track in best_of_instance.values() if scores[track] >= threshold]
    return [
        DrawnTrack(number, class_names[labels[track]], float(scores[track]), masks[track])
        for number, track in enumerate(shown, start=1)
    ]
