# SPDX-License-Identifier: Apache-2.0
"""What every source of frames is: (H, W, 3) uint8 RGB arrays of one size, in order, each with its time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .sound import Sound

FOLDER_RATE = 10.0  # frames a second of folders of frames, which have no clock
_TIME_BASE = Fraction(1, 90000)  # MPEG's


class VideoReadError(ValueError):
    """A video, folder of frames or image that cannot be read. The message names it."""


class TimedFrame(NamedTuple):
    """A frame and its time.

    Attributes:
        time: seconds since the source's first frame.
        image: (H, W, 3) uint8 RGB.
    """

    time: float
    image: np.ndarray


class FrameSource(ABC):
    """Frames of one size, in order. Sources are lazy and hold one frame at a time.

    Attributes:
        name: the file, folder or address as messages call it.
        path: the file or folder; None for what is none.
        size: (height, width) of every frame.
        frame_rate: frames a second: of a file what its header says, an average where the rate varies.
        num_frames: the number of frames if it is known without reading them. For a video file this is what its header
            says, which is an estimate: only iteration tells.
        time_base: seconds, of which every frame's time is a multiple.
        is_live: the frames come by themselves: what is not taken in time is lost.
        is_repeatable: it may be iterated as often as wanted, each time from the beginning.
    """

    name: str
    path: Path | None = None
    size: tuple[int, int]
    frame_rate: Fraction | float
    num_frames: int | None = None
    time_base: Fraction = _TIME_BASE
    is_live = False
    is_repeatable = True

    @abstractmethod
    def timed(self, start: float = 0.0, every: int = 1) -> Iterator[TimedFrame]:
        """
        Args:
            start: seconds; the frames before it are left out.
            every: of the others the first of so many is wanted.

        Yields:
            The frames, with their times.

        Raises:
            VideoReadError: at a frame that cannot be read or has another size; all frames before it have been yielded.
        """

    def __iter__(self) -> Iterator[np.ndarray]:
        """
        Yields:
            All frames' (H, W, 3) uint8 RGB arrays.

        Raises:
            VideoReadError: as `timed`.
        """
        for frame in self.timed():
            yield frame.image

    def sound(self, start: float) -> Sound | None:
        """What is heard from `start` (seconds) on; None if there is nothing."""
        return None

    def require_size(self, index: int, size: tuple[int, int]) -> None:
        """Raise VideoReadError if a frame is not of the source's size."""
        if size != self.size:
            found, expected = ("{1}x{0}".format(*sides) for sides in (size, self.size))
            expected = f"expected {expected}, as the frames before it"
            raise VideoReadError(f"{self.name}: frame {index} is {found} (width x height), {expected}")


@dataclass(frozen=True)
class Part:
    """The part of a source that is wanted.

    Attributes:
        start: seconds; the first frame is the first that is not before it.
        end: seconds; the frames from there on are left out. None for none.
        every: of the others the first of so many is taken: 1 for all.
    """

    start: float = 0.0
    end: float | None = None
    every: int = 1

    def frames(self, source: FrameSource) -> Iterator[TimedFrame]:
        """The frames, with times since `start`.

        Raises:
            VideoReadError: as `FrameSource.timed`.
        """
        for time, image in source.timed(self.start, self.every):
            if self.end is not None and time >= self.end:
                return
            yield TimedFrame(time - self.start, image)

    def num_frames(self, source: FrameSource) -> int | None:
        """About how many frames that is, if it is known."""
        ends = [] if self.end is None else [self.end]
        if source.num_frames is not None:
            ends.append(source.num_frames / source.frame_rate)
        if not ends:
            return None
        if self == Part():
            return source.num_frames
        return max(0, round((min(ends) - self.start) * source.frame_rate / self.every))

    def frame_rate(self, source: FrameSource) -> Fraction | float:
        """Frames a second of what is left."""
        return source.frame_rate / self.every
