# SPDX-License-Identifier: Apache-2.0
"""Writing files whole or not at all."""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary name in the folder of `path` for the block to write; it becomes `path` if the block succeeds.

    If the block fails, what it wrote is removed and what was at `path` stays.

    Raises:
        OSError: `path` is a folder, or cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path}: found a folder, expected the name of a file")
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield partial
        # Or a power cut may leave the new name on the old content of the disk.
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def refuse_input(path: str | os.PathLike, inputs: Iterable[str | os.PathLike]) -> None:
    """Raise FileExistsError if `path`, which is to be written, is one of the files `inputs`, by whatever name."""
    for other in inputs:
        if os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other):
            raise FileExistsError(f"{path}: found {other}, which is to be read, expected the name of another file")


def write_json(path: str | os.PathLike, content: Any, **options: Any) -> None:
    """Write `content` as a json file, whole or not at all. Options are those of `json.dumps`.

    Raises:
        ValueError: for a number that is not finite, which json does not know.
    """
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, allow_nan=False, **options) + "\n", encoding="utf-8")
