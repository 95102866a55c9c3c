# SPDX-License-Identifier: Apache-2.0
"""The videos of the app's visitors: segmented one at a time, each in a folder that goes with its visitor."""

from __future__ import annotations

import logging
import secrets
import shutil
import tempfile
import threading
from pathlib import Path

from ..outputs import SegmentSettings, segment_videos
from ..predictor import VideoSegmenter
from ..video import Part
from ..viewer import write_pages
from .uploads import Limits, take_upload

logger = logging.getLogger(__name__)

MOST_KEPT = 20  # results; the oldest goes when there are more


class Job:
    """A video on its way.

    Attributes:
        folder: of its files.
        done, total: frames; `total` is None if it is not known.
        rate: frames a second.
        page: what there is to look at, relative to the folder of all jobs; None as long as there is nothing.
        error: what went wrong, for the visitor.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.done, self.total, self.rate = 0, None, 0.0
        self.page: str | None = None
        self.error: str | None = None
        self.ended = threading.Event()
        self._canceled = threading.Event()

    @property
    def is_canceled(self) -> bool:
        return self._canceled.is_set()

    def cancel(self) -> None:
        """End it soon, and remove its files."""
        self._canceled.set()
        if self.ended.is_set():
            shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, video: Path, segmenter: VideoSegmenter, settings: SegmentSettings, device: threading.Lock) -> None:
        """Segment `video` as soon as the device is free, and write its page."""
        try:
            with device:
                (outcome,) = segment_videos(
                    [video], self.folder, segmenter, settings, self._report, self._canceled.is_set
                ) or [None]
            if outcome is not None and not self.is_canceled:
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
        self._device = threading.Lock()
        self._of_visitor: dict[str, Job] = {}

    def __enter__(self) -> Jobs:
        self._temporary = tempfile.TemporaryDirectory(prefix="ifc-app-")
        self.folder = Path(self._temporary.name) / "jobs"
        self.folder.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        jobs = list(self._of_visitor.values())
        for job in jobs:
            job.cancel()
        for job in jobs:
            job.ended.wait()
        self._temporary.cleanup()

    def begin(self, visitor: str, upload: str) -> Job:
        """Begin with an upload; what the visitor had before goes.

        Raises:
            UploadError: it is refused.
        """
        self.leave(visitor)
        job = Job(self.folder / secrets.token_hex(16))
        job.folder.mkdir()
        try:
            video = take_upload(upload, job.folder, self.limits)
        except BaseException:
            shutil.rmtree(job.folder)
            raise
        self._of_visitor[visitor] = job
        threading.Thread(target=job.run, args=(video, self._segmenter, self._settings, self._device)).start()
        for oldest in list(self._of_visitor)[:-MOST_KEPT]:
            if self._of_visitor[oldest].ended.is_set():
                self.leave(oldest)
        return job

    def leave(self, visitor: str) -> None:
        """A visitor has gone, or wants no more of a job."""
        if job := self._of_visitor.pop(visitor, None):
            job.cancel()
