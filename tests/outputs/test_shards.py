# SPDX-License-Identifier: Apache-2.0
"""Inputs divided among processes, which are killed, and run at the same time."""

import random
import signal
import threading

from outputs.shard_process import (
    NUM_VIDEOS,
    finished,
    kill_shards,
    partial_files,
    results,
    run_shards,
    segment_and_die,
    segmenter,
    start,
)

from ifc.outputs import SegmentSettings, segment_videos, take_share


def test_two_processes_give_what_one_gives(root, one, tmp_path):
    assert run_shards(root, tmp_path, 2) == [0, 0]
    assert results(tmp_path) == one
    assert partial_files(tmp_path) == []


def test_killed_at_random_moments_they_do_what_is_missing(root, one, tmp_path):
    draw, killed, before = random.Random(0), set(), {}
    for count in (2, 2, 3):
        kill_shards(root, tmp_path, count, draw, killed)
        after = finished(tmp_path)
        assert before.items() <= after.items(), "none is done twice"
        before = after
    assert len(before) < NUM_VIDEOS and killed
    assert run_shards(root, tmp_path, 2) == [0, 0]
    assert before.items() <= finished(tmp_path).items()
    assert results(tmp_path) == one
    assert partial_files(tmp_path) == []


def test_a_video_that_its_process_dies_of_twice_is_set_aside(root, one, tmp_path):
    inputs, model = [root / "videos/a/0.mp4", root / "videos/b/0.mp4"], segmenter(root)
    for _ in range(2):
        process = start(segment_and_die, root, inputs[0], tmp_path)
        process.join()
        assert process.exitcode == -signal.SIGKILL
    for _ in range(2):
        outcomes = segment_videos(inputs, tmp_path, model)
        assert [outcome.status for outcome in outcomes] == ["crashed", "finished"]
        assert str(inputs[0]) in outcomes[0].error and "--overwrite" in outcomes[0].error
    assert finished(tmp_path).keys() == {"0_2"} and (tmp_path / "0.part").is_dir()
    (outcome,) = segment_videos(inputs[:1], tmp_path, model, SegmentSettings(overwrite=True))
    assert outcome.status == "finished" and results(tmp_path).items() <= one.items()
    assert partial_files(tmp_path) == []


def test_what_another_run_is_at_is_left_to_it(root, one, tmp_path):
    """Here of the same process, as the app's are; of others, see the tests of locks."""
    inputs, model = [root / "videos/a/0.mp4", root / "videos/b/0.mp4"], segmenter(root)
    is_at_it, may_go_on = threading.Event(), threading.Event()

    def wait(*_):
        is_at_it.set()
        may_go_on.wait()

    first = threading.Thread(target=lambda: segment_videos(inputs[:1], tmp_path, model, None, wait, among=inputs))
    first.start()
    is_at_it.wait()
    outcomes = segment_videos(inputs, tmp_path, model)
    may_go_on.set()
    first.join()
    assert [outcome.status for outcome in outcomes] == ["running", "finished"]
    assert str(inputs[0]) in outcomes[0].error and outcomes[0].folder is None
    assert results(tmp_path).items() <= one.items() and len(finished(tmp_path)) == 2
    assert all(outcome.skipped for outcome in segment_videos(inputs, tmp_path, model))


def test_shares_are_of_about_the_same_size_and_the_largest_goes_first(tmp_path):
    sizes = {"small.mp4": 10, "large.mp4": 100, "middle.mp4": 60, "other.mp4": 30}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "frames").mkdir()
    for index in range(5):
        (tmp_path / "frames" / f"{index}.jpg").write_bytes(bytes(10))
    inputs = [tmp_path / name for name in (*sizes, "frames")] + ["rtsp://camera", str(tmp_path / "nowhere.mp4")]
    average = [inputs[5], inputs[6]]  # (10 + 100 + 60 + 30 + 50) / 5 = 50
    assert take_share(inputs) == [inputs[1], inputs[2], inputs[4], *average, inputs[3], inputs[0]]
    shares = [take_share(inputs, index, 3) for index in (1, 2, 3)]
    assert shares == [[inputs[1], inputs[3]], [inputs[2], average[1]], [inputs[4], average[0], inputs[0]]]
