# SPDX-License-Identifier: Apache-2.0
"""What is kept of a video's tracks until its end: classes, scores, and where their masks stand in objects.jsonl."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..inference import SegmentedFrame
from ..predictor import Classes


@dataclass
class KeptTrack:
    """An instance. The masks take 12 bytes each.

    Attributes:
        label, score: the most probable class, so far or final.
        classes: label → score of its tracks in results.json.
        frames: the index of each frame with a mask.
        places: where in objects.jsonl the mask stands, of each of them; empty if it is not needed any more.
    """

    label: int = 0
    score: float = 0.0
    classes: dict[int, float] = field(default_factory=dict)
    frames: array = field(default_factory=lambda: array("L"))
    places: array = field(default_factory=lambda: array("Q"))
    first: int = -1
    last: int = -1
    count: int = 0


class TrackBook:
    """All instances of a video.

    Args:
        threshold: smallest score of a track in results.json.
    """

    def __init__(self, threshold: float):
        self._threshold = threshold
        self._tracks: dict[int, KeptTrack] = {}

    def add(self, frame: SegmentedFrame, places: dict[int, int]) -> None:
        """Note a frame; `places` says where in objects.jsonl its masks begin."""
        for i in frame.masks:
            track = self._tracks.setdefault(i, KeptTrack(first=frame.index))
            track.label, track.score = frame.labels[i], frame.scores[i]
            track.classes = {track.label: track.score}
            track.last, track.count = frame.index, track.count + 1
            track.frames.append(frame.index)
            track.places.append(places[i])
        for ended in frame.ended:
            track = self._tracks.setdefault(ended.instance_id, KeptTrack())
            track.label, track.score, track.classes = ended.label, ended.score, ended.tracks
            if not self._classes(track):
                track.frames, track.places = array("L"), array("Q")

    def _classes(self, track: KeptTrack) -> dict[int, float]:
        return {label: score for label, score in sorted(track.classes.items()) if score >= self._threshold}

    def results(self) -> Iterator[tuple[int, float, KeptTrack]]:
        """Label, score and instance of each track of results.json, by instance and label."""
        for _, track in sorted(self._tracks.items()):
            for label, score in self._classes(track).items():
                yield label, score, track

    def as_json(self, classes: Classes) -> list[dict[str, Any]]:
        """The tracks of video.json: every instance that has a mask, under its most probable class."""
        return [
            {
                "id": i,
                "category_id": classes.ids[track.label],
                "score": round(track.score, 6),
                "first_frame": track.first,
                "last_frame": track.last,
                "num_frames": track.count,
            }
            for i, track in sorted(self._tracks.items())
            if track.count
        ]
