# SPDX-License-Identifier: Apache-2.0
"""Writing video files."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import av.container
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from ..ytvis.files import whole_file

_BT709 = 1  # the code of BT.709 in H.264's tables of primaries, transfer functions and matrices


class VideoWriteError(OSError):
    """A video that cannot be written. The message names the file."""


class VideoWriter:
    """Write an MP4 file that browsers play: H.264, yuv420p, BT.709, the index in front of the frames.

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
        self._file = contextlib.ExitStack()  # which keeps or removes what was written
        self._size: tuple[int, int] | None = None

    def __enter__(self) -> VideoWriter:
        return self

    def write(self, frame: np.ndarray) -> None:
        """Append a frame.

        Args:
            frame: (H, W, 3) uint8 RGB; all frames of a file have one size.
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"{self.path}: frame is {frame.shape} {frame.dtype}, expected (H, W, 3) uint8")
        if self._size is None:
            self._start(*frame.shape[:2])
        if frame.shape[:2] != self._size:
            found, expected = ("{1}x{0}".format(*size) for size in (frame.shape, self._size))
            raise ValueError(f"{self.path}: frame {self.num_frames} is {found} (width x height), expected {expected}")
        height, width = self._size
        even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        with self._naming_the_file():
            self._container.mux(self._stream.encode(picture))
        self.num_frames += 1

    def _start(self, height: int, width: int) -> None:
        if max(height, width) > self.max_side:
            raise VideoWriteError(
                f"{self.path}: found frames of {width}x{height} (width x height), expected at most {self.max_side} "
                "pixels a side (H.264)"
            )
        self._size = height, width
        with self._naming_the_file():
            partial = self._file.enter_context(whole_file(self.path))
            self._container = av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"})
            self._file.callback(self._close_after_error)
            self._stream = self._container.add_stream(
                "libx264", rate=self.frame_rate, options={"crf": "20", "preset": "veryfast"}
            )
        self._stream.height, self._stream.width = height + height % 2, width + width % 2
        self._stream.pix_fmt = "yuv420p"
        # Untagged colors are guessed from the size, by each player in its own way.
        codec = self._stream.codec_context
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT709

    @contextlib.contextmanager
    def _naming_the_file(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            reason = error.strerror or str(error).removeprefix(f"{self.path}: ")
            raise VideoWriteError(f"{self.path}: the video cannot be written: {reason}") from error

    def _close_after_error(self) -> None:
        with contextlib.suppress(av.FFmpegError):
            self._container.close()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc_type is not None:
            self._file.__exit__(exc_type, exc, traceback)
            return
        if self._size is None:
            raise ValueError(f"{self.path}: no frame was written, a video needs at least one")
        with self._naming_the_file(), self._file:
            self._container.mux(self._stream.encode(None))
            self._container.close()


def _small_fraction(rate: Fraction | float) -> Fraction:
    """The rate of which libav, with 32 bits for each part, can keep both: 1001 is the largest denominator of the usual
    ones (30000/1001). Of a rate below 1, as time lapses have, the duration of a frame is kept as exactly."""
    rate = Fraction(rate)
    return rate.limit_denominator(1001) if rate >= 1 else 1 / (1 / rate).limit_denominator(1001)
