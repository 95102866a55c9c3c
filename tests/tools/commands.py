# SPDX-License-Identifier: Apache-2.0
"""Calls the commands of `ifc` in this process."""

from collections.abc import Callable
from functools import partial

from ifc.cli.main import main


def command(*words: str) -> Callable[..., None]:
    """`ifc` with these words: takes what follows them, and returns where the exit status is 0."""
    return partial(main, command=words)
