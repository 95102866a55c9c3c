# SPDX-License-Identifier: Apache-2.0
"""What a user means by an input: a video, a folder of frames, a folder of videos, a pattern."""

import glob
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from ..video.addresses import IS_ADDRESS
from ..ytvis.images import SUFFIXES, natural_order

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".gif", ".h264", ".h265", ".hevc", ".ivf", ".m2ts", ".m4v", ".mkv", ".mov"),
    *(".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
)


def find_inputs(texts: Iterable[str | os.PathLike]) -> list[str]:
    """The inputs that are meant, each once, in order.

    A folder that has images in it is a folder of frames, one input. Any other folder stands for the videos in it, by
    their suffixes, in natural order. What does not exist and has one of the characters *?[ is a pattern (`**` for
    folders of any depth). All else is taken as it is, also what cannot be read, which opening it will tell.
    """
    found: list[str] = []
    for text in map(os.fspath, texts):
        if IS_ADDRESS(text) or os.path.lexists(text) or not glob.has_magic(text):
            found += _of_path(text)
            continue
        for path in sorted(glob.glob(text, recursive=True), key=natural_order) or [text]:
            found += _of_path(path)
    return list(dict.fromkeys(found))


def _of_path(text: str) -> list[str]:
    if not os.path.isdir(text) or not os.access(text, os.R_OK):
        return [text]
    names = [entry.name for entry in os.scandir(text) if not entry.name.startswith(".")]
    videos = sorted((name for name in names if name.lower().endswith(VIDEO_SUFFIXES)), key=natural_order)
    others = [name for name in names if name not in videos]
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
