# SPDX-License-Identifier: Apache-2.0
"""The stage behind the network: masks are encoded by a thread, on a GPU beside the network's kernels."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TypeVar

import torch

from ..regions import is_timed_on
from ..video.read_ahead import finish_behind

Item = TypeVar("Item")
Result = TypeVar("Result")


def encode_behind(function: Callable[[Item], Result], items: Iterable[Item], device: torch.device) -> Iterator[Result]:
    """`finish_behind`, where `items` come from the caller's stream of a GPU and `function` leaves nothing on it that it
    has not waited for: it has a stream of its own, on which it waits for its item's kernels but not for later ones.

    While regions are timed on the device, all is done in turn, so that every moment belongs to one.
    """
    if is_timed_on(device):
        return map(function, items)
    if device.type != "cuda":
        return finish_behind(function, items)

    def with_event() -> Iterator[tuple[Item, torch.cuda.Event]]:
        for item in items:
            yield item, torch.cuda.current_stream(device).record_event()

    def beside(item_and_event: tuple[Item, torch.cuda.Event]) -> Result:
        item, is_computed = item_and_event
        with torch.cuda.stream(_own_stream(device)):
            is_computed.wait()
            return function(item)

    return finish_behind(beside, with_event())


@cache
def _own_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all videos, as each stream keeps memory of its own."""
    return torch.cuda.Stream(device)
