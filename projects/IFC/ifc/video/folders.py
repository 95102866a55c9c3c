# SPDX-License-Identifier: Apache-2.0
"""Folders of frames, and single images."""

import contextlib
import itertools
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from ..ytvis.images import list_frames, read_rgb
from .sources import FOLDER_RATE, FrameSource, TimedFrame, VideoReadError


class FolderReader(FrameSource):
    """The image files of a folder, in natural order (frame2 before frame10). Others and hidden ones are passed over.
    Transparency is ignored, as in training.

    Args:
        path: the folder.
        frame_rate: frames a second that they are taken for.

    Attributes:
        files: the path of each frame.

    Raises:
        VideoReadError: if the folder holds no image file, two of one name but for the ending, or one that cannot be
            read as its first.
    """

    def __init__(self, path: str | os.PathLike[str], frame_rate: Fraction | float = FOLDER_RATE):
        self.path = Path(path)
        self.name = str(path)
        self.frame_rate = frame_rate
        with _as_read_error():
            self.files = self._list_files()
            self.size = read_rgb(self.files[0]).shape[:2]
        self.num_frames = len(self.files)

    def _list_files(self) -> list[Path]:
        return [self.path / name for name in list_frames(self.path)]

    def timed(self, start: float = 0.0, every: int = 1) -> Iterator[TimedFrame]:
        """See `FrameSource`."""
        times = (index / float(self.frame_rate) for index in itertools.count())
        frames = ((time, file) for time, file in zip(times, self.files, strict=False) if time >= start)
        for time, file in itertools.islice(frames, 0, None, every):
            with _as_read_error():
                frame = read_rgb(file, self.size)
            yield TimedFrame(time, frame)


class ImageReader(FolderReader):
    """A single image, as a source of one frame.

    Raises:
        VideoReadError: if the image cannot be read.
    """

    def _list_files(self) -> list[Path]:
        return [self.path]


@contextlib.contextmanager
def _as_read_error() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise VideoReadError(str(error)) from error
