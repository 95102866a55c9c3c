# SPDX-License-Identifier: Apache-2.0
"""Reading json that others wrote, writing files whole or not at all, and saying what was wrong with one."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def whole_file(path: str | os.PathLike, lasting: bool = True) -> Iterator[Path]:
    """A temporary name in the folder of `path` for the block to write; it becomes `path` if the block succeeds.

    If the block fails, what it wrote is removed and what was at `path` stays.

    Args:
        lasting: wait for the disk.

    Raises:
        OSError: `path` is a folder, or cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path}: found a folder, expected the name of a file")
    # A name may have 255 bytes, not one more.
    name = path.name if len(os.fsencode(path.name)) < 240 else hashlib.sha256(os.fsencode(path.name)).hexdigest()
    partial = path.with_name(f".{name}.{os.getpid()}.part")
    try:
        yield partial
        if lasting:  # or a power cut may leave the new name on the old content of the disk
            with open(partial, "rb") as file:
                os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: str | os.PathLike, replace: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path` for the block to fill; it becomes `path` if the block succeeds.

    Raises:
        ValueError: `path` exists, and is not to be replaced.
    """
    path = Path(path)
    if path.exists() and not replace:
        raise ValueError(f"{path}: exists already, expected a new folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, old = (path.with_name(f".{path.name}.{os.getpid()}.{end}") for end in ("part", "old"))
    partial.mkdir()
    try:
        yield partial
        if path.exists():
            os.rename(path, old)
        os.rename(partial, path)
    finally:
        for left in (partial, old):
            shutil.rmtree(left, ignore_errors=True)


def make_writable_folder(path: str | os.PathLike, name: str) -> None:
    """Make a folder if it is missing; `name` is that of the option that says where.

    Raises:
        OSError: files cannot be written to it.
    """
    path = Path(path)
    probe = path / f".writable.{os.getpid()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        expected = "expected a folder that can be written to"
        raise OSError(f"{name} {path}: {expected}, found: {error.strerror}") from error


def refuse_input(path: str | os.PathLike, inputs: Iterable[str | os.PathLike]) -> None:
    """Raise FileExistsError if `path`, which is to be written, is one of the files `inputs`, by whatever name."""
    for other in inputs:
        if os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other):
            raise FileExistsError(f"{path}: found {other}, which is to be read, expected the name of another file")


def file_hash(*paths: str | os.PathLike) -> str:
    """The SHA-256 of a file, or of several one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def write_json(path: str | os.PathLike, content: Any, **options: Any) -> None:
    """Write `content` as a json file, whole or not at all. Options are those of `json.dumps`.

    Raises:
        ValueError: for a number that is not finite, which json does not know.
    """
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, allow_nan=False, **options) + "\n", encoding="utf-8")


def write_list(path: str | os.PathLike, entries: Iterable[Any]) -> None:
    """Write entries as one json list, a line each, whole or not at all.

    They may hold any sequences in place of lists: a track's masks take little memory where most frames have none.
    """
    with whole_file(path) as partial, open(partial, "w", encoding="utf-8") as file:
        separator = "[\n"
        for entry in entries:
            file.write(separator + json.dumps(entry, allow_nan=False, default=list))
            separator = ",\n"
        file.write("[]\n" if separator == "[\n" else "\n]\n")


def read_list(path: str | os.PathLike) -> Iterator[Any]:
    """The entries of a json list that `write_list` wrote, a line each, one at a time.

    Raises:
        OSError: it cannot be read.
        ValueError: it is cut off, or no such list. The message names the file.
    """
    with open(path, encoding="utf-8") as file:
        is_whole = file.readline() == "[]\n"
        for number, line in enumerate(file, start=2):
            if is_whole := line == "]\n":
                break
            try:
                entry = json.loads(line.removesuffix("\n").removesuffix(","))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path}: line {number}: not valid json: {error}") from None
            yield entry
    if not is_whole:
        raise ValueError(f"{path}: found no end of its list, expected an entry a line between '[' and ']'")


MAX_DEPTH = 50  # of lists and objects in one another: neither sent to another process nor written if much deeper


def read_json(path: str | os.PathLike) -> Any:
    """The content of a json file that may hold anything.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no json, cut off, or nested more than 50 deep. The message names the file, and the position
            if there is one.
    """
    path = os.fspath(path)
    too_deep = f"{path}: not valid json: nested too deeply for a data set, expected at most {MAX_DEPTH} levels"
    try:
        text = Path(path).read_text(encoding="utf-8")
        content = json.loads(text)
    except UnicodeDecodeError as error:
        found = f"found bytes that are no UTF-8, as in a compressed file, at byte {error.start}"
        raise ValueError(f"{path}: not valid json: {found}") from None
    except json.JSONDecodeError as error:
        cut = ", where the file ends" if not text[error.pos :].strip() else ""
        place = f"line {error.lineno}, column {error.colno} (character {error.pos} of {len(text)}{cut})"
        raise ValueError(f"{path}: not valid json, or cut off, at {place}: {error.msg}") from None
    except RecursionError:
        raise ValueError(too_deep) from None
    except ValueError as error:  # a number of thousands of digits
        raise ValueError(f"{path}: not valid json: {error}") from None
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    if level:
        raise ValueError(too_deep)
    return content


def load_json(source: Any, description: str) -> tuple[str, Any]:
    """Name and content of a json file; loaded data is passed on under the name `description`.

    Raises:
        OSError, ValueError: as `read_json`.
    """
    if not isinstance(source, str | os.PathLike):
        return description, source
    return os.fspath(source), read_json(source)


def in_a_line(error: BaseException) -> str:
    """What is wrong, with the file."""
    text = str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    return " ".join(text.split())
