# SPDX-License-Identifier: Apache-2.0
"""Stages before and behind the caller: order, bounds, errors in their place, and threads that end."""

import threading
import time

import pytest

from ifc.video.read_ahead import ReadablePart, finish_behind, read_ahead


def reader_threads() -> int:
    return sum(thread.name.startswith(("read-ahead", "finish-behind")) for thread in threading.enumerate())


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("ahead", [1, 3, 100])
def test_results_come_in_order(ahead, workers):
    def slow_square(x: int) -> int:
        time.sleep(0.002 * (x % 3))  # later ones are ready before earlier ones
        return x * x

    assert list(read_ahead(slow_square, iter(range(40)), ahead=ahead, workers=workers)) == [x * x for x in range(40)]
    assert reader_threads() == 0


def test_no_items():
    assert list(read_ahead(str, [])) == []


def test_items_and_results_are_made_by_other_threads():
    def items():
        yield threading.get_ident()

    assert threading.get_ident() not in list(read_ahead(lambda item: item, items()))
    assert threading.get_ident() not in list(read_ahead(lambda _: threading.get_ident(), [0]))


def test_reads_ahead_and_no_further():
    asked = []

    def items():
        for i in range(100):
            asked.append(i)
            yield i

    results = read_ahead(lambda x: x, items(), ahead=5)
    for taken in range(20):
        assert next(results) == taken
        # One more is in the hands of the thread that waits for room.
        assert len(asked) <= taken + 1 + 5 + 2
    for _ in range(500):
        if len(asked) >= 20 + 5:
            break
        time.sleep(0.01)
    assert len(asked) >= 20 + 5
    results.close()


@pytest.mark.parametrize("behind", [1, 3])
def test_finishing_behind_is_in_order_bounded_and_beside_the_caller(behind):
    made, finished, threads = [], [], set()

    def items():
        for i in range(20):
            made.append(i)
            assert len(made) - len(finished) <= behind + 1
            threads.add(threading.get_ident())
            yield i

    def square(x: int) -> int:
        for _ in range(500):  # not before a later item was asked for
            if len(made) > min(x + 1, 19):
                break
            time.sleep(0.01)
        assert len(made) > min(x + 1, 19)
        assert threading.get_ident() not in threads
        finished.append(x)
        return x * x

    assert list(finish_behind(square, items(), behind=behind)) == [x * x for x in range(20)]
    assert threads == {threading.get_ident()} and reader_threads() == 0


STAGES = [
    lambda function, items: read_ahead(function, items, ahead=3, workers=2),
    lambda function, items: finish_behind(function, items, behind=2),
]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("place", ["items", "function"])
def test_an_error_comes_in_its_place(place, stage):
    def items():
        for i in range(10):
            if place == "items" and i == 6:
                raise OSError("frame 6 is broken")
            yield i

    def function(x: int) -> int:
        if place == "function" and x == 6:
            raise OSError("frame 6 is broken")
        return x

    results = stage(function, items())
    assert [next(results) for _ in range(6)] == list(range(6))
    with pytest.raises(OSError, match="frame 6 is broken"):
        next(results)
    assert list(results) == []
    assert reader_threads() == 0


@pytest.mark.parametrize("stage", STAGES)
def test_threads_end_when_the_caller_stops_early(stage):
    def endless():
        while True:
            yield 0

    results = stage(lambda x: x, endless())
    next(results)
    assert reader_threads() > 0
    results.close()
    assert reader_threads() == 0


@pytest.mark.parametrize("options", [{"ahead": 0}, {"workers": 0}])
def test_bad_options_are_errors(options):
    with pytest.raises(ValueError, match="expected at least 1"):
        read_ahead(str, [], **options)


def items_until(fault: int):
    yield from range(fault)
    raise OSError(f"item {fault} is broken")


def test_readable_part_ends_at_the_first_fault():
    part = ReadablePart(items_until(3))
    assert list(part) == [0, 1, 2]
    assert str(part.error) == "item 3 is broken"
    whole = ReadablePart([5, 6])
    assert list(whole) == [5, 6] and whole.error is None
    assert list(ReadablePart([])) == []


def test_nothing_readable_is_an_error():
    with pytest.raises(OSError, match="item 0 is broken"):
        list(ReadablePart(items_until(0)))


def test_errors_of_the_caller_are_not_the_readers():
    part = ReadablePart([1, 2, 3])
    with pytest.raises(ZeroDivisionError):
        for item in part:
            item / 0
    assert part.error is None
