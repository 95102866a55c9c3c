# SPDX-License-Identifier: Apache-2.0
"""The metric against the official numbers, against COCOeval on random cases, and on faulty input."""

import copy
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_utils
from ytvis.metric.random_cases import cases
from ytvis.metric.video_coco import evaluate_slowly

from ifc.ytvis.ground_truth import read_ground_truth
from ifc.ytvis.metric import evaluate_tracks, video_ap
from ifc.ytvis.metric.result_tracks import read_results

GOLDEN = Path(__file__).parents[2] / "golden"

# pycocotools' decode, which only the oracles need, is older than NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:pycocotools")


@pytest.mark.parametrize("case", ["small", "counts"])
def test_equals_the_official_numbers(case):
    expected = json.loads((GOLDEN / f"eval_{case}_expected.json").read_text())
    result = evaluate_tracks(GOLDEN / f"eval_{case}_gt.json", GOLDEN / f"eval_{case}_results.json")
    np.testing.assert_allclose(result.stats, expected["stats"], rtol=0, atol=1e-9)
    assert result.per_category_ap == pytest.approx(expected["per_category_AP"], rel=0, abs=1e-9)


def test_result_arrays_have_the_documented_shapes():
    result = evaluate_tracks(GOLDEN / "eval_counts_gt.json", GOLDEN / "eval_counts_results.json")
    assert result.stats.shape == (12,)
    assert result.precision.shape == (10, 101, 3, 4, 3)
    assert result.recall.shape == (10, 3, 4, 3)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_equals_cocoeval_on_random_cases(case):
    ground_truth, results = case
    stats, category_ap = evaluate_slowly(copy.deepcopy(ground_truth), copy.deepcopy(results))
    result = evaluate_tracks(ground_truth, results)
    np.testing.assert_allclose(result.stats, stats, rtol=0, atol=1e-9)
    assert result.per_category_ap.keys() == category_ap.keys()
    for name, value in category_ap.items():
        assert result.per_category_ap[name] == (value if value is None else pytest.approx(value, rel=0, abs=1e-9))


# ---------------------------------------------------------------------------------------------------------------------
# Single cases


def rectangle(y0, y1, x0, x1, size=(6, 8)):
    mask = np.zeros(size, dtype=np.uint8, order="F")
    mask[y0:y1, x0:x1] = 1
    return {"size": list(size), "counts": mask_utils.encode(mask)["counts"].decode()}


@pytest.fixture
def ground_truth():
    """One video of three frames of 6 x 8 pixels, one object of 12 pixels, absent on the last frame; two categories."""
    return {
        "videos": [{"id": 4, "length": 3, "height": 6, "width": 8}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 9, "name": "dog"}],
        "annotations": [
            {
                "id": 1,
                "video_id": 4,
                "category_id": 9,
                "iscrowd": 0,
                "segmentations": [rectangle(0, 3, 0, 4), rectangle(0, 3, 0, 4), None],
                "areas": [12, 12, None],
            }
        ],
    }


def result_of(*segmentations, score=0.5):
    return {"video_id": 4, "category_id": 9, "score": score, "segmentations": list(segmentations)}


def ious_of(ground_truth, result):
    """The one IoU, told from the thresholds that the only result passes."""
    checked = read_ground_truth(ground_truth)
    found = read_results([result], checked)
    return video_ap.track_ious(found[4, 9], checked.tracks[4])


def test_iou_sums_over_frames_before_it_divides(ground_truth):
    result = result_of(rectangle(0, 3, 0, 2), None, rectangle(0, 1, 0, 5))
    assert ious_of(ground_truth, result) == 6 / (12 + 12 + 5)


def test_of_equal_ious_the_later_object_is_taken():
    """The first result is as near to either object, the second reaches one of them only."""
    size = (1, 11)
    left, right = rectangle(0, 1, 0, 8, size), rectangle(0, 1, 2, 10, size)
    results = [
        {"video_id": 4, "category_id": 9, "score": 0.9, "segmentations": [rectangle(0, 1, 1, 9, size)]},
        {"video_id": 4, "category_id": 9, "score": 0.5, "segmentations": [rectangle(0, 1, 3, 11, size)]},
    ]
    for objects, expected in (([left, right], 51 / 101), ([right, left], 1)):
        ground_truth = {
            "videos": [{"id": 4, "length": 1, "height": size[0], "width": size[1]}],
            "categories": [{"id": 9, "name": "dog"}],
            "annotations": [
                {"video_id": 4, "category_id": 9, "iscrowd": 0, "segmentations": [mask], "areas": [8]}
                for mask in objects
            ],
        }
        assert evaluate_tracks(ground_truth, results).stats[1] == pytest.approx(expected, rel=0, abs=1e-9)
        assert evaluate_slowly(ground_truth, results)[0][1] == pytest.approx(expected, rel=0, abs=1e-9)


def test_no_results_at_all(ground_truth):
    result = evaluate_tracks(ground_truth, [])
    assert result.stats.tolist() == [0, 0, 0, 0, -1, -1, 0, 0, 0, 0, -1, -1]
    assert result.per_category_ap == {"cat": None, "dog": 0.0}


def test_no_objects_at_all(ground_truth):
    ground_truth["annotations"] = []
    result = evaluate_tracks(ground_truth, [result_of(rectangle(0, 3, 0, 4), None, None)])
    assert (result.stats == -1).all()
    assert result.per_category_ap == {"cat": None, "dog": None}


def test_a_video_longer_than_32_bits_of_pixels_is_exact():
    length, size = 2500, (1080, 1920)
    full, half = rectangle(0, 1080, 0, 1920, size), rectangle(0, 1080, 0, 960, size)
    assert length * size[0] * size[1] > 2**32
    ground_truth = {
        "videos": [{"id": 4, "length": length, "height": size[0], "width": size[1]}],
        "categories": [{"id": 9, "name": "dog"}],
        "annotations": [
            {"video_id": 4, "category_id": 9, "segmentations": [full] * length, "areas": [size[0] * size[1]] * length}
        ],
    }
    iou = ious_of(ground_truth, result_of(*[full] * (length - 1), half))
    assert iou == (length - 0.5) / length


def test_masks_with_empty_runs_in_the_same_place(ground_truth):
    """pycocotools' intersection ends where both masks have a run of length 0; here it must not."""
    mask = {"size": [6, 8], "counts": [2, 3, 0, 1, 4, 38]}
    annotation = ground_truth["annotations"][0]
    annotation["segmentations"], annotation["areas"] = [mask, None, None], [42, None, None]
    assert ious_of(ground_truth, result_of(mask, None, None)) == 1


# ---------------------------------------------------------------------------------------------------------------------
# Faulty input


def _set(*path_and_value):
    """A change that puts a value at a path of keys and indices; the value `...` deletes the key."""
    *path, last, value = path_and_value

    def change(data):
        for key in path:
            data = data[key]
        if value is ...:
            del data[last]
        else:
            data[last] = value

    return change


ANNOTATION = ("annotations", 0)
FIRST_MASK = (*ANNOTATION, "segmentations", 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("annotations", None), "annotations: found none, expected a list; nothing can be measured"),
        (_set("annotations", {}), "annotations: found {}, expected a list"),
        (_set("annotations", 0, 5), r"annotations\[0\]: found 5, expected an object"),
        (_set("videos", "x"), "videos: found 'x', expected a list"),
        (_set("videos", 0, "id", "4"), r"videos\[0\].id: found '4', expected an integer"),
        (_set("videos", 0, "length", ...), r"videos\[0\].length: found nothing, expected the number"),
        (_set("videos", 0, "height", -6), r"videos\[0\]: height x width: found -6 x 8, expected positive"),
        (_set("videos", 0, "width", 10**9), r"videos\[0\]: height x width: found 6 x 1000000000, .*at most 134217728"),
        (lambda data: data["videos"].append(data["videos"][0]), r"videos\[1\].id: found 4, expected another id"),
        (_set("categories", 0, "id", 9), r"categories\[1\].id: found 9, expected another id"),
        (_set("categories", 0, "name", "dog"), r"categories\[1\].name: found 'dog', expected another name"),
        (
            _set("categories", [{"id": i, "name": "x" * 999} for i in (1, 9)]),
            r"categories\[1\].name: found 'x{9,40}\.\.\.x{9,40}', expected another name",
        ),
        (_set("categories", 0, "name", None), r"categories\[0\].name: found nothing, expected a string"),
        (
            _set(*ANNOTATION, "video_id", 5),
            r"annotations\[0\].video_id: found 5, expected the id of one of the 1 videos",
        ),
        (
            _set(*ANNOTATION, "category_id", 3),
            r"annotations\[0\].category_id: found 3, expected the id of one of the 2",
        ),
        (_set(*ANNOTATION, "iscrowd", "no"), r"annotations\[0\].iscrowd: found 'no', expected 0 or 1"),
        (_set(*ANNOTATION, "areas", [1, 2]), r"annotations\[0\].areas: found 2 entries, expected 3"),
        (_set(*ANNOTATION, "areas", 1, float("nan")), r"annotations\[0\].areas\[1\]: found nan, expected a number"),
        (_set(*ANNOTATION, "areas", 1, -1), r"annotations\[0\].areas\[1\]: found -1, expected a number"),
        (_set(*ANNOTATION, "segmentations", ...), r"annotations\[0\].segmentations: found nothing, expected a list"),
        (_set(*ANNOTATION, "segmentations", [None]), r"annotations\[0\].segmentations: found 1 entries, expected 3"),
        (_set(*FIRST_MASK, 3), r"segmentations\[0\]: found 3, expected an RLE, a list of polygons or null"),
        (_set(*FIRST_MASK, "size", [8, 6]), r"segmentations\[0\].size: found \[8, 6\], expected \[6, 8\]"),
        (_set(*FIRST_MASK, "size", ...), r"segmentations\[0\].size: found nothing"),
        (_set(*FIRST_MASK, "counts", ...), r"segmentations\[0\].counts: found nothing, expected a string or a list"),
        (_set(*FIRST_MASK, "counts", ""), r"segmentations\[0\].counts: found an empty string"),
        (_set(*FIRST_MASK, "counts", "\u00e9"), r"segmentations\[0\].counts: found no RLE, 'é', expected 48"),
        (_set(*FIRST_MASK, "counts", "\ud800"), r"segmentations\[0\].counts: found no RLE, .*, expected 48"),
        (_set(*FIRST_MASK, "counts", "`1P"), r"segmentations\[0\].counts: found no RLE, '`1P', expected 48"),
        (
            _set(*FIRST_MASK, "counts", "11"),
            r"segmentations\[0\].counts: found runs that add up to 2, expected 48",
        ),
        (
            _set(*FIRST_MASK, "counts", "o" * 99 + "0"),
            r"segmentations\[0\].counts: found no RLE, 'o.*expected 48",
        ),
        (_set(*FIRST_MASK, "counts", [48.0]), r"segmentations\[0\].counts: found 48.0, expected runs"),
        (_set(*FIRST_MASK, "counts", [50, -2]), r"segmentations\[0\].counts: found -2, expected runs"),
        (
            _set(*FIRST_MASK, "counts", [40]),
            r"segmentations\[0\].counts: found runs that add up to 40, expected 48",
        ),
        (
            _set(*FIRST_MASK, [[0, 0, 3, 3]]),
            r"segmentations\[0\]\[0\]: found .*, expected x, y, x, y, ... of 3 points",
        ),
        (_set(*FIRST_MASK, [[0, 0, 3, 3, 1, 2, 5]]), r"segmentations\[0\]\[0\]: found .*of 3 points or more"),
        (_set(*FIRST_MASK, [[0, 0, 3, 3, 1e9, 2]]), r"segmentations\[0\]\[0\]: found 1000000000.0 in .* -8 and 16"),
    ],
)
def test_faults_of_the_ground_truth_are_named(ground_truth, change, message):
    change(ground_truth)
    with pytest.raises(ValueError, match=message):
        evaluate_tracks(ground_truth, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set(0, "not a result"), r"results\[0\]: found 'not a result', expected an object"),
        (_set(0, "video_id", 5), r"results\[0\].video_id: found 5, expected the id of one of the 1 videos"),
        (_set(0, "video_id", None), r"results\[0\].video_id: found nothing, expected the id of one"),
        (_set(0, "category_id", 0), r"results\[0\].category_id: found 0, expected the id of one of the 2 categories"),
        (_set(0, "category_id", True), r"results\[0\].category_id: found True, expected the id of one"),
        (_set(0, "score", ...), r"results\[0\].score: found nothing, expected a finite number"),
        (_set(0, "score", float("nan")), r"results\[0\].score: found nan, expected a finite number"),
        (_set(0, "score", float("inf")), r"results\[0\].score: found inf, expected a finite number"),
        (_set(0, "score", 10**400), r"results\[0\].score: found 1000.*, expected a finite number"),
        (_set(0, "score", "0.5"), r"results\[0\].score: found '0.5', expected a finite number"),
        (_set(0, "segmentations", [None] * 4), r"results\[0\].segmentations: found 4 entries, expected 3"),
        (_set(0, "segmentations", 1, "size", [6, 9]), r"results\[0\].segmentations\[1\].size: found \[6, 9\]"),
        (
            _set(0, "segmentations", 1, "counts", "0"),
            r"results\[0\].segmentations\[1\].counts: found runs that add up to 0, expected 48",
        ),
    ],
)
def test_faults_of_the_results_are_named(ground_truth, change, message):
    results = [result_of(rectangle(0, 3, 0, 4), rectangle(0, 3, 0, 4), None)]
    change(results)
    with pytest.raises(ValueError, match=message):
        evaluate_tracks(ground_truth, results)


@pytest.mark.parametrize("results", [{}, "[]", 3])
def test_results_that_are_no_list(ground_truth, results, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    with pytest.raises(ValueError, match=r"results\.json: found .*, expected a list of results"):
        evaluate_tracks(ground_truth, path)


@pytest.mark.parametrize("content", ["", '[{"video_id": 4', "[" * 100_000, "\x00"])
def test_files_that_are_no_json(ground_truth, content, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"results\.json: not valid json"):
        evaluate_tracks(ground_truth, path)


def test_a_compressed_file(ground_truth, tmp_path):
    path = tmp_path / "results.json.gz"
    path.write_bytes(gzip.compress(b"[]"))
    with pytest.raises(ValueError, match=r"results\.json\.gz: not valid json: found bytes .* a compressed file"):
        evaluate_tracks(ground_truth, path)


def test_a_missing_file(ground_truth, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.json"):
        evaluate_tracks(ground_truth, tmp_path / "nowhere.json")


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(min_codepoint=46, max_codepoint=113), max_size=8))
def test_any_string_is_a_mask_of_the_right_size_or_refused(counts):
    """What is accepted must decode, with pycocotools, to a mask of the area that was found."""
    ground_truth = {
        "videos": [{"id": 4, "length": 1, "height": 2, "width": 3}],
        "categories": [{"id": 9, "name": "dog"}],
        "annotations": [
            {"video_id": 4, "category_id": 9, "segmentations": [{"size": [2, 3], "counts": counts}], "areas": [1]}
        ],
    }
    try:
        track = read_ground_truth(ground_truth).tracks[4][0]
    except ValueError as error:
        assert "video 4, frame 0: annotations[0].segmentations[0].counts: found " in str(error)
    else:
        assert track.mask_areas[0] == mask_utils.decode(track.masks[0]).sum()
