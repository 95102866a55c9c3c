# SPDX-License-Identifier: Apache-2.0
"""Reading video: frames as (H, W, 3) uint8 RGB arrays.

`open_frames` gives one interface, `FrameSource`, to video files, folders of frames and single images.
Sources are lazy, hold one frame at a time, and may be iterated as often as wanted: a long video is read twice
(once for the network, once for the drawing) rather than kept in memory.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.container
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition

from ..ytvis.images import SUFFIXES, list_frames, read_rgb

# Titles that are not UTF-8 are no reason to reject a video. PyAV accepts them by itself from version 19 on.
_LENIENT_METADATA = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}


class VideoReadError(ValueError):
    """A video, folder of frames or image that cannot be read. The message names the file."""


class FrameSource(ABC):
    """Frames of one size, in order.

    Attributes:
        path: the file or folder.
        size: (height, width) of every frame.
        frame_rate: frames a second; None for frames that have no clock (folders and images).
        num_frames: the number of frames if it is known without reading them. For a video file this is what its header
            says, which is an estimate: only iteration tells.
    """

    path: Path
    size: tuple[int, int]
    frame_rate: Fraction | None
    num_frames: int | None

    @abstractmethod
    def __iter__(self) -> Iterator[np.ndarray]:
        """
        Yields:
            (H, W, 3) uint8 RGB frames, read from the beginning.

        Raises:
            VideoReadError: at a frame that cannot be read or has another size; all frames before it have been yielded.
        """


class VideoReader(FrameSource):
    """A video file, decoded by PyAV. Quarter turns and mirroring that the file asks for (phones) are applied.

    Raises:
        VideoReadError: if the file is no video or not one of its frames can be decoded.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        with self._open() as (container, stream):
            self.frame_rate = stream.average_rate or stream.guessed_rate
            self.num_frames = _estimate_num_frames(container, stream, self.frame_rate)
            first_frame = next(self._decode(container, stream), None)
        if first_frame is None:
            raise VideoReadError(f"{self.path}: unreadable video: its video stream holds no frame")
        if self.frame_rate is None:
            raise VideoReadError(f"{self.path}: unreadable video: it has no frame rate")
        self.size = first_frame.shape[:2]

    def __iter__(self) -> Iterator[np.ndarray]:
        with self._open() as (container, stream):
            for index, frame in enumerate(self._decode(container, stream)):
                if frame.shape[:2] != self.size:
                    found, expected = ("{1}x{0}".format(*size) for size in (frame.shape, self.size))
                    expected = f"expected {expected}, as the frames before it"
                    raise VideoReadError(f"{self.path}: frame {index} is {found} (width x height), {expected}")
                yield frame

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
        try:
            # "file:" keeps FFmpeg from taking a colon in the name for a protocol.
            container = av.open(f"file:{self.path}", **_LENIENT_METADATA)
        except (av.FFmpegError, OSError) as error:
            raise VideoReadError(f"{self.path}: unreadable video: {_reason(error)}") from error
        with container:
            streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
            # FFmpeg renders text files as films of a terminal ("tty"), which nobody means.
            if not streams or container.format.name == "tty":
                raise VideoReadError(f"{self.path}: unreadable video: the file has no video stream")
            yield container, streams[0]

    def _decode(self, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[np.ndarray]:
        """RGB frames up to the end or, with an error, to the first one that is damaged."""
        num_decoded = 0
        frames = container.decode(stream)
        while True:
            try:
                frame = next(frames, None)
            except av.FFmpegError as error:
                raise self._broken_at(num_decoded, _reason(error)) from error
            if frame is None:
                return
            if frame.is_corrupt:
                raise self._broken_at(num_decoded, "the frame is damaged")
            yield _to_upright_rgb(frame)
            num_decoded += 1

    def _broken_at(self, index: int, reason: str) -> VideoReadError:
        if index == 0:
            return VideoReadError(f"{self.path}: unreadable video: no frame can be decoded ({reason})")
        return VideoReadError(f"{self.path}: the video breaks at frame {index} (counted from 0): {reason}")


class FolderReader(FrameSource):
    """The image files of a folder, in natural order (frame2 before frame10). Others and hidden ones are passed over.

    Attributes:
        files: the path of each frame.

    Raises:
        VideoReadError: if the folder holds no image file, two of one name but for the ending, or one that cannot be
            read as its first.
    """

    frame_rate = None

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        with _as_read_error():
            self.files = self._list_files()
            self.size = read_rgb(self.files[0]).shape[:2]
        self.num_frames = len(self.files)

    def _list_files(self) -> list[Path]:
        return [self.path / name for name in list_frames(self.path)]

    def __iter__(self) -> Iterator[np.ndarray]:
        for file in self.files:
            with _as_read_error():
                frame = read_rgb(file, self.size)
            yield frame


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
    except ValueError as error:
        raise VideoReadError(str(error)) from error


def open_frames(path: str | os.PathLike[str]) -> FrameSource:
    """Open a folder of frames, an image (known by its suffix) or, whatever else it is, a video file.

    Raises:
        VideoReadError: if there is nothing at `path` or it cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        return FolderReader(path)
    if not path.exists():
        raise VideoReadError(f"{path}: no such file or folder")
    if not path.is_file():
        raise VideoReadError(f"{path}: found a pipe or a device, expected a file or a folder, which is read repeatedly")
    return ImageReader(path) if path.suffix.lower() in SUFFIXES else VideoReader(path)


def _estimate_num_frames(
    container: av.container.InputContainer, stream: av.VideoStream, frame_rate: Fraction | None
) -> int | None:
    if stream.frames > 0:
        return stream.frames
    if container.duration is None or frame_rate is None:
        return None
    return round(container.duration * frame_rate / av.time_base)


def _to_upright_rgb(frame: av.VideoFrame) -> np.ndarray:
    rgb = frame.to_ndarray(format="rgb24")
    side_data = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    if side_data is None:
        return rgb
    # ISO 14496-12: x' = a x + c y, y' = b x + d y; angles between quarter turns are taken for the nearest one.
    (a, b), (c, d) = np.frombuffer(bytes(side_data), dtype=np.int32).reshape(3, 3)[:2, :2].tolist()
    if abs(a) + abs(d) < abs(b) + abs(c):
        rgb, a, d = rgb.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(rgb[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
