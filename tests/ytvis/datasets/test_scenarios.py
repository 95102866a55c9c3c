# SPDX-License-Identifier: Apache-2.0
"""The scenarios of the synthetic data set: what a tracker sees in their videos."""

import json

import cv2
import numpy as np
import pytest

from ifc.ytvis.datasets.shapes import PLAIN, SCENARIOS, render_video, write_ytvis

HEIGHT, WIDTH, LENGTH = 64, 96, 40
HARD = [name for name in SCENARIOS if name != PLAIN]


def render(scenario, index, seed=3, length=LENGTH, **options):
    options = {"num_instances": (2, 4), "scenario": scenario, "video_index": index} | options
    return render_video(seed, HEIGHT, WIDTH, length, **options)


@pytest.fixture(scope="module")
def videos():
    """Twelve videos of each scenario."""
    return {scenario: [render(scenario, index) for index in range(12)] for scenario in SCENARIOS}


def gaps(masks):
    """(first, end) of each time that a track (T, H, W) is out of sight between two times that it is seen."""
    seen = np.flatnonzero(masks.any(axis=(1, 2)))
    return [(before + 1, after) for before, after in zip(seen, seen[1:], strict=False) if after > before + 1]


def long_gaps(video, least):
    """(track, first, end) of the gaps of at least so many frames."""
    return [
        (track, first, end)
        for track, masks in enumerate(video.masks)
        for first, end in gaps(masks)
        if end - first >= least
    ]


@pytest.mark.parametrize("scenario", HARD)
def test_a_scenario_is_another_video_of_the_seed_and_the_same_again(videos, scenario):
    first, again, plain = videos[scenario][2], render(scenario, 2), videos[PLAIN][2]
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.masks, again.masks)
    assert first.masks.shape != plain.masks.shape or (first.masks != plain.masks).any()
    assert all(video.masks.sum(axis=0).max() <= 1 for video in videos[scenario])


def test_the_plain_videos_are_those_without_a_scenario(videos):
    for index in (0, 5):
        default = render_video(3, HEIGHT, WIDTH, LENGTH, num_instances=(2, 4), video_index=index)
        np.testing.assert_array_equal(default.frames, videos[PLAIN][index].frames)
        np.testing.assert_array_equal(default.masks, videos[PLAIN][index].masks)


@pytest.mark.parametrize("scenario", ["occlusion", "reentry"])
def test_objects_are_absent_as_long_as_is_asked_for_and_seen_before_and_after(videos, scenario):
    absences = [long_gaps(video, 5) for video in videos[scenario]]
    assert all(absences)  # in each video
    lengths = [end - first for of_video in absences for _, first, end in of_video]
    assert np.mean(np.array(lengths) <= 15 + 4) > 0.9
    assert max(lengths) - min(lengths) >= 6
    brief = [render(scenario, index, length=16, absence=(3, 4)) for index in range(6)]
    lengths = [end - first for video in brief for _, first, end in long_gaps(video, 3)]
    assert len(lengths) >= 6 and np.median(lengths) <= 6


def test_who_is_occluded_vanishes_behind_the_foremost_object(videos):
    """Which is seen all the time: it is where the other one was last seen, and is seen again."""
    touches = []
    for video in videos["occlusion"]:
        assert video.masks[-1].any(axis=(1, 2)).all()
        for track, first, end in long_gaps(video, 5):
            for frame in (first - 1, end):
                grown = cv2.dilate(video.masks[-1, frame].astype(np.uint8), np.ones((3, 3)))
                touches.append((grown.astype(bool) & video.masks[track, frame]).any())
    assert np.mean(touches) > 0.9


def test_who_leaves_is_last_seen_at_the_edge_and_returns_also_at_another_one(videos):
    def sides(mask):
        return {side for side, line in enumerate((mask[0], mask[-1], mask[:, 0], mask[:, -1])) if line.any()}

    ways = [
        (sides(video.masks[track, first - 1]), sides(video.masks[track, end]))
        for video in videos["reentry"]
        for track, first, end in long_gaps(video, 5)
    ]
    assert np.mean([bool(out and back) for out, back in ways]) > 0.8
    assert any(out and back and not out & back for out, back in ways)
    assert any(out & back for out, back in ways)


def test_pairs_look_alike_and_cross(videos):
    def color(video, track):
        return np.mean(video.frames[video.masks[track]], axis=0)

    crossings = []
    for video in videos["lookalikes"]:
        for first, second in zip(range(0, 4, 2), range(1, 4, 2), strict=True):
            if second >= len(video.class_ids):
                continue
            assert video.class_ids[first] == video.class_ids[second]
            areas = [video.masks[track].sum(axis=(1, 2)).max() for track in (first, second)]
            assert 0.7 < areas[0] / areas[1] < 1.4
            hues = [np.argsort(color(video, track)) for track in (first, second)]
            assert hues[0][-1] == hues[1][-1] or np.abs(color(video, first) - color(video, second)).max() < 60
            both = video.masks[[first, second]].any(axis=(2, 3)).all(axis=0)
            centers = [
                np.array([np.mean(np.nonzero(mask), axis=1)[1] for mask in video.masks[track, both]])
                for track in (first, second)
            ]
            side = np.sign(np.subtract(*centers))
            crossings.append((np.diff(side) != 0).sum())
    assert min(crossings) >= 1 and len(crossings) >= 12


def test_cuts_change_the_background_and_the_places_of_the_same_objects(videos):
    for video in videos["cuts"]:
        changes = np.abs(np.diff(video.frames.astype(int), axis=0)).mean(axis=(1, 2, 3))
        cuts = np.flatnonzero(changes > 3 * np.median(changes)) + 1
        assert 1 <= len(cuts) <= 3
        assert np.diff([0, *cuts, LENGTH]).min() >= 8
        for cut in cuts:
            before, after = video.masks[:, cut - 1], video.masks[:, cut]
            both = before.any(axis=(1, 2)) & after.any(axis=(1, 2))
            assert both.any()
            ious = (before & after).sum(axis=(1, 2)) / (before | after).sum(axis=(1, 2)).clip(1)
            assert ious[both].mean() < 0.7
        assert (video.masks.any(axis=(2, 3)).mean(axis=1) > 0.5).any()


def test_files_tell_the_scenario_keep_one_id_and_do_not_depend_on_the_number_of_processes(tmp_path):
    options = {"seed": 3, "image_size": (HEIGHT, WIDTH), "length": LENGTH, "num_instances": 3, "scenario": "reentry"}
    one, two = (write_ytvis(tmp_path / str(n), "val", 2, num_workers=n, **options) for n in (1, 2))
    assert one.read_bytes() == two.read_bytes()
    content = json.loads(one.read_text())
    assert content["info"]["scenario"] == "reentry"
    assert "scenario" not in json.loads(write_ytvis(tmp_path, "val", 1, seed=0, length=1).read_text())["info"]
    for index in range(2):
        video = render("reentry", index, num_instances=3)
        tracks = [track for track in content["annotations"] if track["video_id"] == index + 1]
        seen = [[mask is not None for mask in track["segmentations"]] for track in tracks]
        np.testing.assert_array_equal(seen, video.masks.any(axis=(2, 3)))
        assert long_gaps(video, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scenario": "chaos"}, "scenario: found 'chaos', expected one of plain, occlusion"),
        ({"scenario": "cuts", "absence": (1, 2)}, "absence: found \\(1, 2\\), expected none.*'cuts'"),
        ({"scenario": PLAIN, "absence": (1, 2)}, "absence: found \\(1, 2\\), expected none.*'plain'"),
        ({"absence": (0, 2)}, "absence: found 0, expected a whole number of at least 1"),
        ({"absence": (5, 4)}, "absence: found 4, expected a whole number of at least 5"),
        ({"absence": (5, 29)}, "length.* up to 29 frames: found 40, expected a whole number of at least 41"),
        ({"length": 26}, "length.*: found 26, expected a whole number of at least 27"),
        ({"scenario": "cuts", "length": 15}, "length.*: found 15, expected a whole number of at least 16"),
        ({"scenario": "occlusion", "num_instances": 1}, "num_instances.*'occlusion': found 1, .* at least 2"),
        ({"scenario": "lookalikes", "num_instances": (1, 3)}, "num_instances.*'lookalikes': found 1, .* at least 2"),
    ],
)
def test_what_does_not_fit_a_scenario_is_refused(tmp_path, change, message):
    arguments = {"length": 40, "num_instances": (2, 4), "scenario": "reentry"} | change
    with pytest.raises(ValueError, match=message):
        render_video(0, HEIGHT, WIDTH, **arguments)
    with pytest.raises(ValueError, match=message):
        write_ytvis(tmp_path, "val", 1, seed=0, **arguments)
    assert not list(tmp_path.iterdir())
