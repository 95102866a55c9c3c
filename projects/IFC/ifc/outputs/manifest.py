# SPDX-License-Identifier: Apache-2.0
"""video.json: what a folder of results is of, how it was made, and whether it is finished."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..predictor import VideoSegmenter
from ..version import __version__
from ..video import FrameSource, file_stamp
from ..video.addresses import IS_ADDRESS
from ..video.reading import STANDARD_INPUT
from ..ytvis.files import read_json, write_json
from ..ytvis.segmented_video import FINISHED, MANIFEST_FILE, OBJECTS_FILE, RESULTS_FILE
from .cutouts import CUTOUTS_FOLDER
from .settings import SegmentSettings
from .sinks import BOXES_FILE, MASKS_FOLDER, OVERLAY_FILE

_OUTPUTS = (OVERLAY_FILE, OBJECTS_FILE, RESULTS_FILE, BOXES_FILE, MASKS_FOLDER, CUTOUTS_FOLDER)
_LONGEST_NAME = 200  # bytes, which leaves room for a number


@dataclass(frozen=True)
class Outcome:
    """What became of an input.

    Attributes:
        input: as it was given.
        folder: of its results; None if it could not be read at all.
        status: "finished", "interrupted" or "broken".
        error: what was wrong, in a line.
        num_frames: that were segmented; of a video that was skipped, before.
        seconds: that it took.
        skipped: it was finished before.
    """

    input: str
    folder: Path | None
    status: str
    error: str | None = None
    num_frames: int = 0
    seconds: float = 0.0
    skipped: bool = False

    def as_json(self) -> dict[str, Any]:
        """For programs that read it."""
        return {**vars(self), "folder": self.folder and str(self.folder)}


def identity(source: FrameSource, name: str) -> dict[str, Any]:
    """What tells whether an input is the one that was segmented before."""
    stamp = file_stamp(source.path or name) if source.is_repeatable else None
    return {
        "input": os.path.abspath(source.path) if source.path else name,
        "input_bytes": stamp and stamp.size,
        "input_mtime": stamp and stamp.changed,
    }


def made_by(segmenter: VideoSegmenter, settings: SegmentSettings) -> dict[str, Any]:
    """What results depend on besides the input."""
    return {
        "weights": segmenter.weights,
        "weights_sha256": segmenter.weights_hash,
        "settings": {**settings.as_json(), "model": segmenter.settings},
        "program": __version__,
    }


def is_finished(folder: Path, expected: dict[str, Any]) -> bool:
    """Whether what is in a folder was made of the same input, with the same weights and settings, to the end."""
    known = _read(folder)
    same = ("input", "input_bytes", "input_mtime", "weights_sha256", "settings")
    return (
        expected["input_bytes"] is not None
        and known.get("status") == FINISHED
        and all(known.get(key) == expected[key] for key in same)
        and all((folder / str(name)).exists() for name in dict(known.get("files") or {}).values())
    )


def choose_folder(output: Path, name: str, input_: str, reuse: bool) -> Path:
    """The folder for an input: that of an earlier run on it, or the first of NAME, NAME_2, ... that is free.

    Args:
        name: of the input.
        input_: as video.json has it.
        reuse: an earlier run's may be replaced.
    """
    for folder in (output / candidate for candidate in _names(name)):
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return folder
        if reuse and _read(folder).get("input") == input_:
            return folder
    raise AssertionError("there is always another name")


def start_folder(folder: Path) -> None:
    """Make a folder, or take away what an earlier run left in it, also one that was killed; other files stay.

    Raises:
        OSError: that cannot be done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*(folder / name for name in _OUTPUTS), *folder.glob(".*.part")):
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)


def write_manifest(folder: Path, content: dict[str, Any]) -> None:
    """Write video.json, whole.

    Raises:
        OSError: it cannot be written.
    """
    write_json(folder / MANIFEST_FILE, content, indent=1)


def name_of(source: FrameSource) -> str:
    """What an input's results are called."""
    if source.path is not None:
        return source.path.resolve().name if source.path.is_dir() else source.path.stem
    if source.name == STANDARD_INPUT:
        return "stdin"
    if IS_ADDRESS(source.name):
        return Path(source.name.split("?")[0].rstrip("/")).stem or "stream"
    return source.name.replace(" ", "_")


def _names(name: str) -> Iterator[str]:
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = os.fsencode(name)[:_LONGEST_NAME].decode(errors="ignore")
    name = name.rstrip(" .") or "video"
    return itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))


def _read(folder: Path) -> dict[str, Any]:
    """video.json, if there is one that can be read."""
    try:
        content = read_json(folder / MANIFEST_FILE)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
