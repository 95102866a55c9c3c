# SPDX-License-Identifier: Apache-2.0
"""Error types, what they cost, and confusion: on a case worked out by hand, and what must hold on random ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ytvis.metric.columns import data_set
from ytvis.metric.random_cases import cases

from ifc.ytvis.ground_truth import read_ground_truth
from ifc.ytvis.metric.errors import (
    CORRECT,
    ERROR_TYPES,
    IGNORED,
    RESULT_ERRORS,
    best_score,
    confusion,
    error_costs,
    find_errors,
)
from ifc.ytvis.metric.result_tracks import read_results
from ifc.ytvis.metric.video_ap import evaluate_tracks, find_overlaps

# pycocotools' decode, which only the random cases need, is older than NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:pycocotools")

OBJECTS = [(1, "a", [(0, 10)]), (1, "a", [(20, 30)]), (1, "b", [(40, 50)]), (1, "a", [(60, 70)]), (1, "a", [(80, 90)])]
RESULTS = [
    (1, "a", 0.9, [(0, 10)]),
    (1, "a", 0.8, [(0, 10)]),
    (1, "a", 0.7, [(24, 34)]),  # IoU 6 / 14
    (1, "a", 0.6, [(40, 50)]),
    (1, "b", 0.5, [(66, 76)]),  # IoU 4 / 16
    (1, "b", 0.4, [(95, 100)]),
]


def findings_of(ground_truth, results):
    read = read_ground_truth(ground_truth)
    return find_errors(read, find_overlaps(read, read_results(results, read)))


def test_each_result_has_the_error_that_it_has():
    video = findings_of(*data_set(OBJECTS, RESULTS))[1]
    by_score = dict(zip(video.scores, video.verdicts, strict=True))
    assert by_score == {
        0.9: CORRECT,
        0.8: "duplicate",
        0.7: "localisation",
        0.6: "classification",
        0.5: "both",
        0.4: "background",
    }
    assert video.missed.tolist() == [False, False, True, True, False]  # those of "a" first


def test_the_cost_of_each_error_is_the_rise_of_ap50():
    costs = error_costs(findings_of(*data_set(OBJECTS, RESULTS)))
    assert list(costs) == list(ERROR_TYPES)
    assert {name: cost.count for name, cost in costs.items()} == dict.fromkeys(ERROR_TYPES, 1) | {"missed": 2}
    # Of "a" one of four objects is found, at precision 1: 26 of the 101 recall thresholds; of "b" none.
    expected = {
        "classification": 1 / 2,  # "b" is found
        "localisation": 25 * 2 / 3 / 101 / 2,  # a second "a", at precision 2/3
        "both": 0,
        "duplicate": 0,
        "background": 0,
        "missed": (51 - 26) / 101 / 2,  # one of two objects of "a"
    }
    assert {name: cost.ap50_rise for name, cost in costs.items()} == pytest.approx(expected, abs=1e-12)


def test_of_an_objects_results_the_oracle_keeps_the_best():
    """The corrected result is better than the correct one, which therefore goes, and both false ones with it."""
    objects = [(1, "a", [(0, 10)]), (1, "a", [(20, 30)])]
    results = [
        (1, "b", 0.9, [(0, 10)]),
        (1, "a", 0.8, [(50, 60)]),
        (1, "a", 0.7, [(0, 10)]),
        (1, "c", 0.6, [(0, 10)]),
    ]
    costs = error_costs(findings_of(*data_set(objects, results)))
    assert costs["classification"].count == 2
    # Half of the objects found at precision 1 instead of 1/2.
    assert costs["classification"].ap50_rise == pytest.approx(51 / 101 * (1 - 1 / 2))
    assert costs["background"].ap50_rise == pytest.approx(51 / 101 * (1 - 1 / 2))


def test_what_matches_a_crowd_is_no_error():
    ground_truth, results = data_set(OBJECTS[:1], [(1, "a", 0.9, [(20, 60)])], crowds=[(1, "a", [(20, 60)])])
    findings = findings_of(ground_truth, results)
    assert findings[1].verdicts == [IGNORED]
    assert len(findings[1].objects) == 1
    assert all(cost.count == 0 for name, cost in error_costs(findings).items() if name != "missed")
    assert confusion(findings, [1, 2, 3], 0.0).sum() == 1  # the object that is missed


def test_confusion_counts_what_counts_as_found():
    counts = confusion(findings_of(*data_set(OBJECTS, RESULTS)), [1, 2, 3], 0.55)
    assert counts.tolist() == [[1, 0, 0, 3], [1, 0, 0, 0], [0, 0, 0, 0], [2, 0, 0, 0]]


def test_the_best_score_is_that_of_the_highest_f1():
    assert best_score(findings_of(*data_set(OBJECTS, RESULTS))) == 0.9
    more = [*RESULTS, (1, "a", 0.5, [(80, 90)]), (1, "a", 0.5, [(60, 70)]), (1, "b", 0.5, [(40, 50)])]
    assert best_score(findings_of(*data_set(OBJECTS, more))) == 0.5
    assert best_score({}) == np.inf


@settings(max_examples=40)
@given(cases())
def test_random_cases_add_up(case):
    ground_truth, results = case
    findings = findings_of(ground_truth, results)
    costs = error_costs(findings)
    verdicts = [verdict for video in findings.values() for verdict in video.verdicts]
    assert {name: verdicts.count(name) for name in RESULT_ERRORS} == {n: costs[n].count for n in RESULT_ERRORS}
    assert set(verdicts) <= {CORRECT, IGNORED, *RESULT_ERRORS}
    # Without any error AP50 is 1, without one kind it is no lower than it was.
    assert all(cost.ap50_rise > -1e-12 for cost in costs.values())
    if not any(cost.count for cost in costs.values()) and any(len(v.objects) for v in findings.values()):
        assert evaluate_tracks(ground_truth, results).stats[1] == pytest.approx(1)
    counts = confusion(findings, sorted(c["id"] for c in ground_truth["categories"]), 0.0)
    assert counts[:-1].sum() == sum(len(video.objects) for video in findings.values())
    assert counts[-1, -1] == 0


@settings(max_examples=30)
@given(cases(), st.sampled_from(["both", "duplicate", "background"]))
def test_the_cost_of_what_is_too_much_is_what_the_metric_gains_without_it(case, error):
    ground_truth, results = case
    results = [record | {"score": record["score"] + 1e-6 * index} for index, record in enumerate(results)]
    findings = findings_of(ground_truth, results)
    verdict_of = {s: v for video in findings.values() for s, v in zip(video.scores, video.verdicts, strict=True)}
    assert len(verdict_of) == sum(len(video.results) for video in findings.values())
    left = [record for record in results if verdict_of.get(record["score"], error) != error]
    before, after = (evaluate_tracks(ground_truth, some).stats[1] for some in (results, left))
    assert error_costs(findings)[error].ap50_rise == pytest.approx(after - before, abs=1e-9)
