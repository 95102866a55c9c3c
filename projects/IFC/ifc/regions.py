# SPDX-License-Identifier: Apache-2.0
"""Labels on the parts of a run, for whoever wants to know where the time goes."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch

Item = TypeVar("Item")


class region(ContextDecorator):
    """Labels a block, or each call of a function that it decorates. It costs next to nothing while no one listens, and
    in code that torch.compile compiled it is not there."""

    def __init__(self, name: str):
        self._name = name

    def __enter__(self) -> None:
        if not torch.compiler.is_compiling() and (timer := _timer.get()) is not None:
            timer.enter(self._name)

    def __exit__(self, *error: object) -> None:
        if not torch.compiler.is_compiling() and (timer := _timer.get()) is not None:
            timer.leave()


def each_in_region(name: str, items: Iterable[Item]) -> Iterator[Item]:
    """The items, each of them fetched in a region."""
    iterator = iter(items)
    while True:
        with region(name):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


@contextmanager
def timed_regions(
    rest: str, device: torch.device | None = None, clock: Callable[[], float] = time.perf_counter
) -> Iterator[dict[str, float]]:
    """Time the regions that this thread enters while the block runs.

    A region inside another one interrupts it: every moment belongs to one region, and their times add up to the
    block's.

    Args:
        rest: the region of what lies in no other.
        device: on a GPU, entering and leaving a region waits for all that was started before. None: nothing waits.
        clock: seconds, such as time.process_time.

    Yields:
        Seconds by region, in the order in which they were first entered, `rest` the last; complete when the block has
        ended.
    """
    timer = _RegionTimer(device, clock)
    token = _timer.set(timer)
    timer.enter(rest)
    try:
        yield timer.seconds
    finally:
        timer.leave()
        timer.seconds[rest] = timer.seconds.pop(rest)
        _timer.reset(token)


def is_timed_on(device: torch.device) -> bool:
    """Whether this thread's regions are timed with all that they start on the device, which then should do nothing
    else."""
    return (timer := _timer.get()) is not None and timer.device == device


class _RegionTimer:
    def __init__(self, device: torch.device | None, clock: Callable[[], float]):
        self.seconds: dict[str, float] = {}
        self.device = device
        self._waits_for = device if device is not None and device.type == "cuda" else None
        self._clock = clock
        self._open: list[str] = []
        self._since = 0.0

    def enter(self, name: str) -> None:
        self._book()
        self.seconds.setdefault(name, 0.0)
        self._open.append(name)

    def leave(self) -> None:
        self._book()
        self._open.pop()

    def _book(self) -> None:
        """Give the time since the last call to the innermost region."""
        if self._waits_for is not None:
            torch.cuda.synchronize(self._waits_for)
        now = self._clock()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now


# A thread starts without one: what works ahead of the run is not timed, only the waiting for it.
_timer: ContextVar[_RegionTimer | None] = ContextVar("timer", default=None)
