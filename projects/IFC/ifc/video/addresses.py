# SPDX-License-Identifier: Apache-2.0
"""Addresses, and the files behind those that fsspec reads: s3://, gs://, ftp://, memory://, ...

The others are FFmpeg's: http:// and https://, where it goes on at the byte at which a connection broke, and streams
(rtsp://, rtmp://, srt://, ...).
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from typing import Any

from fsspec.core import url_to_fs
from fsspec.registry import known_implementations, registry

from ..ytvis.images import natural_order

IS_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE).match
NETWORK_TIMEOUT = 10.0  # seconds without an answer or a byte after which a connection counts as broken
HTTP, _LOCAL = {"http", "https"}, {"file", "local"}
_OF_THE_EXTRA = {"s3", "s3a", "gs", "gcs"}  # schemes whose packages the extra "remote" brings
_BLOCK, _MAX_BLOCKS = 4 << 20, 16  # bytes that are fetched at once, and how many of those are kept


def scheme(text: str) -> str | None:
    """What stands before "://" of an address; None for what is none."""
    return text.partition("://")[0].lower() if IS_ADDRESS(text) else None


def is_remote_file(text: str) -> bool:
    """Whether a text is the address of a file that is read through fsspec."""
    return scheme(text) in {*known_implementations, *registry} - HTTP - _LOCAL


def without_file_scheme(text: str) -> str:
    """The path that a file:// address stands for; any other text as it is."""
    return url_to_fs(text)[1] if scheme(text) in _LOCAL else text


def find_remote_files(pattern: str) -> list[str]:
    """The addresses that match one with the characters *?[ in it, in natural order.

    Raises:
        ImportError: the package that reads such addresses is missing.
        OSError: the server refuses, or is not there.
    """
    with as_os_error(f"{pattern}: "):
        files, path = file_system(pattern)
        return sorted(map(files.unstrip_protocol, files.glob(path)), key=natural_order)


def file_system(address: str) -> tuple[Any, str]:
    """fsspec's file system for an address, not connected yet, and the path in it.

    Raises:
        ImportError: the package that reads such addresses is missing.
    """
    try:
        return url_to_fs(address)
    except ImportError as error:
        command = ": pip install 'detectron2-ifc[remote]'" if scheme(address) in _OF_THE_EXTRA else ""
        raise ImportError(f"{address}: {error}{command}") from error


@contextlib.contextmanager
def as_os_error(name: str = "") -> Iterator[None]:
    """Errors of file systems, which may be of any kind, as OSError in words; `name` goes before them."""
    try:
        yield
    except ImportError:
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{name}no such file") from error
    except Exception as error:
        text = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise OSError(f"{name}{text}") from error


class RemoteFile:
    """A file that is read through fsspec. What was fetched last is kept for all who read it, so that neither the
    beginning of a video nor its sound beside the pictures is fetched twice.

    Raises:
        ImportError: the package that reads such addresses is missing.
        OSError: there is no such file, or it may not be read.
    """

    def __init__(self, address: str):
        self.address = address
        self._lock = threading.Lock()
        with as_os_error():
            files, path = file_system(address)
            cache = {"cache_type": "blockcache", "cache_options": {"maxblocks": _MAX_BLOCKS}}
            self._file = files.open(path, "rb", block_size=_BLOCK, **cache)
            self.size = self._file.seek(0, os.SEEK_END)

    def read(self, start: int, count: int) -> bytes:
        """At most `count` bytes from `start` on.

        Raises:
            OSError: they cannot be fetched.
        """
        with self._lock, as_os_error():
            self._file.seek(start)
            return self._file.read(count)


class RemoteView:
    """A remote file with a position of its own, and the methods that PyAV wants."""

    def __init__(self, file: RemoteFile):
        self.name = file.address
        self._file, self._position = file, 0

    def read(self, count: int) -> bytes:
        """At most `count` bytes, none at the end."""
        content = self._file.read(self._position, count)
        self._position += len(content)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte."""
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._file.size}[whence]
        return self._position

    def tell(self) -> int:
        """The present byte."""
        return self._position
