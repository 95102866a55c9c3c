# SPDX-License-Identifier: Apache-2.0
"""By what one sees whether a video is still the one that it was, without opening it."""

import datetime
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from ..ytvis.images import list_frames
from .addresses import HTTP, IS_ADDRESS, NETWORK_TIMEOUT, as_os_error, file_system, is_remote_file, scheme

_CHANGED = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "modified", "created")  # in fsspec


class Stamp(NamedTuple):
    """The state of a file, or of the frames in a folder.

    Attributes:
        size: in bytes.
        changed: when, in seconds since 1970, or whatever else its server tells contents apart by.
    """

    size: int
    changed: float | str


def file_stamp(video: str | os.PathLike[str]) -> Stamp | None:
    """The stamp of what `open_frames` would open; None for streams, and where a server does not say.

    Raises:
        ImportError: the package that reads such addresses is missing.
        OSError: there is no such file, or it may not be read.
        ValueError: a folder has no images, or two of one name but for the ending.
    """
    if not (isinstance(video, str) and IS_ADDRESS(video)):
        path = Path(video)
        files = [path / name for name in list_frames(path)] if path.is_dir() else [path]
        found = [file.stat() for file in files]
        return Stamp(sum(each.st_size for each in found), max(each.st_mtime for each in found))
    if scheme(video) in HTTP:
        size, changed = _ask_http(video)
    elif is_remote_file(video):
        with as_os_error(f"{video}: "):
            files, path = file_system(video)
            info = files.info(path)
        size, changed = info.get("size"), next((info[key] for key in _CHANGED if info.get(key)), None)
    else:
        return None
    if isinstance(changed, datetime.datetime):
        changed = changed.timestamp()
    return (
        None if None in (size, changed) else Stamp(int(size), changed if isinstance(changed, float) else str(changed))
    )


def _ask_http(address: str) -> tuple[str | None, str | None]:
    request = urllib.request.Request(address, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=NETWORK_TIMEOUT) as answer:
            return answer.headers["Content-Length"], answer.headers["ETag"] or answer.headers["Last-Modified"]
    except (OSError, ValueError):  # opening it, which takes another way, says what is wrong
        return None, None
