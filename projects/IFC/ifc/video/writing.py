# SPDX-License-Identifier: Apache-2.0
"""Writing video files."""

from __future__ import annotations

import contextlib
import math
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import av.container
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from ..ytvis.files import whole_file
from .sound import Sound

_BT709 = 1  # the code of BT.709 in H.264's tables of primaries, transfer functions and matrices
_MOST_WAITING = 4  # frames that the encoder has not got to


class VideoWriteError(OSError):
    """A video that cannot be written. The message names the file."""


class VideoWriter:
    """Write an MP4 file that browsers play: H.264, yuv420p, BT.709, the index in front of the frames; or, for cut-outs,
    a WebM file with transparency: VP9, yuva420p.

    A context manager. The file appears under its name when the context ends without an error; until then it has a
    temporary name in the same folder, and after an error nothing is left. 4:2:0 sampling wants even sizes: a frame of
    odd height or width gets its last row or column twice. Encoding is done by a thread of its own.

    Args:
        path: the file to write; an existing one is replaced.
        frame_rate: frames a second; an average where frames are written with their times.
        time_base: seconds, of which the times are multiples; None for those of the frame rate.
        sound: what is heard.
        transparent: write WebM with transparency.
        in_order: store the frames of an MP4 in the order in which they are shown. Where the frame rate varies, browsers
            find some frames only so.

    Attributes:
        num_frames: written so far.
        sound_ends: seconds from which on the sound is left out; None for none.

    Raises:
        VideoWriteError: by any method, if the file cannot be written or its frames are larger than `max_side`.

    Example:
        >>> with VideoWriter("overlay.mp4", frame_rate=reader.frame_rate) as writer:
        ...     for frame in reader:
        ...         writer.write(frame)
    """

    max_side = 16384  # pixels; libx264 has no larger pictures, libvpx neither

    def __init__(
        self,
        path: str | os.PathLike[str],
        frame_rate: Fraction | float,
        *,
        time_base: Fraction | None = None,
        sound: Sound | None = None,
        transparent: bool = False,
        in_order: bool = False,
    ):
        if not (math.isfinite(frame_rate) and frame_rate > 0):
            raise ValueError(f"{path}: frame_rate is {frame_rate}, expected a positive number")
        self.path = Path(path)
        self.frame_rate = _small_fraction(frame_rate)
        self.num_frames = 0
        self.sound_ends: float | None = None
        self._time_base = time_base or 1 / self.frame_rate
        self._sound, self._transparent, self._in_order = sound, transparent, in_order
        self._file = contextlib.ExitStack()  # which keeps or removes what was written
        self._size: tuple[int, int] | None = None
        self._last_pts = -1
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="encoder")
        self._waiting: deque[Future] = deque()

    def __enter__(self) -> VideoWriter:
        return self

    def require_size(self, height: int, width: int) -> None:
        """Raise VideoWriteError if frames are too large."""
        if max(height, width) > self.max_side:
            raise VideoWriteError(
                f"{self.path}: found frames of {width}x{height} (width x height), expected at most {self.max_side} "
                "pixels a side"
            )

    def write(self, frame: np.ndarray, time: float | None = None) -> None:
        """Append a frame.

        Args:
            frame: (H, W, 3) uint8 RGB, or with transparency (H, W, 4) RGBA; all frames of a file have one size. Not to
                be changed afterwards, as it is encoded later.
            time: seconds from the beginning at which it is shown; None for its number by the frame rate.
        """
        channels = 4 if self._transparent else 3
        if frame.ndim != 3 or frame.shape[2] != channels or frame.dtype != np.uint8:
            expected = f"expected (H, W, {channels}) uint8"
            raise ValueError(f"{self.path}: frame is {frame.shape} {frame.dtype}, {expected}")
        if self._size is None:
            self._start(*frame.shape[:2])
        if frame.shape[:2] != self._size:
            found, expected = ("{1}x{0}".format(*size) for size in (frame.shape, self._size))
            raise ValueError(f"{self.path}: frame {self.num_frames} is {found} (width x height), expected {expected}")
        time = self.num_frames / self.frame_rate if time is None else time
        # A file's clock may stand still for a frame; a player's may not.
        self._last_pts = max(round(time / self._time_base), self._last_pts + 1)
        self._waiting.append(self._encoder.submit(self._encode, frame, self._last_pts))
        self.num_frames += 1
        self._wait(_MOST_WAITING)

    def _wait(self, most: int) -> None:
        """Until no more than so many frames wait."""
        with self._naming_the_file():
            while len(self._waiting) > most:
                self._waiting.popleft().result()

    def _encode(self, frame: np.ndarray, pts: int) -> None:
        height, width = frame.shape[:2]
        if height % 2 or width % 2:
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(frame, format="rgba" if self._transparent else "rgb24").reformat(
            format=self._stream.pix_fmt, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        picture.pts, picture.time_base = pts, self._time_base
        self._mux(self._stream.encode(picture))
        self._mux_sound(float(pts * self._time_base))

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            packet.duration = packet.duration or round(1 / self.frame_rate / self._time_base)
            self._container.mux(packet)

    def _mux_sound(self, until: float | None) -> None:
        if self._sound is not None:
            ends = [time for time in (until, self.sound_ends) if time is not None]
            for packet in self._sound.until(min(ends, default=None)):
                self._container.mux(packet)

    def _start(self, height: int, width: int) -> None:
        self.require_size(height, width)
        self._size = height, width
        with self._naming_the_file():
            partial = self._file.enter_context(whole_file(self.path))
            if self._transparent:
                self._container = av.open(str(partial), "w", format="webm")
                codec, pix_fmt, options = "libvpx-vp9", "yuva420p", _VP9
            else:
                self._container = av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"})
                codec, pix_fmt, options = "libx264", "yuv420p", {"crf": "20", "preset": "veryfast"}
                options |= {"bf": "0"} if self._in_order else {}
            self._file.callback(self._close_after_error)
            self._stream = self._container.add_stream(codec, rate=self.frame_rate, options=options)
            if self._sound is not None:
                self._sound.attach(self._container)
        self._stream.height, self._stream.width = height + height % 2, width + width % 2
        self._stream.pix_fmt = pix_fmt
        self._stream.codec_context.time_base = self._time_base
        # Untagged colors are guessed from the size, by each player in its own way.
        context = self._stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709

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
            self._encoder.shutdown(cancel_futures=True)
            self._file.__exit__(exc_type, exc, traceback)
            return
        if self._size is None:
            raise ValueError(f"{self.path}: no frame was written, a video needs at least one")
        with self._encoder, self._naming_the_file(), self._file:
            self._wait(0)
            self._mux(self._stream.encode(None))
            self._mux_sound(None)
            self._container.close()


_VP9 = {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "0", "threads": "1"}


def _small_fraction(rate: Fraction | float) -> Fraction:
    """The rate of which libav, with 32 bits for each part, can keep both: 1001 is the largest denominator of the usual
    ones (30000/1001). Of a rate below 1, as time lapses have, the duration of a frame is kept as exactly."""
    rate = Fraction(rate)
    return rate.limit_denominator(1001) if rate >= 1 else 1 / (1 / rate).limit_denominator(1001)
