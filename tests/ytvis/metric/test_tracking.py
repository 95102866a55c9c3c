# SPDX-License-Identifier: Apache-2.0
"""Frame by frame: identity switches and TrackEval's numbers, on cases worked out by hand and against each other."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from ytvis.metric.columns import data_set
from ytvis.metric.random_cases import cases

from ifc.ytvis.ground_truth import read_ground_truth
from ifc.ytvis.metric import evaluation
from ifc.ytvis.metric.identity import count_returns, count_switches, frame_overlaps, match_frames
from ifc.ytvis.metric.result_tracks import read_results
from ifc.ytvis.metric.tracking import NUMBERS, tracking_numbers
from ifc.ytvis.metric.video_ap import find_overlaps

# pycocotools' decode, which only the random cases need, is older than NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:pycocotools")

OBJECT = (1, "a", [(0, 10)] * 4)


def read(ground_truth, results):
    read = read_ground_truth(ground_truth)
    return read, read_results(results, read)


def overlaps_of(ground_truth, results):
    objects, found = read(ground_truth, results)
    return objects, find_overlaps(objects, found)


def numbers(ground_truth, results, score=0.0):
    return tracking_numbers(*overlaps_of(ground_truth, results), score)


def switches(ground_truth, results):
    """The identity switches of all objects."""
    _, overlaps = overlaps_of(ground_truth, results)
    found = 0
    for video in overlaps.values():
        objects = [track for track in video.annotated if not track.is_crowd]
        found += count_switches(frame_overlaps(objects, video.results), len(objects)).sum()
    return found


def test_perfect_results():
    result = numbers(*data_set([OBJECT], [(1, "a", 0.9, [(0, 10)] * 4)], length=4))
    assert result.keys() == {"", "a"}
    assert result[""] == result["a"]
    assert result[""] == pytest.approx(dict.fromkeys(sum(NUMBERS.values(), ()), 1) | {"IDSW": 0})


def test_a_track_that_is_cut_in_two():
    """All is found, but half of it under another identity."""
    half, other = [(0, 10), (0, 10), None, None], [None, None, (0, 10), (0, 10)]
    case = data_set([OBJECT], [(1, "a", 0.9, half), (1, "a", 0.8, other)], length=4)
    result = numbers(*case)[""]
    # Association accuracy is 2 frames of 4 for each of the two; identity gives the object to one of them.
    expected = {"DetA": 1, "AssA": 0.5, "HOTA": 0.5**0.5, "LocA": 1, "IDF1": 0.5, "MOTA": 3 / 4, "IDSW": 1}
    assert {name: result[name] for name in expected} == pytest.approx(expected)
    assert switches(*case) == 1


def test_a_gap_is_no_switch_but_a_return_is_two():
    back = [(1, "a", 0.9, [(0, 10), None, None, (0, 10)])]
    assert switches(*data_set([OBJECT], back, length=4)) == 0
    other = [(1, "a", 0.8, [None, (0, 10), None, None])]
    assert switches(*data_set([OBJECT], back + other, length=4)) == 2


AWAY = (1, "a", [(0, 10), (0, 10), None, (20, 30), None, None, (40, 50)])  # and back, twice


@pytest.mark.parametrize(
    ("results", "returns", "kept"),
    [
        ([[(0, 10), (0, 10), None, (20, 30), None, None, (40, 50)]], 2, 2),
        ([[(0, 10), (0, 10), None, None, None, None, (40, 50)], [None] * 3 + [(20, 30)] + [None] * 3], 2, 0),
        ([[(0, 10), None, None, None, None, None, (40, 50)]], 1, 1),  # what is not found does not return
        ([[None] * 3 + [(20, 30), None, None, (70, 80)]], 0, 0),
        ([[(0, 10)] + [None] * 6, [None, (0, 10), None, (20, 30)] + [None] * 3], 1, 1),  # a switch before it leaves
        ([[(0, 10), (0, 10), (0, 10), (20, 30), None, None, (40, 50)]], 2, 2),  # found also where it is not seen
        ([], 0, 0),
    ],
)
def test_returns_are_of_objects_that_were_out_of_sight(results, returns, kept):
    case = data_set([AWAY], [(1, "a", 0.9, spans) for spans in results], length=7)
    found = evaluation.evaluate(*read(*case), score=0.0)
    assert found.returns() == (returns, kept)
    assert found.identity_switches()[0] >= returns - kept


@settings(max_examples=30)
@given(cases())
def test_returns_are_those_that_one_finds_frame_by_frame(case):
    _, overlaps = overlaps_of(*case)
    for video in overlaps.values():
        frames = frame_overlaps(video.annotated, video.results)
        matched = [dict(zip(m.objects, m.results, strict=True)) for m in match_frames(frames, len(video.annotated))]
        returns = []
        for g, track in enumerate(video.annotated):
            at = [frame for frame, of_frame in enumerate(matched) if g in of_frame]
            for before, after in zip(at, at[1:], strict=False):
                if any(track.masks[frame] is None for frame in range(before, after)):
                    returns.append(matched[before][g] == matched[after][g])
        assert count_returns(frames, len(video.annotated)) == (len(returns), sum(returns))


def test_what_was_matched_stays_matched():
    """From the second frame on another result fits better; the object keeps the one that it has."""
    results = [(1, "a", 0.9, [(0, 10), (0, 8), (0, 8), (0, 8)]), (1, "a", 0.8, [None, (0, 10), (0, 10), (0, 10)])]
    assert switches(*data_set([OBJECT], results, length=4)) == 0


def test_results_of_lower_score_do_not_count():
    results = [(1, "a", 0.9, [(0, 10)] * 4), (1, "a", 0.2, [(50, 60)] * 4), (2, "b", 0.1, [(0, 10)] * 4)]
    case = data_set([OBJECT], results, length=4)
    assert numbers(*case, score=0.5)[""]["IDF1"] == pytest.approx(1)
    assert numbers(*case)["a"]["IDP"] == pytest.approx(0.5)
    assert numbers(*case)[""]["IDP"] == pytest.approx(1 / 3)
    assert numbers(*case)["b"]["HOTA"] == 0


def test_crowds_are_no_objects_and_what_lies_in_them_is_left_out():
    in_crowd, beside = (1, "a", 0.9, [(52, 64)] * 4), (1, "a", 0.8, [(58, 70)] * 4)  # 8 and 2 of 12 columns
    crowd = (1, "a", [(40, 60)] * 4)
    found = (1, "a", 0.95, [(0, 10)] * 4)
    assert numbers(*data_set([OBJECT], [found, in_crowd], crowds=[crowd], length=4))[""]["IDP"] == pytest.approx(1)
    assert numbers(*data_set([OBJECT], [found, beside], crowds=[crowd], length=4))[""]["IDP"] == pytest.approx(0.5)
    # An object inside of a crowd is found nevertheless.
    whole = (1, "a", [(0, 60)] * 4)
    assert numbers(*data_set([OBJECT], [found], crowds=[whole], length=4))[""]["IDF1"] == pytest.approx(1)


def test_nothing_at_all():
    assert numbers(*data_set([], [])) == {}
    assert numbers(*data_set([], [(1, "a", 0.9, [None])])) == {}


@settings(max_examples=30)
@given(cases())
def test_identity_switches_are_trackevals(case):
    ground_truth, results = case
    for annotation in ground_truth["annotations"]:
        annotation["iscrowd"] = 0
    result = numbers(ground_truth, results)
    assert all(np.isfinite(list(of_category.values())).all() for of_category in result.values())
    assert switches(ground_truth, results) == (result[""]["IDSW"] if result else 0)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackeval", None)
    with pytest.raises(ImportError, match="need the library TrackEval, .*: pip install trackeval"):
        numbers(*data_set([OBJECT], [], length=4))
