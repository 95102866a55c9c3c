# SPDX-License-Identifier: Apache-2.0
"""The stages of `ifc segment` overlap."""

import gc
import threading

import pytest

from ifc.benchmark.time_pipeline import STAGES, segment
from ifc.video.read_ahead import FRAMES_AHEAD


class Stage:
    """Counts its frames, and waits for the others when it gets to a frame."""

    def __init__(self, meeting: threading.Barrier, frame: int):
        self._meeting, self._frame = meeting, frame
        self.num_frames = 0

    def __call__(self, num_frames: int) -> None:
        begin, self.num_frames = self.num_frames, self.num_frames + num_frames
        if begin <= self._frame < self.num_frames:
            self._meeting.wait()


def test_all_stages_are_at_work_at_once():
    """Each at another batch: in turn, or with less of them beside each other, they would wait for ever."""
    meeting = threading.Barrier(len(STAGES), timeout=20)
    stages = [Stage(meeting, batch * FRAMES_AHEAD + 1) for batch in (3, 2, 1, 0)]
    segment(stages, 5 * FRAMES_AHEAD)
    assert [stage.num_frames for stage in stages] == [5 * FRAMES_AHEAD] * len(STAGES)


@pytest.mark.parametrize("number", range(len(STAGES)))
def test_what_a_stage_raises_ends_all_of_them(number):
    def broken(num_frames: int) -> None:
        raise ZeroDivisionError(STAGES[number])

    stages = [broken if index == number else lambda _: None for index in range(len(STAGES))]
    message = ""
    try:
        segment(stages, 2 * FRAMES_AHEAD)
    except ZeroDivisionError as error:
        message = str(error)
    assert message == STAGES[number]
    gc.collect()  # the error's stack held on to the stages
    left = [thread.name for thread in threading.enumerate() if "ahead" in thread.name or "behind" in thread.name]
    assert left == []
