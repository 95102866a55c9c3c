# SPDX-License-Identifier: Apache-2.0
"""Labels on the parts of a run, and the timer that hears of them."""

import threading

import pytest
import torch

from ifc.regions import each_in_region, region, timed_regions


class FakeClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


def test_every_moment_belongs_to_the_innermost_region() -> None:
    clock = FakeClock()
    inner = region("inner")(clock.passes)
    clock.passes(1000)
    with timed_regions("rest", clock=clock) as seconds:
        clock.passes(1)
        with region("outer"):
            clock.passes(2)
            inner(4)
            with pytest.raises(ZeroDivisionError), region("fails"):
                clock.passes(8)
                raise ZeroDivisionError
            clock.passes(16)
        inner(32)
        clock.passes(64)
    clock.passes(1000)
    assert seconds == {"rest": 1 + 64, "outer": 2 + 16, "inner": 4 + 32, "fails": 8}


def test_without_a_listener_a_region_is_its_block() -> None:
    with region("unheard"):
        assert region("unheard")(divmod)(7, 2) == (3, 1)
    with timed_regions("rest", clock=FakeClock()) as seconds:
        pass
    assert seconds == {"rest": 0}


def test_items_are_fetched_in_a_region_and_used_outside() -> None:
    clock = FakeClock()

    def items():
        for index in range(3):
            clock.passes(1)
            yield index

    with timed_regions("rest", clock=clock) as seconds:
        for _ in each_in_region("fetching", items()):
            clock.passes(10)
    assert seconds == {"fetching": 3, "rest": 30}


def test_other_threads_are_not_timed() -> None:
    clock = FakeClock()

    def work() -> None:
        with region("beside"):
            clock.passes(5)

    with timed_regions("rest", clock=clock) as seconds:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seconds == {"rest": 5}


def test_compiled_code_has_no_regions_and_one_graph() -> None:
    def double(x):
        with region("inside"):
            return 2 * x

    compiled = torch.compile(double, fullgraph=True, backend="eager")
    with timed_regions("rest") as seconds:
        assert compiled(torch.tensor(3)) == 6
    assert set(seconds) == {"rest"}
