# SPDX-License-Identifier: Apache-2.0
"""Reading ahead, by threads while the caller works on earlier items; and reading up to the first fault."""

import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

FRAMES_AHEAD = 32  # a second or so of video
_END = None  # instead of a future: there are no more items


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
    waiting: queue.Queue[Future | None] = queue.Queue(maxsize=ahead)
    is_closed = threading.Event()
    with ThreadPoolExecutor(workers, thread_name_prefix="read-ahead") as pool:
        feeder = threading.Thread(target=_feed, args=(function, items, pool, waiting, is_closed), daemon=True)
        feeder.start()
        try:
            while (future := waiting.get()) is not _END:
                yield future.result()
        finally:
            is_closed.set()
            while feeder.is_alive():  # it may wait for room in the queue
                _empty(waiting)
                feeder.join(timeout=0.01)
            _empty(waiting)


def _feed(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    pool: ThreadPoolExecutor,
    waiting: "queue.Queue[Future | None]",
    is_closed: threading.Event,
) -> None:
    """Put the future of each item's result into the queue, and what ends them."""
    try:
        for item in items:
            waiting.put(pool.submit(function, item))
            if is_closed.is_set():
                break
    except BaseException as error:  # raised again where the caller reads this result
        failed: Future = Future()
        failed.set_exception(error)
        waiting.put(failed)
    waiting.put(_END)


def _empty(waiting: "queue.Queue[Future | None]") -> None:
    """Take out what waits, and do not begin what has not begun."""
    while True:
        try:
            future = waiting.get_nowait()
        except queue.Empty:
            return
        if future is not _END:
            future.cancel()
