# SPDX-License-Identifier: Apache-2.0
"""The videos of the app's visitors: segmented one at a time, each in a folder that goes with its visitor."""

from __future__ import annotations

import logging
import secrets
import shutil
import tempfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ..outputs import SegmentSettings, segment_videos
from ..predictor import VideoSegmenter
from ..video import Part
from ..viewer import write_pages
from .uploads import Limits, UploadError, take_upload

logger = logging.getLogger(__name__)

MOST_KEPT = 20  # jobs; the oldest one that has ended goes when there are more
MOST_WAITING = 10


class Job:
    """A video on its way.

    Attributes:
        folder: of its files.
        done, total: frames; `total` is None if it is not known.
        rate: frames a second.
        page: what there is to look at, relative to the folder of all jobs; None as long as there is nothing.
        error: what went wrong, for the visitor.
        turn: its turn on the device.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.done, self.total, self.rate = 0, None, 0.0
        self.page: str | None = None
        self.error: str | None = None
        self.turn: Future | None = None
        self.ended = threading.Event()
        self._canceled = threading.Event()

    @property
    def is_canceled(self) -> bool:
        return self._canceled.is_set()

    def cancel(self) -> None:
        """End it soon, and remove its files."""
        self._canceled.set()
        if self.turn is not None and self.turn.cancel():  # it has not begun
            self.ended.set()
        if self.ended.is_set():
            shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, video: Path, segmenter: VideoSegmenter, settings: SegmentSettings) -> None:
        """Segment `video`, and write its page."""
        try:
            outcomes = segment_videos([video], self.folder, segmenter, settings, self._report, self._canceled.is_set)
            if not self.is_canceled:
                (outcome,) = outcomes
                self.error = outcome.error and outcome.error.replace(str(video), "the video")
                if outcome.num_frames:
                    page, _ = write_pages(outcome.folder)
                    self.page = page.relative_to(self.folder.parent).as_posix()
        except Exception:  # whatever it is, the visitor is told, and the next one gets a turn
            logger.exception("a video could not be segmented")
            self.error = "Something went wrong here; the program's log says what."
        finally:
            self.ended.set()
            if self.is_canceled:
                shutil.rmtree(self.folder, ignore_errors=True)

    def _report(self, name: str, done: int, total: int | None, rate: float) -> None:
        self.done, self.total, self.rate = done, total, rate


class Jobs:
    """The job of each visitor. A context manager, at whose end all are canceled and no file is left.

    Args:
        segmenter: the model, on one device, which has one job at a time.
        limits: of uploads.

    Attributes:
        folder: for the folders of all jobs, under names that cannot be guessed.
    """

    def __init__(self, segmenter: VideoSegmenter, limits: Limits):
        self.limits = limits
        self._segmenter = segmenter
        self._settings = SegmentSettings(part=Part(end=limits.seconds))
        self._device = ThreadPoolExecutor(1, thread_name_prefix="device")  # the others wait in their order
        self._of_visitor: dict[str, Job] = {}
        self._uploads: dict[str, Path] = {}

    def __enter__(self) -> Jobs:
        self._temporary = tempfile.TemporaryDirectory(prefix="ifc-app-")
        self.folder = Path(self._temporary.name) / "jobs"
        self.folder.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        for job in self._of_visitor.values():
            job.cancel()
        self._device.shutdown()
        self._temporary.cleanup()

    def begin(self, visitor: str, upload: str) -> Job:
        """Begin with an upload; what the visitor had before goes.

        Raises:
            UploadError: it is refused.
        """
        self.leave(visitor)
        self._uploads[visitor] = Path(upload)
        if sum(not job.ended.is_set() for job in self._of_visitor.values()) > MOST_WAITING:
            raise UploadError("Too many are waiting already. Try again in some minutes.")
        job = Job(self.folder / secrets.token_hex(16))
        job.folder.mkdir()
        try:
            video = take_upload(upload, job.folder, self.limits)
        except BaseException:
            shutil.rmtree(job.folder)
            raise
        self._of_visitor[visitor] = job
        job.turn = self._device.submit(job.run, video, self._segmenter, self._settings)
        for oldest in list(self._of_visitor)[:-MOST_KEPT]:
            if self._of_visitor[oldest].ended.is_set():
                self.leave(oldest)
        return job

    def leave(self, visitor: str) -> None:
        """A visitor wants no more of a job."""
        if job := self._of_visitor.pop(visitor, None):
            job.cancel()

    def forget(self, visitor: str) -> None:
        """A visitor has gone."""
        self.leave(visitor)
        if upload := self._uploads.pop(visitor, None):
            upload.unlink(missing_ok=True)
