# SPDX-License-Identifier: Apache-2.0
"""The one pass over each video: frames are read once, wait until their masks are final, and go to every output.

Three threads share the work: one decodes and resizes, one runs the network, and the caller's draws and writes, while
the overlay's encoder has a fourth. How many frames wait in between is bounded by their size in memory and the window.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..predictor import VideoSegmenter
from ..video import FrameSource, TimedFrame, VideoReadError
from ..video.live import as_they_come
from ..video.read_ahead import FRAMES_AHEAD, read_ahead
from ..ytvis.files import in_a_line
from ..ytvis.segmented_video import BROKEN, FINISHED, INTERRUPTED, RUNNING
from . import manifest, publishing
from .cutouts import PngCutouts, WebmCutouts
from .frame import FinishedFrame, Sink
from .manifest import Outcome
from .objects import ObjectsSink
from .settings import SegmentSettings
from .shown import ShownTracks
from .sinks import BoxesSink, MasksSink, OverlaySink
from .tracks import TrackBook

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int | None, float], bool | None]
"""Gets the input, how many frames are done, of how many if that is known, and how many a second. False ends the run."""

FAILURES = (OSError, ValueError, torch.OutOfMemoryError)  # that are the video's or the machine's
_BYTES_AHEAD = 128 << 20  # of frames that wait for the network, and again of those that wait to be drawn


class VideoRun:
    """One video on its way.

    Args:
        name: of the input, as it was given.
        source: its frames.
        folder: for the results, begun, see `publishing`.
        segmenter: the model.
        settings: what is written.
        known: the beginning of video.json.

    Raises:
        OSError: video.json cannot be written.
    """

    def __init__(
        self,
        name: str,
        source: FrameSource,
        folder: Path,
        segmenter: VideoSegmenter,
        settings: SegmentSettings,
        known: dict[str, Any],
    ):
        self._name, self._source, self._folder, self._part = name, source, folder, publishing.part_of(folder)
        self._segmenter, self._settings, self._known = segmenter, settings, known
        self._errors: list[str] = []
        self._num_frames = 0
        self._begin = time.monotonic()
        self._book = TrackBook(settings.results_threshold)
        self._sinks: list[Sink] = []  # those that are written to
        self._opened: list[Sink] = []
        self._status = RUNNING
        manifest.write_manifest(self._part, self._manifest())

    def __call__(self, progress: Progress | None, stop: Callable[[], bool]) -> Outcome:
        """Segment it all. What is raised besides the errors of video and machine comes after the files are valid."""
        status = BROKEN
        try:
            self._open_sinks()
            status = self._pass(progress, stop)
        except FAILURES as error:
            text = self._say(error)
            self._errors.insert(0, text if self._name in text else f"{self._name}: {text}")
        except KeyboardInterrupt:
            status = INTERRUPTED
            raise
        except BaseException as error:
            self._errors.insert(0, f"{type(error).__name__}: {self._say(error)}")
            raise
        finally:
            self._close_sinks(whole=status == FINISHED)
            self._status = BROKEN if self._errors and status == FINISHED else status
            with self._noting_errors():
                self._write_last_manifest()
                publishing.publish(self._folder)
        folder = self._part if self._part.exists() else self._folder
        seconds = time.monotonic() - self._begin
        return Outcome(self._name, folder, self._status, self._error, self._num_frames, seconds)

    def _pass(self, progress: Progress | None, stop: Callable[[], bool]) -> str:
        shown = ShownTracks(self._settings.threshold)
        total = self._settings.part.num_frames(self._source)
        is_stopped = False
        with contextlib.closing(self._finished_frames(lambda: is_stopped or stop())) as frames:
            for timed, segmented in frames:
                self._write(FinishedFrame(segmented.index, *timed, segmented, shown.update(segmented)))
                rate = self._num_frames / (time.monotonic() - self._begin)
                go_on = progress is None or progress(self._name, self._num_frames, total, rate) is not False
                is_stopped = not go_on or stop()
                if is_stopped:
                    return INTERRUPTED
        if stop():  # a camera that was waited for
            return INTERRUPTED
        if self._num_frames < 0.9 * (total or 0):
            logger.warning(f"{self._name} ends early: its header promises about {total} frames")
        return FINISHED

    def _finished_frames(self, stop: Callable[[], bool]) -> Iterator[tuple[TimedFrame, object]]:
        """Each frame with what was found in it, computed ahead of the caller."""
        height, width = self._source.size
        ahead = min(max(_BYTES_AHEAD // (3 * height * width), 2), FRAMES_AHEAD)
        frames = self._settings.part.frames(self._source)
        if not self._source.is_repeatable:
            frames = as_they_come(frames, ahead, stop, drop=self._source.is_live)
        waiting: deque[TimedFrame] = deque()

        def images() -> Iterator[np.ndarray]:
            frame = None
            for frame in frames:
                waiting.append(frame)
                yield frame.image
            if frame is None and not stop():
                raise VideoReadError(f"{self._name}: found no frame from --start to --end, expected at least 1")

        at_once = 1 if self._source.is_live else 0
        stream = self._segmenter.stream(images(), frames_at_once=at_once, frames_ahead=ahead)
        pairs = ((waiting.popleft(), segmented) for segmented in stream)
        return read_ahead(lambda pair: pair, pairs, ahead=ahead)

    def _open_sinks(self) -> None:
        settings, part, classes, folder = self._settings, self._settings.part, self._segmenter.classes, self._part
        makers: list[tuple[object, Callable[[], Sink]]] = [
            (settings.overlay, lambda: OverlaySink(folder, self._source, part, settings.style, classes.names)),
            (settings.masks, lambda: MasksSink(folder)),
            (settings.cutouts == "png", lambda: PngCutouts(folder)),
            (settings.cutouts == "webm", lambda: WebmCutouts(folder, self._source, part)),
            (settings.boxes, lambda: BoxesSink(folder, classes)),
            # Last, so that a frame that is in it is in all others.
            (True, lambda: ObjectsSink(folder, classes, self._book, settings.results)),
        ]
        for is_wanted, make in makers:
            if is_wanted:
                self._opened.append(make())
                self._sinks.append(self._opened[-1])

    def _write(self, frame: FinishedFrame) -> None:
        for sink in list(self._sinks):
            try:
                sink.write(frame)
            except FAILURES as error:
                self._give_up(sink, error)
        if not self._sinks:
            raise OSError(f"{self._folder}: nothing can be written any more")
        self._num_frames += 1

    def _close_sinks(self, whole: bool) -> None:
        for sink in list(self._sinks):
            if not self._num_frames:
                sink.abandon(ValueError("no frame"))
                continue
            try:
                sink.close(whole)
            except FAILURES as error:
                self._give_up(sink, error)

    def _give_up(self, sink: Sink, error: Exception) -> None:
        """Go on without an output that cannot be written."""
        self._errors.append(self._say(error))
        logger.error(self._errors[-1])
        with self._noting_errors():
            sink.abandon(error)
        self._sinks.remove(sink)

    @contextlib.contextmanager
    def _noting_errors(self) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            self._errors.append(self._say(error))
            self._status = BROKEN

    def _write_last_manifest(self) -> None:
        try:
            manifest.write_manifest(self._part, self._manifest())
        except OSError as error:
            self._status = BROKEN
            self._errors.append(self._say(error))
            manifest.overwrite_manifest(self._part, self._manifest())

    def _manifest(self) -> dict[str, Any]:
        height, width = self._source.size
        return {
            **self._known,
            "height": height,
            "width": width,
            "num_frames": self._num_frames,
            "frame_rate": float(self._settings.part.frame_rate(self._source)),
            "seconds": round(time.monotonic() - self._begin, 3),
            "status": self._status,
            "error": self._error,
            "files": {k: v for sink in self._opened for k, v in sink.files.items()} if self._num_frames else {},
            "tracks": self._book.as_json(self._segmenter.classes),
        }

    @property
    def _error(self) -> str | None:
        return "; ".join(self._errors) or None

    def _say(self, error: BaseException) -> str:
        """With the names that files have in the end."""
        return in_a_line(error).replace(f"{self._part}{os.sep}", f"{self._folder}{os.sep}")
