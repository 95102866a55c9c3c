# SPDX-License-Identifier: Apache-2.0
"""Sources that are read once, as their frames come: cameras, network streams, raw frames on the standard input."""

from __future__ import annotations

import io
import itertools
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import cv2
import numpy as np

from .addresses import NETWORK_TIMEOUT
from .containers import decoded, open_container, reason, to_upright_rgb, video_stream
from .reading import STANDARD_INPUT
from .sources import FrameSource, TimedFrame, VideoReadError

logger = logging.getLogger(__name__)

PATIENCE = 60.0  # seconds within which a stream that broke off has to come back
_RETRY_AFTER = 1.0  # seconds between two attempts
_USUAL_RATE = 30.0  # frames a second, of cameras and streams that do not say
_LOOK = 0.2  # seconds between two looks at whether to stop


class _ReadOnce(FrameSource):
    """A source whose frames come once. The first was read to know its size."""

    is_repeatable = False

    def _start(self, frames: Iterator[TimedFrame], nothing: str) -> None:
        first = next(frames, None)
        if first is None:
            raise VideoReadError(f"{self.name}: {nothing}")
        self.size = first.image.shape[:2]
        self._frames = itertools.chain([first], frames)

    def timed(self, start: float = 0.0, every: int = 1) -> Iterator[TimedFrame]:
        """See `FrameSource`."""
        wanted = itertools.count()
        for index, frame in enumerate(self._frames):
            self.require_size(index, frame.image.shape[:2])
            if frame.time >= start and next(wanted) % every == 0:
                yield frame


class CameraReader(_ReadOnce):
    """A camera of this machine, by its number.

    Raises:
        VideoReadError: if it cannot be opened or gives no picture.
    """

    is_live = True

    def __init__(self, number: int):
        self.name = f"camera {number}"
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is missing is said below
        self._camera = cv2.VideoCapture(number)
        cv2.utils.logging.setLogLevel(level)
        self.frame_rate = self._camera.get(cv2.CAP_PROP_FPS) or _USUAL_RATE
        self._start(self._grab(), "found no camera of this number that gives a picture, and no file of this name")

    def _grab(self) -> Iterator[TimedFrame]:
        begin = None
        while True:
            is_there, picture = self._camera.read()
            if not is_there:
                break
            now = time.monotonic()
            begin = now if begin is None else begin
            yield TimedFrame(now - begin, np.ascontiguousarray(picture[:, :, ::-1]))
        self._camera.release()
        if begin is not None:
            raise VideoReadError(f"{self.name}: no picture any more, after {time.monotonic() - begin:.1f} s")


class StreamReader(_ReadOnce):
    """A stream without an end (RTSP, or HTTP without a length), by its address. Where it breaks off or ends it is
    opened again, until it is back or `PATIENCE` is over; the frames go on with the time that passed.

    Args:
        url: the address.

    Raises:
        VideoReadError: if it cannot be opened or gives no picture, and by iteration when it does not come back.
    """

    is_live = True

    def __init__(self, url: str):
        self.name = url
        self.frame_rate = _USUAL_RATE
        self._start(self._connected(), "the stream gives no frame")

    def _connected(self) -> Iterator[TimedFrame]:
        """The frames of one connection after the other."""
        first, last, seen_at = None, 0.0, 0.0
        while True:
            origin, lost = None, "it ended"
            try:
                for frame in self._one_connection():
                    now, image = time.monotonic(), to_upright_rgb(frame)
                    if origin is None:  # of a new connection
                        if first is not None and np.array_equal(first, image):
                            return  # what begins again with the very same picture is no camera, but a file
                        back = 0.0 if first is None else last + now - seen_at
                        origin = _time_of(frame, back) - back
                    first = image if first is None else first
                    last, seen_at = max(_time_of(frame, origin + last + now - seen_at) - origin, last), now
                    yield TimedFrame(last, image)
            except (av.FFmpegError, OSError, VideoReadError) as error:
                lost = reason(error).removeprefix(f"{self.name}: ")
                if first is None:
                    raise VideoReadError(f"{self.name}: {lost}") from error
            if first is None:
                return
            if origin is not None:
                logger.warning(f"{self.name}: the stream broke off after {last:.1f} s ({lost}); it is opened again")
            if time.monotonic() - seen_at > PATIENCE:
                back = f"expected it back in {PATIENCE:g} s"
                raise VideoReadError(f"{self.name}: the stream broke off after {last:.1f} s: found {lost}, {back}")
            time.sleep(_RETRY_AFTER)

    def _one_connection(self) -> Iterator[av.VideoFrame]:
        """The whole frames up to where it ends or breaks."""
        options = {"rtsp_transport": "tcp"} if self.name.lower().startswith("rtsp") else {}
        with open_container(self.name, self.name, timeout=NETWORK_TIMEOUT, options=options) as container:
            stream = video_stream(container, self.name)
            self.frame_rate = stream.average_rate or stream.guessed_rate or _USUAL_RATE
            yield from (frame for frame in decoded(container, stream) if not frame.is_corrupt)


class RawReader(_ReadOnce):
    """Raw frames on the standard input: height x width x 3 bytes each, red, green and blue.

    Args:
        size: (height, width).
        frame_rate: frames a second.

    Raises:
        VideoReadError: if size or rate is missing, or nothing comes.
    """

    def __init__(self, size: tuple[int, int] | None, frame_rate: Fraction | float | None):
        self.name = STANDARD_INPUT
        if size is None or frame_rate is None:
            raise VideoReadError(f"{self.name}: found no size or frame rate, expected both for raw frames (rgb24)")
        self.frame_rate = frame_rate
        self._start(self._read(*size), "the standard input ends before the first frame")

    def _read(self, height: int, width: int) -> Iterator[TimedFrame]:
        for index in itertools.count():
            frame = np.empty((height, width, 3), np.uint8)
            found = _fill(memoryview(frame).cast("B"))
            if not found:
                return
            if found < frame.nbytes:
                raise VideoReadError(f"{self.name}: frame {index} ends after {found} bytes, expected {frame.nbytes}")
            yield TimedFrame(index / float(self.frame_rate), frame)


def _fill(buffer: memoryview) -> int:
    """Read until a buffer is full or the input ends; how many bytes there were. No lock is held, as `sys.stdin` does,
    which a thread that waits here would keep beyond the program's end."""
    done, file = 0, io.FileIO(sys.stdin.fileno(), closefd=False)
    while done < len(buffer) and (count := file.readinto(buffer[done:])):
        done += count
    return done


def as_they_come(
    frames: Iterator[TimedFrame], most: int, stop: Callable[[], bool], *, drop: bool
) -> Iterator[TimedFrame]:
    """Frames that a thread of its own waits for, so that a camera that hangs does not keep the caller from stopping.

    Args:
        most: frames that wait for the caller.
        stop: asked while waiting; True ends the frames.
        drop: when `most` wait, forget the oldest instead of letting the source wait. How many were is said at the end.
    """
    waiting: deque[TimedFrame] = deque()
    changed, state = threading.Condition(), {"open": True, "dropped": 0, "error": None}

    def read() -> None:
        try:
            for frame in frames:
                with changed:
                    changed.wait_for(lambda: drop or len(waiting) < most or not state["open"])
                    if not state["open"]:
                        return
                    if len(waiting) >= most:
                        waiting.popleft()
                        state["dropped"] += 1
                    waiting.append(frame)
                    changed.notify_all()
        except Exception as error:
            state["error"] = error
        finally:
            with changed:
                state["open"] = False
                changed.notify_all()

    threading.Thread(target=read, name="camera", daemon=True).start()
    try:
        while not stop():
            with changed:
                changed.wait_for(lambda: waiting or not state["open"], timeout=_LOOK)
                frame = waiting.popleft() if waiting else None
                is_over = frame is None and not state["open"]
                changed.notify_all()
            if frame is not None:
                yield frame
            elif is_over:
                if state["error"] is not None:
                    raise state["error"]
                return
    finally:
        with changed:
            state["open"] = False
            changed.notify_all()
        if state["dropped"]:
            logger.warning(f"{state['dropped']} frames came faster than they could be segmented, and were left out")


def _time_of(frame: av.VideoFrame, otherwise: float) -> float:
    return otherwise if frame.pts is None else float(frame.pts * frame.time_base)
