# SPDX-License-Identifier: Apache-2.0
"""A frame with all that is known of it, and what takes it in."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pycocotools import mask as mask_api

from ..inference import SegmentedFrame
from ..ytvis.drawing.mask_crops import Crop, crop_masks


@dataclass(frozen=True)
class FinishedFrame:
    """A frame whose masks are final.

    Attributes:
        index: its number among those that are read, from 0.
        time: seconds since the part of the video that is read began.
        image: (H, W, 3) uint8 RGB. Not to be changed.
        segmented: what was found.
        shown: instance id → contiguous class, of the instances of this frame that are confident enough to be shown.
    """

    index: int
    time: float
    image: np.ndarray
    segmented: SegmentedFrame
    shown: dict[int, int]

    @cached_property
    def boxes(self) -> dict[int, list[int]]:
        """Instance id → [x, y, width, height] of its mask, in pixels."""
        masks = self.segmented.masks
        boxes = mask_api.toBbox(list(masks.values())) if masks else []
        return {i: [round(side) for side in box] for i, box in zip(masks, boxes, strict=True)}

    @cached_property
    def crops(self) -> dict[int, Crop]:
        """Instance id → mask in its box, of those that are shown."""
        crops = crop_masks([self.segmented.masks[i] for i in self.shown], self.image.shape[:2])
        return dict(zip(self.shown, crops, strict=True))


class Sink(ABC):
    """One kind of output of one video.

    Attributes:
        files: name in video.json → the file or folder, relative to the video's folder, of what it has written so far
            and is valid.
    """

    files: dict[str, str]

    @abstractmethod
    def write(self, frame: FinishedFrame) -> None:
        """Take in the next frame.

        Raises:
            OSError, ValueError: what is to be written cannot be.
        """

    @abstractmethod
    def close(self, whole: bool) -> None:
        """Make what was written valid.

        Args:
            whole: the video was read to its end.

        Raises:
            OSError, ValueError: as `write`.
        """

    def abandon(self, error: Exception) -> None:  # noqa: B027 - of most outputs what is there is valid
        """Leave nothing that is not valid, after `write` or `close` raised `error`."""
