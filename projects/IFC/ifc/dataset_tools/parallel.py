# SPDX-License-Identifier: Apache-2.0
"""One function for many videos, on several cores."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context, parent_process
from typing import Any

from tqdm import tqdm


def map_videos(function: Callable, items: Sequence[Any], num_workers: int, description: str | None) -> Iterator[Any]:
    """`function` of each item, in order, by one or several processes; with a progress bar if it has a description."""
    bar = partial(tqdm, total=len(items), desc=description, unit="video", disable=description is None)
    if num_workers == 1 or len(items) < 2:
        yield from bar(map(function, items))
        return
    # Not forked: OpenCV's and torch's threads do not survive that.
    executor = ProcessPoolExecutor(min(num_workers, len(items)), get_context("spawn"), end_with_parent)
    try:
        chunk = max(1, min(16, len(items) // (4 * num_workers)))
        yield from bar(executor.map(function, items, chunksize=chunk))
    finally:
        executor.shutdown(cancel_futures=True)


def end_with_parent() -> None:
    """Let this process end with the one that started it: when that is killed, it would wait for work forever."""

    def wait() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
