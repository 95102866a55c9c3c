# SPDX-License-Identifier: Apache-2.0
"""What inference on a video gives: frames of masks, and tracks with a score and a label."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..ytvis.masks import Rle
from .live_instances import FinishedInstances
from .settings import InferenceSettings


@dataclass(frozen=True)
class FrameMasks:
    """The final masks of one frame.

    Attributes:
        index: the frame's index in the video.
        masks: instance id → mask at the output size. An instance whose mask is empty is left out.
    """

    index: int
    masks: dict[int, Rle]


class TrackMasks(Sequence[Rle | None]):
    """A track's masks, one a frame, None where it is empty. Takes memory for the frames alone that have one.

    Equal to any sequence with the same masks.

    Args:
        num_frames: frames of the video.
        rles: index of a frame → its mask.
    """

    def __init__(self, num_frames: int, rles: dict[int, Rle]):
        self._num_frames = num_frames
        self._rles = rles

    def __len__(self) -> int:
        return self._num_frames

    def __getitem__(self, index: int | slice) -> Rle | None | list[Rle | None]:
        frames = range(self._num_frames)[index]
        return [self._rles.get(t) for t in frames] if isinstance(index, slice) else self._rles.get(frames)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TrackMasks):
            return self._num_frames == other._num_frames and self._rles == other._rles
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None


@dataclass(frozen=True)
class Track:
    """An instance of the video under one class.

    Attributes:
        instance_id: the same for all tracks of one instance.
        label: contiguous class index.
        score: the class's probability.
        masks: one RLE a frame, None where the mask is empty. Tracks of one instance share them.
    """

    instance_id: int
    label: int
    score: float
    masks: Sequence[Rle | None]


@dataclass(frozen=True)
class VideoPrediction:
    """All tracks of a video.

    Attributes:
        image_size: (height, width) of the masks.
        num_frames: frames of the video.
        tracks: ordered by instance id, then by label.
    """

    image_size: tuple[int, int]
    num_frames: int
    tracks: list[Track]

    @property
    def scores(self) -> list[float]:
        """One a track."""
        return [track.score for track in self.tracks]

    @property
    def labels(self) -> list[int]:
        """One a track."""
        return [track.label for track in self.tracks]

    @property
    def masks(self) -> list[Sequence[Rle | None]]:
        """One sequence a track, with one entry a frame."""
        return [track.masks for track in self.tracks]


def build_prediction(
    frames: Iterable[FrameMasks],
    instances: Iterable[FinishedInstances],
    output_size: tuple[int, int],
    settings: InferenceSettings,
    num_frames: int | None = None,
) -> VideoPrediction:
    """Tracks from the masks of all frames and the class probabilities of all instances.

    Args:
        frames: every frame of the video, in order.
        instances: every instance of the video, once.
        output_size: (height, width) of the masks.
        settings: say which classes an instance has tracks of.
        num_frames: of the video, where its last frames could not be read: they have no masks.
    """
    rles: dict[int, dict[int, Rle]] = defaultdict(dict)  # instance id → frame → mask
    num_read = 0
    for frame in frames:
        num_read += 1
        for i, rle in frame.masks.items():
            rles[i][frame.index] = rle
    num_frames = max(num_frames or 0, num_read)
    tracks = []
    for batch in instances:
        for i, classes in classes_of_tracks(batch, settings).items():
            masks = TrackMasks(num_frames, rles[i])
            tracks += [Track(i, label, score, masks) for label, score in classes.items()]
    tracks.sort(key=lambda track: (track.instance_id, track.label))
    return VideoPrediction(output_size, num_frames, tracks)


def classes_of_tracks(instances: FinishedInstances, settings: InferenceSettings) -> dict[int, dict[int, float]]:
    """For each instance the classes under which it is a track, label → score; it may have none.

    Args:
        instances: N of them.
        settings: say which classes an instance has tracks of.
    """
    probs = instances.class_probs[:, :-1].cpu().numpy()  # without "no object"
    if settings.multi_cls_on:
        rows, labels = np.nonzero(probs > settings.apply_cls_thres)
    else:
        rows, labels = np.arange(len(probs)), probs.argmax(1)
    classes: dict[int, dict[int, float]] = {i: {} for i in instances.ids.tolist()}
    for i, label, score in zip(
        instances.ids[rows].tolist(), labels.tolist(), probs[rows, labels].tolist(), strict=True
    ):
        classes[i][label] = score
    return classes
