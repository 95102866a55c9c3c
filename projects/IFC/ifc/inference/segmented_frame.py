# SPDX-License-Identifier: Apache-2.0
"""What a program of one's own gets of a stream: frames with masks, classes and scores, and the instances that ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from pycocotools import mask as coco_mask

from ..ytvis.masks import Rle
from .results import classes_of_tracks
from .settings import InferenceSettings
from .video import StreamOutput

if TYPE_CHECKING:
    import supervision


@dataclass(frozen=True)
class EndedInstance:
    """An instance whose last frame is past.

    Attributes:
        instance_id: as in the frames.
        label: the most probable class.
        score: its probability.
        tracks: label → score of the tracks that `VideoSegmenter.__call__` gives for it.
    """

    instance_id: int
    label: int
    score: float
    tracks: dict[int, float]


@dataclass(frozen=True)
class SegmentedFrame:
    """A frame whose masks are final, as `VideoSegmenter.stream` yields it.

    Attributes:
        index: the frame's index in the video.
        size: its (height, width).
        masks: instance id → mask at the frame's size. The ids stay the same through the video.
        labels: instance id → contiguous class, the most probable one so far.
        scores: instance id → that class's probability so far. Both are final with the instance's last frame.
        class_names: the name of each contiguous class.
        ended: the instances that no later frame shows, with what is final of them.
    """

    index: int
    size: tuple[int, int]
    masks: dict[int, Rle]
    labels: dict[int, int]
    scores: dict[int, float]
    class_names: Sequence[str] = field(repr=False)
    ended: list[EndedInstance] = field(default_factory=list)

    def arrays(self) -> np.ndarray:
        """The masks, in their order, as (N, height, width) bool."""
        if not self.masks:
            return np.zeros((0, *self.size), dtype=bool)
        return coco_mask.decode(list(self.masks.values())).transpose(2, 0, 1).astype(bool)

    def to_supervision(self) -> supervision.Detections:
        """The instances for supervision: `xyxy`, `mask`, `class_id`, `confidence`, `tracker_id` and, as
        `data["class_name"]`, the names.

        Raises:
            ImportError: if supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            message = f"to_supervision: needs supervision: pip install 'detectron2-ifc[supervision]' ({error})"
            raise ImportError(message) from error
        boxes = coco_mask.toBbox(list(self.masks.values())).reshape(-1, 4)  # x, y, width, height
        labels = [self.labels[i] for i in self.masks]
        return supervision.Detections(
            xyxy=np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]),
            mask=self.arrays(),
            class_id=np.array(labels, dtype=int),
            confidence=np.array([self.scores[i] for i in self.masks], dtype=float),
            tracker_id=np.array(list(self.masks), dtype=int),
            data={"class_name": np.array([self.class_names[label] for label in labels], dtype=str)},
        )


def with_classes(
    output: StreamOutput,
    classes: dict[int, tuple[int, float]],
    settings: InferenceSettings,
    size: tuple[int, int],
    class_names: Sequence[str],
) -> Iterator[SegmentedFrame]:
    """The frames, of `size` (height, width), that became final. `classes` has the label and score of each instance, as
    long as frames with it may come: here it learns of those that ended and of those that run on, and forgets the
    others.
    """
    running = [] if output.running is None else [output.running]
    for instances in (*output.instances, *running):
        scores, labels = instances.class_probs[:, :-1].max(1)
        classes |= zip(instances.ids.tolist(), zip(labels.tolist(), scores.tolist(), strict=True), strict=True)
    ended = [
        EndedInstance(i, *classes[i], tracks)
        for instances in output.instances
        for i, tracks in classes_of_tracks(instances, settings).items()
    ]
    for frame in output.frames:
        labels, scores = ({i: classes[i][part] for i in frame.masks} for part in range(2))
        # An instance ends where a frame does, the last of those that came with it.
        is_last = frame is output.frames[-1]
        yield SegmentedFrame(frame.index, size, frame.masks, labels, scores, class_names, ended if is_last else [])
    for i in classes.keys() - {i for instances in running for i in instances.ids.tolist()}:
        del classes[i]
