# SPDX-License-Identifier: Apache-2.0
"""Videos one after the other, each into a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..predictor import VideoSegmenter
from ..video import FrameSource, open_frames
from ..video.addresses import HTTP, scheme
from ..ytvis.files import in_a_line, make_writable_folder
from ..ytvis.folder_lock import FolderInUseError, FolderLock
from ..ytvis.segmented_video import BROKEN, CRASHED, FINISHED, INTERRUPTED, RUNNING
from . import manifest, publishing
from .manifest import Outcome
from .naming import Folders
from .settings import SegmentSettings
from .video_run import FAILURES, Progress, VideoRun


def segment_videos(
    inputs: Sequence[str | os.PathLike],
    output: str | os.PathLike,
    segmenter: VideoSegmenter,
    settings: SegmentSettings | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    among: Sequence[str | os.PathLike] | None = None,
) -> list[Outcome]:
    """Segment videos one after the other, each into a folder of its own.

    What is finished, of the same file with the same weights and settings, is skipped. An input that fails stops no
    other. At whatever point a run ends, what is in the folders is valid, and video.json says how far it came. Several
    runs may share an output folder: a video that one of them is at is left to it.

    Args:
        inputs: whatever `open_frames` takes; a text may be an address or a camera, a path is always one.
        output: the folder for the folders, made if missing.
        segmenter: the model.
        settings: what is written, and of which frames; None for the defaults.
        progress: told of every frame. What it raises ends the run, too.
        stop: asked between frames, and while a camera is waited for; True ends the run.
        among: all inputs, where these are a share of them: what folders are called follows from all.

    Returns:
        What became of each input, up to the one at which the run was ended.

    Raises:
        OSError: `output` cannot be written to.
    """
    output, settings = Path(output), settings or SegmentSettings()
    make_writable_folder(output, "output")
    folders, made_by = Folders(inputs if among is None else among, output), manifest.made_by(segmenter, settings)
    outcomes: list[Outcome] = []
    for each in inputs:
        if stop():
            break
        outcomes.append(segment_video(each, folders, made_by, segmenter, settings, progress, stop))
        if outcomes[-1].status == INTERRUPTED:
            break
    return outcomes


def segment_video(
    input_: str | os.PathLike,
    folders: Folders,
    made_by: dict[str, Any],
    segmenter: VideoSegmenter,
    settings: SegmentSettings,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """One of the videos of `segment_videos`.

    Args:
        folders: of all inputs.
        made_by: `manifest.made_by` of these settings.
    """
    name, source = os.fspath(input_), None

    def open_source() -> FrameSource:
        rate, size, decoder = settings.frame_rate, settings.raw_size, settings.decoder
        opened = open_frames(input_, frame_rate=rate, size=size, decoder=decoder)
        segmenter.require_size(*opened.size, name)
        return opened

    try:
        known, folder = {**manifest.identity(input_), **made_by}, folders.of(input_)
        is_wanted = settings.overwrite or not manifest.is_finished(folder, known)
        if not is_wanted and not publishing.part_of(folder).exists():  # without a lock, as there may be very many
            return Outcome(name, folder, FINISHED, skipped=True)
        if known["input_bytes"] is None or scheme(name) in HTTP:  # opening it tells whether it has an end
            source = open_source()
            if not source.is_repeatable:
                known |= {"input_bytes": None, "input_mtime": None}
            if not (source.is_repeatable or settings.overwrite):
                folder = folders.unused(input_)
        with FolderLock(folder.parent, folder.name):
            folders.require_own(folder, input_)
            publishing.recover(folder)
            if not settings.overwrite and manifest.is_finished(folder, known):
                publishing.discard_killed(folder)
                return Outcome(name, folder, FINISHED, skipped=True)
            crashes = 0 if settings.overwrite else publishing.num_crashes(folder, known)
            if crashes >= publishing.MOST_CRASHES:
                error = f"{name}: set aside, as {crashes} processes died of it without a word; --overwrite tries again"
                publishing.set_aside(folder, error)
                return Outcome(name, publishing.part_of(folder), CRASHED, error)
            known["attempts"] = crashes + 1
            try:
                publishing.begin(folder, known)
                run = VideoRun(name, source or open_source(), folder, segmenter, settings, known)
            except BaseException:
                publishing.abandon(folder)
                raise
            return run(progress, stop)
    except FolderInUseError:
        return Outcome(name, None, RUNNING, f"{name}: is being segmented by another run")
    except FAILURES as error:
        return Outcome(name, None, BROKEN, in_a_line(error))
