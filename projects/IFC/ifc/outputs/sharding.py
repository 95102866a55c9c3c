# SPDX-License-Identifier: Apache-2.0
"""Inputs divided among runs."""

import contextlib
import os
import statistics
from collections.abc import Sequence
from typing import TypeVar

from ..data.shares import balanced_shares
from ..video import file_stamp
from ..video.reading import local_path

Input = TypeVar("Input", str, os.PathLike)


def take_share(inputs: Sequence[Input], index: int = 1, num_shares: int = 1) -> list[Input]:
    """One of so many shares of about the same size in bytes, the largest input first, so that none is begun when all
    else is done. What is not on this machine's file systems counts as much as the others do on average: no server is
    asked, which might be for very many files.

    Args:
        index: that of the share, from 1.
    """
    sizes = [_size(each) for each in inputs]
    known = [size for size in sizes if size is not None]
    average = statistics.fmean(known) if known else 1
    costs = [average if size is None else size for size in sizes]
    share = balanced_shares(costs, num_shares)[index - 1]
    return [inputs[i] for i in sorted(share, key=lambda i: -costs[i])]


def _size(input_: str | os.PathLike) -> int | None:
    path = local_path(input_)
    with contextlib.suppress(OSError, ValueError):  # opening it will say what is wrong
        return path and file_stamp(path).size
    return None
