# SPDX-License-Identifier: Apache-2.0
"""video.json: what a folder of results is of, how it was made, and whether it is finished."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..predictor import VideoSegmenter
from ..version import __version__
from ..video import file_stamp
from ..video.reading import local_path
from ..ytvis.files import read_json, whole_file
from ..ytvis.segmented_video import FINISHED, MANIFEST_FILE, RUNNING
from .settings import SegmentSettings

_RESERVED = 4096  # bytes for what is said at the end, for when the disk has no more
_DECISIVE = ("input", "input_bytes", "input_mtime", "weights_sha256", "categories", "settings")


@dataclass(frozen=True)
class Outcome:
    """What became of an input.

    Attributes:
        input: as it was given.
        folder: of its results; None if there are none.
        status: "finished", "interrupted" or "broken"; "running" of what another run is at; "crashed" of what is not
            tried any more, as it ended its process twice.
        error: what was wrong, in a line.
        num_frames: that were segmented now.
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


def recorded_input(input_: str | os.PathLike) -> str:
    """An input as video.json has it, wherever it is called from."""
    path = local_path(input_)
    return os.fspath(input_) if path is None else os.path.abspath(path)


def identity(input_: str | os.PathLike) -> dict[str, Any]:
    """What tells whether an input is the one that was segmented before. It is not opened: None for what is not known of
    an address or a camera, or cannot be read."""
    stamp = None
    with contextlib.suppress(OSError, ValueError):  # opening it will say what is wrong
        stamp = file_stamp(local_path(input_) or input_)
    return {
        "input": recorded_input(input_),
        "input_bytes": stamp and stamp.size,
        "input_mtime": stamp and stamp.changed,
    }


def made_by(segmenter: VideoSegmenter, settings: SegmentSettings) -> dict[str, Any]:
    """What results depend on besides the input."""
    classes = segmenter.classes
    return {
        "categories": [{"id": id_, "name": name} for id_, name in zip(classes.ids, classes.names, strict=True)],
        "weights": segmenter.weights,
        "weights_sha256": segmenter.weights_hash,
        "settings": {**settings.as_json(), "model": segmenter.settings},
        "program": __version__,
    }


def is_of(content: dict[str, Any], known: dict[str, Any]) -> bool:
    """Whether a video.json is of the same input, with the same weights and settings."""
    return all(content.get(key) == known[key] for key in _DECISIVE)


def is_finished(folder: Path, known: dict[str, Any]) -> bool:
    """Whether what is in a folder was made of the same input, with the same weights and settings, to the end."""
    content = read_manifest(folder)
    return (
        known["input_bytes"] is not None
        and content.get("status") == FINISHED
        and is_of(content, known)
        and all((folder / str(name)).exists() for name in dict(content.get("files") or {}).values())
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """video.json; empty if there is none that can be read."""
    try:
        content = read_json(folder / MANIFEST_FILE)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_manifest(folder: Path, content: dict[str, Any]) -> None:
    """Write video.json, whole, as long as it is running with room for `overwrite_manifest`.

    Raises:
        OSError: it cannot be written.
    """
    is_running = content["status"] == RUNNING
    with whole_file(folder / MANIFEST_FILE, lasting=not is_running) as partial:
        room = " " * _RESERVED if is_running else ""
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + room + "\n", encoding="utf-8")


def overwrite_manifest(folder: Path, content: dict[str, Any]) -> None:
    """Write over the video.json that says that it is running, which a full disk has room for: without the tracks, which
    objects.jsonl knows, too, and with no more of the error than fits.

    Raises:
        OSError: it cannot be written.
    """
    with open(folder / MANIFEST_FILE, "r+b") as file:
        size, error = os.fstat(file.fileno()).st_size, content["error"]
        text = b""
        while not text or len(text) > size and error:
            text = json.dumps({**content, "tracks": [], "error": error}, indent=1, allow_nan=False).encode()
            error = error[: len(error) // 2]
        file.write(text.ljust(size))
