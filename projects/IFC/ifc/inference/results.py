# SPDX-License-Identifier: Apache-2.0
"""What inference on a video gives: frames of masks, and tracks with a score and a label."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .run_lengths import Rle
from .tracker import FinishedInstances


@dataclass(frozen=True)
class FrameMasks:
    """The final masks of one frame.

    Attributes:
        index: the frame's index in the video.
        masks: instance id → mask at the output size. An instance whose mask is empty is left out.
    """

    index: int
    masks: dict[int, Rle]


@dataclass(frozen=True)
class Track:
    """An instance of the video under one class.

    Attributes:
        instance_id: the same for all tracks of one instance.
        label: contiguous class index.
        score: the class's probability.
        masks: one RLE a frame, None where the mask is empty. Tracks of one instance share the list.
    """

    instance_id: int
    label: int
    score: float
    masks: list[Rle | None]


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
    def masks(self) -> list[list[Rle | None]]:
        """One list a track, with one entry a frame."""
        return [track.masks for track in self.tracks]


def build_prediction(
    frames: Iterable[FrameMasks],
    instances: Iterable[FinishedInstances],
    output_size: tuple[int, int],
    *,
    multi_cls_on: bool,
    apply_cls_thres: float,
) -> VideoPrediction:
    """Tracks from the masks of all frames and the class probabilities of all instances.

    Args:
        frames: every frame of the video, in order.
        instances: every instance of the video, once.
        output_size: (height, width) of the masks.
        multi_cls_on: one track for every (instance, class) whose probability is above `apply_cls_thres`; otherwise one
            track for every instance, with its most probable class, whatever its probability.
        apply_cls_thres: see `multi_cls_on`.
    """
    frames = list(frames)
    tracks = []
    for batch in instances:
        probs = batch.class_probs[:, :-1].cpu().numpy()  # without "no object"
        if multi_cls_on:
            rows, labels = np.nonzero(probs > apply_cls_thres)
        else:
            rows, labels = np.arange(len(probs)), probs.argmax(1)
        instance_masks = {i: [frame.masks.get(i) for frame in frames] for i in batch.ids[np.unique(rows)].tolist()}
        for i, label, score in zip(
            batch.ids[rows].tolist(), labels.tolist(), probs[rows, labels].tolist(), strict=True
        ):
            tracks.append(Track(i, label, score, instance_masks[i]))
    tracks.sort(key=lambda track: (track.instance_id, track.label))
    return VideoPrediction(output_size, len(frames), tracks)
