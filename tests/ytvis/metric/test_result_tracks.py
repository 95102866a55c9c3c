# SPDX-License-Identifier: Apache-2.0
"""Whatever the files hold, they are read, or refused with one error that names the place."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_utils

from ifc.ytvis.ground_truth import read_ground_truth
from ifc.ytvis.masks import MAX_OUTLINE
from ifc.ytvis.metric.result_tracks import read_results
from ifc.ytvis.metric.video_ap import evaluate_tracks

SIZE = [6, 8]
COUNTS = mask_utils.frPyObjects({"size": SIZE, "counts": [6, 4, 2, 4, 32]}, *SIZE)["counts"].decode()
RLE = {"size": SIZE, "counts": COUNTS}
GROUND_TRUTH = {
    "videos": [{"id": 4, "length": 2, "height": 6, "width": 8}, {"id": 5, "length": 1, "height": 6, "width": 8}],
    "categories": [{"id": 1, "name": "cat"}, {"id": 9, "name": "dog"}],
    "annotations": [
        {"video_id": 4, "category_id": 9, "iscrowd": 0, "segmentations": [RLE, None], "areas": [8, None]},
        {"video_id": 5, "category_id": 1, "segmentations": [[[0, 0, 4, 0, 4, 4]]], "areas": [8]},
        {"video_id": 5, "category_id": 1, "segmentations": [{"size": [6, 8], "counts": [2, 6, 40]}], "areas": [6]},
    ],
}
RESULTS = [
    {"video_id": 4, "category_id": 9, "score": 0.5, "segmentations": [RLE, None]},
    {"video_id": 5, "category_id": 1, "score": 0.5, "segmentations": [[[0, 0, 4, 0, 4, 4]]]},
]

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 60)
    | st.sampled_from([2**31, 2**32, 2**63, 2**64, -(2**63), 10**400, 1e308, -0.0, 6.0, 8.0, 0.5])
    | st.floats()
    | st.text(max_size=6)
    | st.text(st.characters(min_codepoint=46, max_codepoint=113), max_size=12)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=8)
        | st.dictionaries(st.sampled_from(["size", "counts", "id", "name", "length"]), inner, max_size=3)
    ),
    max_leaves=12,
)

NO_NAMES = VALUES.filter(lambda value: not isinstance(value, str))  # a string is the name of a file


def places(data, path=()):
    """The path to each value inside of `data`."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


@st.composite
def changed(draw, data):
    """A copy of `data` in which some values are others."""
    data = copy.deepcopy(data)
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from(sorted(places(data), key=repr)))
        inner = data
        for key in path:
            inner = inner[key]
        inner[last] = draw(VALUES)
    return data


@settings(max_examples=400)
@given(changed(GROUND_TRUTH), changed(RESULTS))
def test_any_content_is_measured_or_refused(ground_truth, results):
    for gt, found in ((ground_truth, RESULTS), (GROUND_TRUTH, results)):
        try:
            stats = evaluate_tracks(gt, found).stats
        except ValueError as error:
            assert str(error).startswith(("ground truth: ", "results: "))
            assert ": found " in str(error) and "expected " in str(error)
            assert len(str(error)) < 400
        else:
            assert ((stats == -1) | ((stats >= 0) & (stats <= 1))).all()


@settings(max_examples=100)
@given(NO_NAMES, NO_NAMES)
def test_anything_at_all_is_measured_or_refused(ground_truth, results):
    for gt, found in ((ground_truth, RESULTS), (GROUND_TRUTH, results)):
        try:
            evaluate_tracks(gt, found)
        except ValueError as error:
            assert str(error).startswith(("ground truth: ", "results: "))


def test_a_file_that_was_cut_anywhere(tmp_path):
    whole = json.dumps(RESULTS, indent=0)
    path = tmp_path / "results.json"
    ground_truth = read_ground_truth(GROUND_TRUTH)
    for end in range(len(whole)):
        path.write_text(whole[:end])
        with pytest.raises(ValueError, match=r"results\.json: not valid json, or cut off, at line \d+"):
            read_results(path, ground_truth)
    path.write_text(whole)
    assert len(read_results(path, ground_truth)) == 2


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_any_bytes_as_a_file(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "results.json"
    path.write_bytes(content)
    try:
        read_results(path, read_ground_truth(GROUND_TRUTH))
    except ValueError as error:
        assert str(error).startswith(str(path))


def test_rles_of_equal_numbers_of_another_type_are_read_as_what_they_are():
    results = copy.deepcopy(RESULTS)
    results[0]["segmentations"][0] = {"size": [6.0, 8.0], "counts": RLE["counts"], "more": [1]}
    track = read_results(results, read_ground_truth(GROUND_TRUTH))[4, 9][0]
    assert track.masks[0] == {"size": [6, 8], "counts": RLE["counts"].encode()}


@pytest.mark.parametrize(
    ("video", "message"),
    [
        ({"height": 2**27}, r"videos\[0\]: height x width: found 134217728 x 8, .*at most 134217728 pixels"),
        ({"width": 10**100}, r"videos\[0\]: height x width: found 6 x 1000.*at most 134217728 pixels"),
        ({"height": 0}, r"videos\[0\]: height x width: found 0 x 8, expected positive"),
        ({"length": -(10**50)}, r"videos\[0\].length: found -1000.*, expected the number of frames"),
        ({"length": 10**50}, r"annotations\[0\].segmentations: found 2 entries, expected 1000.*, one for each frame"),
    ],
)
def test_sizes_without_reason(video, message):
    ground_truth = copy.deepcopy(GROUND_TRUTH)
    ground_truth["videos"][0] |= video
    with pytest.raises(ValueError, match=message):
        read_ground_truth(ground_truth)


MEMORY = """\
import json, re, sys
sys.path.insert(0, sys.argv[1])
from ifc.ytvis.ground_truth import read_ground_truth

def peak():
    # Not getrusage, which begins with the peak of the process that started this one.
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])

side = 2**13
zigzag = [coordinate for y in range(500) for coordinate in (0, y, 2 * side, y)]
slanted = [coordinate for y in range(8) for coordinate in (0, 200 * y, side, 200 * y + 100)]
tracks = {
    "polygon": [[zigzag]],
    "counts": [{"size": [side, side], "counts": "o" * 5 + "0"}],
    "digits": [{"size": [side, side], "counts": "0" * 10**6}],
    "runs": [{"size": [side, side], "counts": [1] * 10**6}],
    "whole": [{"size": [side, side], "counts": [0, side * side]}],
    "frames": [[slanted]] * 30,
}
before = peak()
for name, masks in tracks.items():
    video = {"id": 1, "length": len(masks), "height": side, "width": side}
    annotation = {"video_id": 1, "category_id": 1, "segmentations": masks, "areas": [1] * len(masks)}
    categories = [{"id": 1, "name": "x"}]
    try:
        read_ground_truth({"videos": [video], "categories": categories, "annotations": [annotation]})
    except ValueError as error:
        print(name, str(error)[:150])
print((peak() - before) // 1024)
"""


def test_a_small_file_takes_little_memory():
    """Masks of a large frame, whose pixels would take 64 MiB; the strings and lists here have up to 8 MB."""
    command = [sys.executable, "-c", MEMORY, str(Path(__file__).resolve().parents[3] / "projects" / "IFC")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert [line.split()[0] for line in printed[:-1]] == ["polygon", "counts", "digits", "runs"]
    assert f"expected at most {MAX_OUTLINE}" in printed[0]
    assert int(printed[-1]) < 100, f"{printed[-1]} MiB"


def test_an_outline_just_short_enough_is_drawn():
    side, rows = 2**10, 500
    zigzag = [coordinate for y in range(rows) for coordinate in (0, 2 * y, side, 2 * y)]
    assert 2 * rows * side < MAX_OUTLINE
    ground_truth = {
        "videos": [{"id": 1, "length": 1, "height": side, "width": side}],
        "categories": [{"id": 1, "name": "x"}],
        "annotations": [{"video_id": 1, "category_id": 1, "segmentations": [[zigzag]], "areas": [1]}],
    }
    assert np.isfinite(read_ground_truth(ground_truth).tracks[1][0].mask_areas).all()
