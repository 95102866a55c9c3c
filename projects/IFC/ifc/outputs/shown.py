# SPDX-License-Identifier: Apache-2.0
"""Which tracks are shown while their scores are not final yet."""

from dataclasses import dataclass

from ..inference import SegmentedFrame

_HIDDEN_BELOW = 0.8  # of the threshold
_FRAMES_TO_RENAME = 5  # that another class has to be the most probable one for


@dataclass
class _Track:
    label: int
    is_shown: bool = False
    rival: int = -1  # the class that it may turn into
    frames_of_rival: int = 0


class ShownTracks:
    """Decides, frame by frame, which tracks are shown and under which class, so that neither flickers: a track appears
    when its score so far reaches the threshold, goes when it falls below 0.8 of it, and changes its class when another
    one was the most probable for 5 of its frames in a row.

    Args:
        threshold: smallest score of a track that appears.
    """

    def __init__(self, threshold: float):
        self._threshold = threshold
        self._tracks: dict[int, _Track] = {}

    def update(self, frame: SegmentedFrame) -> dict[int, int]:
        """Instance id → class, of those of the next frame's instances that are shown."""
        shown = {}
        for i in sorted(frame.masks):
            track = self._tracks.setdefault(i, _Track(frame.labels[i]))
            self._rename(track, frame.labels[i])
            track.is_shown = frame.scores[i] >= self._threshold * (_HIDDEN_BELOW if track.is_shown else 1)
            if track.is_shown:
                shown[i] = track.label
        for ended in frame.ended:
            self._tracks.pop(ended.instance_id, None)
        return shown

    def _rename(self, track: _Track, label: int) -> None:
        if label == track.label or not track.is_shown:
            track.label, track.frames_of_rival = label, 0
            return
        track.frames_of_rival = track.frames_of_rival + 1 if label == track.rival else 1
        track.rival = label
        if track.frames_of_rival >= _FRAMES_TO_RENAME:
            track.label, track.frames_of_rival = label, 0
