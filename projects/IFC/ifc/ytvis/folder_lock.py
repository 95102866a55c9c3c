# SPDX-License-Identifier: Apache-2.0
"""One run at a time in a folder, or at one thing in it."""

import errno
import functools
import hashlib
import logging
import os
import threading
from typing import TextIO

try:
    import fcntl
except ImportError:  # Windows has none: runs of several processes are not told apart there
    fcntl = None

logger = logging.getLogger(__name__)

_guard = threading.Lock()
# By path, with the bytes that are locked. Open as long as there is one: closing a file ends all locks of this process.
_files: dict[str, tuple[TextIO, set[int]]] = {}


@functools.cache  # once
def _warn(text: str) -> None:
    logger.warning(text)


class FolderInUseError(OSError):
    """Another run has the lock. The message names the folder and, where it is known, the process."""


class FolderLock:
    """Nobody else, no other process and no other thread, can have the same lock before `release`, or the end of the
    process, or of the block if it is used as a context manager. The folder is made, and gets a file .lock that stays.

    Args:
        folder: what is locked.
        name: a thing in the folder, each of which has a lock of its own; "" for the folder's.

    Raises:
        FolderInUseError: another has it.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike, name: str = ""):
        os.makedirs(folder, exist_ok=True)
        self._path = os.path.join(os.path.realpath(folder), ".lock")
        # Each name is a byte of the file, which need not be that long.
        self._byte = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:6], "big") if name else 0
        with _guard:
            if self._path not in _files:
                _files[self._path] = open(self._path, "a+"), set()  # noqa: SIM115 - stays open
            file, held = _files[self._path]
            try:
                if self._byte in held or not self._lock(file):
                    file.seek(0)
                    who = "" if name else f" ({file.read().strip() or 'of another machine'})"
                    raise FolderInUseError(f"{folder}: found a run that is using it{who}")
                held.add(self._byte)
                if not name:
                    file.truncate(0)
                    file.write(f"process {os.getpid()}\n")
                    file.flush()
            finally:
                self._close_unused()

    def _lock(self, file: TextIO) -> bool:
        if fcntl is not None:
            try:
                # A forked worker does not inherit it, unlike flock's.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._byte)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    return False
                _warn(f"{self._path} cannot be locked ({error.strerror}): let no two runs do the same there")
        return True

    def release(self) -> None:
        """Let others have it."""
        with _guard:
            file, held = _files[self._path]
            held.remove(self._byte)
            if held and fcntl is not None:
                fcntl.lockf(file, fcntl.LOCK_UN, 1, self._byte)
            self._close_unused()

    def _close_unused(self) -> None:
        if not _files[self._path][1]:
            _files.pop(self._path)[0].close()

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()
