# SPDX-License-Identifier: Apache-2.0
"""Files that grow with a video: what is in them is whole at any time."""

import io
import os
from pathlib import Path


class LineFile:
    """A text file that is written line by line, at once.

    Attributes:
        size: bytes of the whole lines.
    """

    def __init__(self, path: Path):
        self.size = 0
        self._file = io.FileIO(path, "w")

    def write(self, lines: bytes) -> None:
        """Append whole lines."""
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._file.name) from error
        self.size += len(lines)

    def close(self) -> None:
        """Take away what a failed `write` left, and close the file; again does nothing."""
        if not self._file.closed:
            self._file.truncate(self.size)
            self._file.close()


def write_picture(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, without waiting for the disk as `whole_file` does: there is one a frame."""
    try:
        path.write_bytes(content)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
