# SPDX-License-Identifier: Apache-2.0
"""A video's folder is called NAME.part until the video has ended, whatever ends it; then it takes the place of NAME,
unless only what is there is finished.

A process may be killed at any moment. What it leaves is either under way, and done again, or has ended, and gets its
name by whoever comes next.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from ..ytvis.segmented_video import (
    CRASHED,
    ENDED,
    FINISHED,
    MANIFEST_FILE,
    OBJECTS_FILE,
    PART_SUFFIX,
    RESULTS_FILE,
    RUNNING,
)
from .cutouts import CUTOUTS_FOLDER
from .manifest import is_of, read_manifest, write_manifest
from .sinks import BOXES_FILE, MASKS_FOLDER, OVERLAY_FILE

OUTPUTS = (MANIFEST_FILE, OVERLAY_FILE, OBJECTS_FILE, RESULTS_FILE, BOXES_FILE, MASKS_FOLDER, CUTOUTS_FOLDER)
MOST_CRASHES = 2  # after which a video is set aside


def part_of(folder: Path) -> Path:
    """Where a video's results are until it has ended."""
    return folder.with_name(folder.name + PART_SUFFIX)


def num_crashes(folder: Path, known: dict[str, Any]) -> int:
    """How often a process has died, without a word, of what is to be done now."""
    left = read_manifest(part_of(folder))
    return left.get("attempts", 0) if left.get("status") in (RUNNING, CRASHED) and is_of(left, known) else 0


def begin(folder: Path, known: dict[str, Any]) -> None:
    """Make NAME.part, take away what a run that was killed left in it, and note that one is under way, before the input
    is opened, as that alone may end the process.

    Raises:
        OSError: that cannot be done.
    """
    part = part_of(folder)
    part.mkdir(exist_ok=True)
    _remove_outputs(part)
    write_manifest(part, {**known, "status": RUNNING})


def set_aside(folder: Path, error: str) -> None:
    """Note that a video is not to be tried again."""
    part = part_of(folder)
    write_manifest(part, {**read_manifest(part), "status": CRASHED, "error": error})


def abandon(folder: Path) -> None:
    """Take away NAME.part, in which nothing is."""
    shutil.rmtree(part_of(folder), ignore_errors=True)


def recover(folder: Path) -> None:
    """Publish what had ended when its process was killed.

    Raises:
        OSError: as `publish`.
    """
    if read_manifest(part_of(folder)).get("status") in ENDED:
        publish(folder)


def discard_killed(folder: Path) -> None:
    """Take away what a run that was killed left, where nothing is to be done any more."""
    if read_manifest(part_of(folder)).get("status") not in (*ENDED, CRASHED):
        abandon(folder)


def publish(folder: Path) -> None:
    """Put NAME.part in the place of NAME, unless it is that which is finished, and that alone. What is not ours in NAME
    stays. May be begun again wherever it was killed.

    Raises:
        OSError: that cannot be done.
    """
    part = part_of(folder)
    if [read_manifest(each).get("status") == FINISHED for each in (folder, part)] == [True, False]:
        return
    if folder.exists():
        (folder / MANIFEST_FILE).unlink(missing_ok=True)  # first: without it nobody takes the rest for whole
        _remove_outputs(folder)
        for left in os.listdir(folder):
            _remove(part / left)
            os.rename(folder / left, part / left)
        folder.rmdir()
    os.rename(part, folder)


def _remove_outputs(folder: Path) -> None:
    """All but video.json, which is replaced in one go."""
    for old in (*(folder / name for name in OUTPUTS if name != MANIFEST_FILE), *folder.glob(f".*{PART_SUFFIX}")):
        _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
