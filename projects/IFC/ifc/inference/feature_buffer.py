# SPDX-License-Identifier: Apache-2.0
"""The features of frames that a later window can hold."""

from collections import deque

from ..modeling.network import FrameFeatures


class FeatureBuffer:
    """The features of a video's latest frames, in the batches in which they were computed."""

    def __init__(self) -> None:
        self._batches: deque[tuple[int, FrameFeatures]] = deque()  # with the index of the first frame
        self._num_frames = 0

    def append(self, features: FrameFeatures) -> None:
        """Add the next frames."""
        self._batches.append((self._num_frames, features))
        self._num_frames += len(features)

    def frames(self, start: int, end: int) -> FrameFeatures:
        """The features of the frames start … end - 1: a view where one batch holds them all."""
        return FrameFeatures.cat(
            [
                features[max(start - first, 0) : end - first]
                for first, features in self._batches
                if first < end and start < first + len(features)
            ]
        )

    def drop(self, before: int) -> None:
        """Forget the batches that lie before frame `before`."""
        while self._batches and self._batches[0][0] + len(self._batches[0][1]) <= before:
            self._batches.popleft()
