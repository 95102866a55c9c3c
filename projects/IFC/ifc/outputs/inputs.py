# SPDX-License-Identifier: Apache-2.0
"""What a user means by an input: a video, a folder of frames, a folder of videos, a pattern, a list of these."""

import glob
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from ..video.addresses import IS_ADDRESS, file_system, find_remote_files, is_remote_file, without_file_scheme
from ..video.reading import STANDARD_INPUT
from ..ytvis.images import SUFFIXES, natural_order

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".gif", ".h264", ".h265", ".hevc", ".ivf", ".m2ts", ".m4v", ".mkv", ".mov"),
    *(".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
)


def find_inputs(texts: Iterable[str | os.PathLike]) -> list[str]:
    """The inputs that are meant, each once, in order.

    @LIST stands for the lines of a text file, but for empty ones and those that begin with #. A folder that has images
    in it is a folder of frames, one input. Any other folder, also an address that ends in / and that fsspec knows,
    stands for the videos in it, by their suffixes, in natural order. What does not exist and has one of the characters
    *?[ is a pattern (`**` for folders of any depth), as such an address may be. All else is taken as it is, also what
    cannot be read, which opening it will tell.

    Raises:
        ImportError: the package that reads an address is missing.
        OSError: a list cannot be read, or an address of several files.
        ValueError: a list has no input, or is no text.
    """
    found: dict[str, str] = {}
    for text in map(os.fspath, texts):
        for entry in _read_list(text[1:]) if text.startswith("@") else [text]:
            found.update((_identity(each), each) for each in _meant_by(entry) if _identity(each) not in found)
    return list(found.values())


def _identity(text: str) -> str:
    return text if IS_ADDRESS(text) else os.path.abspath(text)


def _read_list(path: str) -> list[str]:
    """The entries of a list, each once. Doubles, and what is not there, are said."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: found no UTF-8 at byte {error.start}, expected a text with an input a line"
        ) from None
    entries = {number: line.strip() for number, line in enumerate(lines, start=1)}
    entries = {number: entry for number, entry in entries.items() if entry and not entry.startswith("#")}
    if not entries:
        raise ValueError(f"{path}: found no input, expected one a line")
    firsts: dict[str, int] = {}
    for number, entry in entries.items():
        firsts.setdefault(_identity(entry), number)
    doubles = [number for number, entry in entries.items() if firsts[_identity(entry)] != number]
    missing = [number for number in firsts.values() if _is_missing(entries[number])]
    for numbers, what in ((doubles, "is there twice, and done once"), (missing, "cannot be read")):
        if numbers:
            more = f" (and so with {len(numbers) - 1} more)" if len(numbers) > 1 else ""
            logger.warning(f"{path}: line {numbers[0]}: {entries[numbers[0]]} {what}{more}")
    return [entries[number] for number in firsts.values()]


def _is_missing(entry: str) -> bool:
    is_path = not (IS_ADDRESS(entry) or glob.has_magic(entry) or entry.isdecimal() or entry == STANDARD_INPUT)
    return is_path and not os.access(entry, os.R_OK)


def _meant_by(text: str) -> list[str]:
    """The inputs that an entry stands for."""
    text = without_file_scheme(text)
    if is_remote_file(text):
        return _of_remote(text)
    if IS_ADDRESS(text) or os.path.lexists(text) or not glob.has_magic(text):
        return _of_path(text)
    paths = sorted(glob.glob(text, recursive=True), key=natural_order) or [text]
    return [each for path in paths for each in _of_path(path)]


def _of_remote(address: str) -> list[str]:
    file_system(address)  # which says now what is missing
    if address.endswith("/"):
        found = [each for each in find_remote_files(f"{address}*") if each.lower().endswith(VIDEO_SUFFIXES)]
    else:
        found = find_remote_files(address) if glob.has_magic(address) else []
    return found or [address]


def _of_path(text: str) -> list[str]:
    if not os.path.isdir(text) or not os.access(text, os.R_OK):
        return [text]
    names = [entry.name for entry in os.scandir(text) if not entry.name.startswith(".")]
    videos = sorted((name for name in names if name.lower().endswith(VIDEO_SUFFIXES)), key=natural_order)
    others = set(names).difference(videos)
    if any(name.lower().endswith(SUFFIXES) for name in names):
        if videos:
            logger.warning(f"{text} has images in it and is taken for a folder of frames, without {videos[0]}")
        return [text]
    if not videos:
        return [text]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        logger.warning(f"{text}: found {len(videos)} videos, passed over {min(others)}{more}")
    return [str(Path(text) / name) for name in videos]
