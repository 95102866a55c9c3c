# SPDX-License-Identifier: Apache-2.0
"""Stages of a pipeline, each a bounded iterator with threads of its own: those that read ahead of the caller, and those
that finish behind it; and reading up to the first fault."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

FRAMES_AHEAD = 32  # a second or so of video
_END = object()  # instead of an item: there are no more


class ReadablePart(Iterable[Item]):
    """The items up to the first that cannot be read.

    Iterating ends where `items` raises an error, which is then in `error`; if it is the first item that cannot be read,
    the error is raised. To be iterated once.
    """

    def __init__(self, items: Iterable[Item]):
        self._items = items
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[Item]:
        iterator = iter(self._items)
        yield from itertools.islice(iterator, 1)
        while True:
            try:
                item = next(iterator)
            except StopIteration:
                return
            except Exception as error:
                self.error = error
                return
            yield item


def read_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int = FRAMES_AHEAD, workers: int = 1
) -> Iterator[Result]:
    """`function` of each item, in order, computed ahead of the caller by threads.

    Going through `items` is done ahead, too, by a thread of its own. `function` runs in parallel where it lets others
    run, as decoding and resizing do.

    Args:
        ahead: the most results that wait for the caller, at least 1: memory is bounded by it.
        workers: threads that run `function`, at least 1.

    Yields:
        The results, in the order of the items.

    Raises:
        Whatever `items` or `function` raises, in its place among the results. The threads end then, and when the
        iterator is closed or forgotten.
    """
    if ahead < 1 or workers < 1:
        raise ValueError(f"read_ahead: found ahead={ahead}, workers={workers}, expected at least 1 for each")
    return _results(function, items, ahead, workers)


def _results(function: Callable[[Item], Result], items: Iterable[Item], ahead: int, workers: int) -> Iterator[Result]:
    iterator = iter(items)
    reader = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
    with reader, ThreadPoolExecutor(workers, thread_name_prefix="read-ahead") as pool:

        def result_of(reading: Future) -> Result | object:
            item = reading.result()
            return _END if item is _END else function(item)

        def start_next() -> Future:
            return pool.submit(result_of, reader.submit(next, iterator, _END))

        waiting = deque(start_next() for _ in range(ahead))
        try:
            while (result := waiting.popleft().result()) is not _END:
                waiting.append(start_next())
                yield result
        finally:
            reader.shutdown(wait=False, cancel_futures=True)
            pool.shutdown(wait=False, cancel_futures=True)


def finish_behind(function: Callable[[Item], Result], items: Iterable[Item], *, behind: int = 1) -> Iterator[Result]:
    """`function` of each item, in order, computed by a thread while the caller's goes on to the next items.

    Unlike with `read_ahead`, `items` is gone through by the caller's thread, when it asks for a result.

    Args:
        behind: the most results that are not finished when another item is asked for, at least 1.

    Yields:
        The results, in the order of the items.

    Raises:
        Whatever `items` or `function` raises, in its place among the results. The thread ends then, and when the
        iterator is closed or forgotten.
    """
    readable: ReadablePart[Item] = ReadablePart(items)
    with ThreadPoolExecutor(1, thread_name_prefix="finish-behind") as worker:
        waiting: deque[Future] = deque()
        try:
            for item in readable:
                waiting.append(worker.submit(function, item))
                if len(waiting) > behind:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            worker.shutdown(wait=False, cancel_futures=True)
    if readable.error is not None:
        raise readable.error
