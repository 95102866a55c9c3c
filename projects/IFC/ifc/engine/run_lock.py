# SPDX-License-Identifier: Apache-2.0
"""One run at a time in an output folder."""

import os
from typing import TextIO

try:
    import fcntl
except ImportError:  # Windows has none: two runs are not told apart there
    fcntl = None

_held: list[TextIO] = []  # locks, which last as long as their files are open


def lock_folder(folder: str) -> None:
    """Make `folder`, and let no other process lock it while this one lives.

    Raises:
        OSError: another run is using it, or it cannot be written.
    """
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, ".lock")
    file = open(path, "a+")  # noqa: SIM115 - stays open
    if fcntl is not None:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a forked worker does not inherit it, unlike flock's
        except OSError:
            file.seek(0)
            found = f"found a run that is using it ({file.read().strip() or 'of another machine'})"
            file.close()
            raise OSError(f"OUTPUT_DIR {folder}: {found}, expected a folder of its own for each run") from None
    file.truncate(0)
    file.write(f"process {os.getpid()}\n")
    file.flush()
    _held.append(file)
