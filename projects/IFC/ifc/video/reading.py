# SPDX-License-Identifier: Apache-2.0
"""Reading video: files, and whatever else has frames, by one interface, `FrameSource`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.container

from ..ytvis.images import SUFFIXES
from .addresses import (
    HTTP,
    IS_ADDRESS,
    NETWORK_TIMEOUT,
    RemoteFile,
    RemoteView,
    is_remote_file,
    scheme,
    without_file_scheme,
)
from .containers import decoded, nvdec, open_container, reason, to_upright_rgb, video_stream
from .folders import FolderReader, ImageReader
from .sound import Sound, has_sound
from .sources import FOLDER_RATE, FrameSource, TimedFrame, VideoReadError

STANDARD_INPUT = "-"
DECODERS = ("cpu", "nvdec")
# FFmpeg goes on at the byte where a connection broke, and gives up after these seconds.
_RECONNECT = {"reconnect": "1", "reconnect_on_network_error": "1", "reconnect_delay_max": "8"}
_SEEK_MARGINS = (1.0, 20.0, None)  # seconds before the wanted frame to look for one to begin at; None: the beginning


class VideoReader(FrameSource):
    """A video file, or one behind an address, decoded by PyAV. Quarter turns and mirroring that the file asks for
    (phones) are applied; what is transparent is laid on black.

    A frame's time is that of the file (variable frame rates), or follows from the frame rate where a file has none.

    Args:
        path: the file or the address.
        decoder: one of `DECODERS`: "nvdec" for that of an NVIDIA GPU.

    Raises:
        ImportError: the package that reads such addresses is missing.
        ValueError: there is no such decoder.
        VideoReadError: if the file is no video or not one of its frames can be decoded.
    """

    def __init__(self, path: str | os.PathLike[str], decoder: str = "cpu"):
        self.name = str(path)
        if decoder not in DECODERS:
            raise ValueError(f"decoder: found {decoder!r}, expected one of {', '.join(DECODERS)}")
        self._hardware = {"hwaccel": nvdec()} if decoder == "nvdec" else {}
        self.path = None if IS_ADDRESS(self.name) else Path(path)
        with _named(self.name):
            self._file = RemoteFile(self.name) if is_remote_file(self.name) else None
        is_http = self.path is None and self._file is None
        self._options = {"timeout": NETWORK_TIMEOUT, "options": _RECONNECT} if is_http else {}
        with self._open() as (container, stream):
            self.frame_rate = stream.average_rate or stream.guessed_rate
            self.num_frames = _estimate_num_frames(container, stream, self.frame_rate)
            if stream.time_base and stream.time_base.numerator == 1 and stream.time_base.denominator <= 10**6:
                self.time_base = stream.time_base
            self._has_sound = has_sound(container)
            first = next(self._decode(container, stream), None)
        if first is None:
            raise VideoReadError(f"{self.name}: unreadable video: its video stream holds no frame")
        if self.frame_rate is None:
            raise VideoReadError(f"{self.name}: unreadable video: it has no frame rate")
        self._clockless = first.pts is None
        self._origin = Fraction(0) if self._clockless else first.pts * first.time_base
        self.size = to_upright_rgb(first).shape[:2]

    def timed(self, start: float = 0.0, every: int = 1) -> Iterator[TimedFrame]:
        """See `FrameSource`. A start in the middle is sought, and the frames are those that reading all of it gives."""
        for margin in _SEEK_MARGINS if start > 0 else (None,):
            with self._open() as (container, stream):
                if margin is not None and not self._seek(container, stream, start - margin):
                    continue
                wanted, previous = 0, None
                for index, frame in enumerate(self._decode(container, stream, lenient=margin is not None)):
                    time = self._time(frame, index, previous)
                    if previous is None and margin is not None and (time is None or float(time) > start):
                        break  # not far enough back
                    previous = time
                    if float(time) < start:
                        continue
                    if wanted % every == 0:
                        image = to_upright_rgb(frame)
                        self.require_size(index, image.shape[:2])
                        yield TimedFrame(float(time), image)
                    wanted += 1
                else:
                    return

    def sound(self, start: float) -> Sound | None:
        """See `FrameSource`."""
        if not self._has_sound:
            return None
        return Sound(self._address, self.name, self._origin + Fraction(start), self._options)

    @property
    def _address(self) -> str | RemoteView:
        """As PyAV opens it."""
        if self._file is not None:
            return RemoteView(self._file)
        # "file:" keeps FFmpeg from taking a colon in the name for a protocol.
        return self.name if self.path is None else f"file:{self.path}"

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
        with open_container(self._address, self.name, **self._hardware, **self._options) as container:
            yield container, video_stream(container, self.name)

    def _seek(self, container: av.container.InputContainer, stream: av.VideoStream, time: float) -> bool:
        """Go to a frame before `time` that can be decoded by itself; False if that cannot be done."""
        if time <= 0:
            return False
        try:
            container.seek(int((self._origin + Fraction(time)) / stream.time_base), stream=stream)
        except av.FFmpegError:
            return False
        return True

    def _time(self, frame: av.VideoFrame, index: int, previous: Fraction | None) -> Fraction | None:
        """Seconds since the first frame, more than those of the `previous` one, whatever a damaged clock says; None for
        a frame without a clock whose place in the video is not known."""
        seconds = None if frame.pts is None else frame.pts * frame.time_base - self._origin
        if previous is None:
            return Fraction(0) if seconds is None and index == 0 and self._clockless else seconds
        if seconds is None or seconds <= previous:
            return previous + 1 / Fraction(self.frame_rate)
        return seconds

    def _decode(
        self, container: av.container.InputContainer, stream: av.VideoStream, lenient: bool = False
    ) -> Iterator[av.VideoFrame]:
        """Frames up to the end or, with an error, to the first one that is damaged.

        Args:
            lenient: pass over damaged frames at the beginning: those that rest on frames before the one sought.
        """
        num_decoded = 0
        try:
            for frame in decoded(container, stream):
                if frame.is_corrupt and lenient and not num_decoded:
                    continue
                if frame.is_corrupt:
                    raise self._broken_at(num_decoded, "the frame is damaged")
                yield frame
                num_decoded += 1
        except (av.FFmpegError, OSError) as error:
            raise self._broken_at(num_decoded, reason(error)) from error

    def _broken_at(self, index: int, reason: str) -> VideoReadError:
        if index == 0:
            return VideoReadError(f"{self.name}: unreadable video: no frame can be decoded ({reason})")
        return VideoReadError(f"{self.name}: the video breaks at frame {index} (counted from 0): {reason}")


def local_path(video: str | os.PathLike[str]) -> Path | None:
    """The path that `open_frames` takes a video for; None for an address, a camera, and the standard input."""
    if isinstance(video, str):
        video = without_file_scheme(video)
        if video == STANDARD_INPUT or IS_ADDRESS(video) or video.isdecimal() and not os.path.exists(video):
            return None
    return Path(video)


def open_frames(
    video: str | os.PathLike[str],
    *,
    frame_rate: Fraction | float | None = None,
    size: tuple[int, int] | None = None,
    decoder: str = "cpu",
) -> FrameSource:
    """Open whatever has frames.

    Args:
        video: a folder of frames, an image (known by its suffix) or, whatever else it is, a video file. A text may also
            be an address (http://, rtsp:// and what else FFmpeg takes; s3://, gs:// and what else fsspec reads), a
            number, which is that of a camera unless a file has that name, or "-": raw frames on the standard input.
        frame_rate: frames a second of what has no clock: a folder's (default 10) and the standard input's.
        size: (height, width) of the standard input's frames.
        decoder: of video files, see `VideoReader`.

    Raises:
        ImportError: the package that reads such addresses is missing.
        ValueError: there is no such decoder.
        VideoReadError: if there is nothing at `video` or it cannot be read.
    """
    from .live import CameraReader, RawReader, StreamReader  # which rest on this module

    if video == STANDARD_INPUT:
        return RawReader(size, frame_rate)
    if isinstance(video, str):
        video = without_file_scheme(video)
        if IS_ADDRESS(video):
            return VideoReader(video, decoder) if _has_an_end(video) else StreamReader(video)
    path = local_path(video)
    if path is None:
        return CameraReader(int(video))
    with _named(path):
        if path.is_dir():
            return FolderReader(path, frame_rate or FOLDER_RATE)
        if not path.exists():
            raise VideoReadError(f"{path}: no such file or folder")
        if not path.is_file():
            expected = "expected a file or a folder, which is read repeatedly"
            raise VideoReadError(f"{path}: found a pipe or a device, {expected}")
    is_image = path.suffix.lower() in SUFFIXES
    return ImageReader(path, frame_rate or FOLDER_RATE) if is_image else VideoReader(path, decoder)


def _has_an_end(address: str) -> bool:
    """Whether what is behind an address is a file, which can be opened again and sought in."""
    if is_remote_file(address):
        return True
    if scheme(address) not in HTTP:
        return False
    with open_container(address, address, timeout=NETWORK_TIMEOUT) as container:
        return container.duration is not None


def _estimate_num_frames(
    container: av.container.InputContainer, stream: av.VideoStream, frame_rate: Fraction | None
) -> int | None:
    if stream.frames > 0:
        return stream.frames
    if container.duration is None or frame_rate is None:
        return None
    return round(container.duration * frame_rate / av.time_base)


@contextlib.contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """What the system has against a path (its length, its folders' permissions), as an error of reading."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, VideoReadError):
            raise
        raise VideoReadError(f"{path}: {reason(error)}") from error
