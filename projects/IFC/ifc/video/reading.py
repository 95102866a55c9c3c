# SPDX-License-Identifier: Apache-2.0
"""
Reading and writing of video: frames come in as (H, W, 3) uint8 RGB arrays and go out the same way.

:func:`open_frames` gives one interface, :class:`FrameSource`, to video files, folders of frames and single images.
Sources are lazy, hold one frame at a time, and may be iterated as often as wanted: a long video is read twice
(once for the network, once for the drawing) rather than kept in memory.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import av.container
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.reformatter import ColorRange, Colorspace
from detectron2.data.detection_utils import read_image
from PIL import Image

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")

# Titles that are not UTF-8 are no reason to reject a video. PyAV accepts them by itself from version 19 on.
_LENIENT_METADATA = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}

_BT709 = 1  # the code of BT.709 in H.264's tables of primaries, transfer functions and matrices


class VideoReadError(ValueError):
    """A video, folder of frames or image that cannot be read. The message names the file and, where there is one, the
    frame."""


class VideoWriteError(OSError):
    """A video that cannot be written. The message names the file."""


class FrameSource(ABC):
    """
    Frames of one size, in order.

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
    """
    A video file, decoded by PyAV. Quarter turns and mirroring that the file asks for (phones) are applied.

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
                    raise VideoReadError(_size_change(f"{self.path}: frame {index}", frame, self.size))
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
    """
    The image files of a folder, in natural order (frame2 before frame10). Other files and hidden ones are passed over.

    Raises:
        VideoReadError: if the folder holds no image file or the first one cannot be read.
    """

    frame_rate = None

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.files = sorted(
            (f for f in self.path.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith(".")),
            key=_natural_key,
        )
        if not self.files:
            raise VideoReadError(f"{self.path}: the folder holds no frame ({', '.join(IMAGE_SUFFIXES)})")
        self.num_frames = len(self.files)
        self.size = _read_rgb(self.files[0]).shape[:2]

    def __iter__(self) -> Iterator[np.ndarray]:
        for index, file in enumerate(self.files):
            frame = _read_rgb(file)
            if frame.shape[:2] != self.size:
                raise VideoReadError(_size_change(f"{file}: frame {index}", frame, self.size))
            yield frame


class ImageReader(FrameSource):
    """
    A single image, as a source of one frame.

    Raises:
        VideoReadError: if the image cannot be read.
    """

    frame_rate = None
    num_frames = 1

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.size = _read_rgb(self.path).shape[:2]

    def __iter__(self) -> Iterator[np.ndarray]:
        yield _read_rgb(self.path)


def open_frames(path: str | os.PathLike[str]) -> FrameSource:
    """
    Open a folder of frames, an image (known by its suffix) or, whatever else it is, a video file.

    Raises:
        VideoReadError: if there is nothing at ``path`` or it cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        return FolderReader(path)
    if not path.exists():
        raise VideoReadError(f"{path}: no such file or folder")
    if not path.is_file():
        raise VideoReadError(f"{path}: found a pipe or a device, expected a file or a folder, which is read repeatedly")
    return ImageReader(path) if path.suffix.lower() in IMAGE_SUFFIXES else VideoReader(path)


class VideoWriter:
    """
    Write an MP4 file that browsers play: H.264, yuv420p, BT.709, the index in front of the frames.

    A context manager. The file appears under its name when the context ends without an error; until then it has a
    temporary name in the same folder, and after an error nothing is left. H.264's 4:2:0 sampling wants even sizes: a
    frame of odd height or width gets its last row or column twice.

    Args:
        path: the file to write; an existing one is replaced.
        frame_rate: frames a second.

    Raises:
        VideoWriteError: by any method, if the file cannot be written or its frames are larger than `max_side`.

    Example:
        >>> with VideoWriter("overlay.mp4", frame_rate=reader.frame_rate) as writer:
        ...     for frame in reader:
        ...         writer.write(frame)
    """

    max_side = 16384  # pixels; libx264 has no larger pictures

    def __init__(self, path: str | os.PathLike[str], frame_rate: Fraction | float):
        if not (math.isfinite(frame_rate) and frame_rate > 0):
            raise ValueError(f"{path}: frame_rate is {frame_rate}, expected a positive number")
        self.path = Path(path)
        self.frame_rate = _small_fraction(frame_rate)
        self.num_frames = 0
        self._partial_path = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._container: av.container.OutputContainer | None = None
        self._size: tuple[int, int] | None = None

    def __enter__(self) -> VideoWriter:
        return self

    def write(self, frame: np.ndarray) -> None:
        """
        Append a frame.

        Args:
            frame: (H, W, 3) uint8 RGB; all frames of a file have one size.
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"{self.path}: frame is {frame.shape} {frame.dtype}, expected (H, W, 3) uint8")
        if self._size is None:
            self._size = frame.shape[:2]
            self._require_size()
            with self._naming_the_file():
                self._start()
        if frame.shape[:2] != self._size:
            raise ValueError(_size_change(f"{self.path}: frame {self.num_frames}", frame, self._size))
        height, width = self._size
        even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        with self._naming_the_file():
            self._container.mux(self._stream.encode(picture))
        self.num_frames += 1

    def _require_size(self) -> None:
        height, width = self._size
        if max(self._size) > self.max_side:
            raise VideoWriteError(
                f"{self.path}: found frames of {width}x{height} (width x height), expected at most {self.max_side} "
                "pixels a side (H.264)"
            )

    def _start(self) -> None:
        height, width = self._size
        self._container = av.open(str(self._partial_path), "w", format="mp4", options={"movflags": "+faststart"})
        stream = self._container.add_stream(
            "libx264", rate=self.frame_rate, options={"crf": "20", "preset": "veryfast"}
        )
        stream.height, stream.width = height + height % 2, width + width % 2
        stream.pix_fmt = "yuv420p"
        # Untagged colors are guessed from the size, by each player in its own way.
        codec = stream.codec_context
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
        self._stream = stream

    @contextlib.contextmanager
    def _naming_the_file(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise VideoWriteError(f"{self.path}: the video cannot be written: {_reason(error)}") from error

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if exc_type is None:
                if self._container is None:
                    raise ValueError(f"{self.path}: no frame was written, a video needs at least one")
                with self._naming_the_file():
                    self._container.mux(self._stream.encode(None))
                    self._container.close()
                    os.replace(self._partial_path, self.path)
        finally:
            if self._container is not None:
                with contextlib.suppress(av.FFmpegError):
                    self._container.close()
                self._partial_path.unlink(missing_ok=True)


def _estimate_num_frames(
    container: av.container.InputContainer, stream: av.VideoStream, frame_rate: Fraction | None
) -> int | None:
    if stream.frames > 0:
        return stream.frames
    if container.duration is None or frame_rate is None:
        return None
    return round(container.duration * frame_rate / av.time_base)


def _small_fraction(rate: Fraction | float) -> Fraction:
    """The rate of which libav, with 32 bits for each part, can keep both: 1001 is the largest denominator of the usual
    ones (30000/1001). Of a rate below 1, as time lapses have, the duration of a frame is kept as exactly."""
    rate = Fraction(rate)
    return rate.limit_denominator(1001) if rate >= 1 else 1 / (1 / rate).limit_denominator(1001)


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


def _read_rgb(file: Path) -> np.ndarray:
    try:
        # A copy, because PIL's own buffer is read-only.
        return np.array(read_image(str(file), format="RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # PIL's for damaged files
        raise VideoReadError(f"{file}: unreadable image: {error}") from error


def _natural_key(file: Path) -> list[tuple[bool, int | str]]:
    """Sort key that compares runs of digits as numbers."""
    parts = re.split(r"(\d+)", file.name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else part) for part in parts if part]


def _size_change(where: str, frame: np.ndarray, size: tuple[int, int]) -> str:
    return (
        f"{where} is {frame.shape[1]}x{frame.shape[0]} (width x height), the frames before it are {size[1]}x{size[0]}"
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
