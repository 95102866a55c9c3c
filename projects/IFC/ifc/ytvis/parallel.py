# SPDX-License-Identifier: Apache-2.0
"""One function for many videos, on several cores; and processes that end with the one that started them."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context, parent_process
from typing import Any

from tqdm import tqdm


def map_videos(
    function: Callable,
    items: Sequence[Any],
    num_workers: int,
    description: str | None = None,
    prepare: Callable[[], Any] | None = None,
) -> Iterator[Any]:
    """`function` of each item, in order, by one or several processes; with a progress bar if it has a description.

    Of several processes, each calls `prepare` first. Function, items and `prepare` have to be picklable.
    """
    bar = partial(tqdm, total=len(items), desc=description, unit="video", disable=description is None)
    if num_workers == 1 or len(items) < 2:
        yield from bar(map(function, items))
        return
    # Not forked: OpenCV's and torch's threads do not survive that.
    executor = ProcessPoolExecutor(min(num_workers, len(items)), get_context("spawn"), _start_worker, (prepare,))
    try:
        chunk = max(1, min(16, len(items) // (4 * num_workers)))
        yield from bar(executor.map(function, items, chunksize=chunk))
    finally:
        executor.shutdown(cancel_futures=True)


def _start_worker(prepare: Callable[[], Any] | None) -> None:
    end_with_parent()
    if prepare is not None:
        prepare()


def end_with_parent() -> None:
    """Let this process end with the one that started it, however that ends: it might wait for it forever.

    Does nothing in a process that `multiprocessing` did not start.
    """
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(process: Any) -> None:
    process.join()
    os._exit(1)  # at once: the main thread may be waiting for another process
