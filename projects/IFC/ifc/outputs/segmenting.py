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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from ..predictor import VideoSegmenter
from ..video import FrameSource, TimedFrame, VideoReadError, open_frames
from ..video.live import as_they_come
from ..video.read_ahead import FRAMES_AHEAD, read_ahead
from ..ytvis.files import make_writable_folder
from ..ytvis.segmented_video import BROKEN, FINISHED, INTERRUPTED, RUNNING
from . import manifest
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

_BYTES_AHEAD = 128 << 20  # of frames that wait for the network, and again of those that wait to be drawn
_FAILURES = (OSError, ValueError, torch.OutOfMemoryError)  # that are the video's or the machine's


def segment_videos(
    inputs: Sequence[str | os.PathLike],
    output: str | os.PathLike,
    segmenter: VideoSegmenter,
    settings: SegmentSettings | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> list[Outcome]:
    """Segment videos one after the other, each into a folder of its own.

    What is finished, of the same file with the same weights and settings, is skipped. An input that fails stops no
    other. At whatever point a run ends, what is in the folders is valid, and video.json says how far it came.

    Args:
        inputs: whatever `open_frames` takes; a text may be an address or a camera, a path is always one.
        output: the folder for the folders, made if missing.
        segmenter: the model.
        settings: what is written, and of which frames; None for the defaults.
        progress: told of every frame. What it raises ends the run, too.
        stop: asked between frames, and while a camera is waited for; True ends the run.

    Returns:
        What became of each input, up to the one at which the run was ended.

    Raises:
        OSError: `output` cannot be written to.
    """
    output, settings = Path(output), settings or SegmentSettings()
    make_writable_folder(output, "output")
    outcomes: list[Outcome] = []
    for each in inputs:
        if stop():
            break
        outcomes.append(_segment(each, output, segmenter, settings, progress, stop))
        if outcomes[-1].status == INTERRUPTED:
            break
    return outcomes


def _segment(
    input_: str | os.PathLike,
    output: Path,
    segmenter: VideoSegmenter,
    settings: SegmentSettings,
    progress: Progress | None,
    stop: Callable[[], bool],
) -> Outcome:
    name = os.fspath(input_)
    folder = None
    try:
        source = open_frames(input_, frame_rate=settings.frame_rate, size=settings.raw_size)
        segmenter.require_size(*source.size, name)
        known = {**manifest.identity(source, name), **manifest.made_by(segmenter, settings)}
        reuse = source.is_repeatable or settings.overwrite
        folder = manifest.choose_folder(output, manifest.name_of(source), known["input"], reuse)
        if not settings.overwrite and manifest.is_finished(folder, known):
            return Outcome(name, folder, FINISHED, skipped=True)
        manifest.start_folder(folder)
        run = _Run(name, source, folder, segmenter, settings, known)
        return run(progress, stop)
    except _FAILURES as error:
        return Outcome(name, folder, BROKEN, _in_a_line(error))


class _Run:
    """One video on its way.

    Args:
        name: of the input, as it was given.
        source: its frames.
        folder: for the results, empty.
        segmenter: the model.
        settings: what is written.
        known: the beginning of video.json.
    """

    def __init__(
        self,
        name: str,
        source: FrameSource,
        folder: Path,
        segmenter: VideoSegmenter,
        settings: SegmentSettings,
        known: dict,
    ):
        self._name, self._source, self._folder = name, source, folder
        self._segmenter, self._settings, self._known = segmenter, settings, known
        self._errors: list[str] = []
        self._num_frames = 0
        self._begin = time.monotonic()
        self._book = TrackBook(settings.results_threshold)
        self._sinks: list[Sink] = []  # those that are written to
        self._opened: list[Sink] = []
        self._write_manifest(RUNNING)

    def __call__(self, progress: Progress | None, stop: Callable[[], bool]) -> Outcome:
        """Segment it all. What is raised besides the errors of video and machine comes after the files are valid."""
        status = BROKEN
        try:
            self._open_sinks()
            status = self._pass(progress, stop)
        except _FAILURES as error:
            text = _in_a_line(error)
            self._errors.insert(0, text if self._name in text else f"{self._name}: {text}")
        except KeyboardInterrupt:
            status = INTERRUPTED
            raise
        except BaseException as error:
            self._errors.insert(0, f"{type(error).__name__}: {_in_a_line(error)}")
            raise
        finally:
            self._close_sinks(whole=status == FINISHED)
            if self._errors and status == FINISHED:
                status = BROKEN
            with self._noting_errors():
                self._write_manifest(status)
        seconds = time.monotonic() - self._begin
        return Outcome(self._name, self._folder, status, "; ".join(self._errors) or None, self._num_frames, seconds)

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
        settings, part, classes, folder = self._settings, self._settings.part, self._segmenter.classes, self._folder
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
            except _FAILURES as error:
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
            except _FAILURES as error:
                self._give_up(sink, error)

    def _give_up(self, sink: Sink, error: Exception) -> None:
        """Go on without an output that cannot be written."""
        self._errors.append(_in_a_line(error))
        logger.error(self._errors[-1])
        with self._noting_errors():
            sink.abandon(error)
        self._sinks.remove(sink)

    @contextlib.contextmanager
    def _noting_errors(self) -> Iterator[None]:
        try:
            yield
        except _FAILURES as error:
            self._errors.append(_in_a_line(error))

    def _write_manifest(self, status: str) -> None:
        height, width = self._source.size
        classes = self._segmenter.classes
        content = {
            **{key: self._known[key] for key in ("input", "input_bytes", "input_mtime")},
            "height": height,
            "width": width,
            "num_frames": self._num_frames,
            "frame_rate": float(self._settings.part.frame_rate(self._source)),
            "categories": [{"id": id_, "name": name} for id_, name in zip(classes.ids, classes.names, strict=True)],
            **{key: self._known[key] for key in ("weights", "weights_sha256", "settings", "program")},
            "seconds": round(time.monotonic() - self._begin, 3),
            "status": status,
            "error": "; ".join(self._errors) or None,
            "files": {k: v for sink in self._opened for k, v in sink.files.items()} if self._num_frames else {},
            "tracks": self._book.as_json(classes),
        }
        manifest.write_manifest(self._folder, content)


def _in_a_line(error: BaseException) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    return " ".join(text.split())
