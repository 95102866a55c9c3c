# SPDX-License-Identifier: Apache-2.0
"""The check before a submission: every fault with its place, nothing dropped, one zip for one file."""

import json
import math
import re
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as mask_utils

from ifc.ytvis.ground_truth import read_ground_truth
from ifc.ytvis.metric.result_tracks import read_results
from ifc.ytvis.metric.submission import SubmissionError, find_faults, write_submission

SPLIT = {
    "videos": [{"id": 4, "length": 3, "height": 6, "width": 8}, {"id": 5, "length": 1, "height": 2, "width": 2}],
    "categories": [{"id": 1, "name": "cat"}, {"id": 9, "name": "dog"}],
}


def rle(columns, size=(6, 8)):
    mask = np.zeros(size, dtype=np.uint8, order="F")
    mask[:, :columns] = 1
    return {"size": list(size), "counts": mask_utils.encode(mask)["counts"].decode()}


def result(**changes):
    return {"video_id": 4, "category_id": 9, "score": 0.5, "segmentations": [rle(2), None, rle(3)]} | changes


@pytest.fixture
def split():
    return read_ground_truth(SPLIT)


def write(path, results):
    path.write_text(json.dumps(results))
    return path


def test_the_zip_has_the_file_as_it_is_at_its_root(split, tmp_path):
    path = write(tmp_path / "mine.json", [result(), result(score=0.25, more="kept")])
    remarks = write_submission(path, split, tmp_path / "first.zip")
    assert remarks == ["1 of 2 videos have no result"]
    with zipfile.ZipFile(tmp_path / "first.zip") as archive:
        assert archive.namelist() == ["results.json"]
        assert archive.read("results.json") == path.read_bytes()
    write_submission(path, split, tmp_path / "second.zip")
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["first.zip", "mine.json", "second.zip"]


def test_all_faults_are_named_at_once(split, tmp_path):
    results = [
        result(),
        result(video_id=7, category_id=2, score=math.nan),
        "no result",
        result(category_id=None, segmentations=[rle(1, (8, 6)), {"size": [6, 8], "counts": "11"}, 5]),
        result(video_id=5),
        result(score=math.inf, segmentations=[[[0, 0, 3, 0, 3, 3]], {"size": [6, 8], "counts": [48]}, None]),
    ]
    path = write(tmp_path / "results.json", results)
    with pytest.raises(SubmissionError) as caught:
        write_submission(path, split, tmp_path / "results.zip")
    expected = [
        "results[1].video_id: found 7, expected the id of one of the 2 videos",
        "results[1].category_id: found 2, expected the id of one of the 2 categories",
        "results[1].score: found nan, expected a finite number",
        "results[2]: found 'no result', expected an object",
        "results[3].category_id: found nothing, expected the id of one of the 2 categories",
        "results[3].segmentations[0].size: found [8, 6], expected [6, 8], the frame's height and width",
        "results[3].segmentations[1].counts: found runs that add up to 2, expected 48, height times width",
        "results[3].segmentations[2]: found 5, expected an RLE, a list of polygons or null",
        "results[4].segmentations: found 3 entries, expected 1, one for each frame of its video",
        "results[5].score: found inf, expected a finite number",
        "results[5].segmentations[0]: found polygons, expected compressed RLE or null",
        "results[5].segmentations[1]: found uncompressed RLE, expected compressed RLE or null",
    ]
    assert caught.value.faults == [f"{path}: {fault}" for fault in expected]
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_what_is_striking_is_remarked(split, tmp_path):
    results = [result(score=1 + index) for index in range(101)] + [result(category_id=1, segmentations=[None] * 3)]
    results.append(result(more="but a copy nevertheless"))
    results.append(result())
    remarks = write_submission(write(tmp_path / "results.json", results), split, tmp_path / "results.zip")
    assert remarks == [
        "1 of 2 videos have no result",
        "1 results have no mask on any frame",
        "1 results are copies of another",
        "3 results are beyond the best 100 of their video and category, which alone count",
        "100 scores lie outside of 0 to 1",
    ]


def test_a_file_that_is_no_list_of_results(split, tmp_path):
    path = tmp_path / "results.json"
    for content, fault in (("[{", "not valid json"), ("{}", "found {}, expected a list of results")):
        path.write_text(content)
        with pytest.raises(SubmissionError, match=fault):
            write_submission(path, split, tmp_path / "results.zip")
    assert not (tmp_path / "results.zip").exists()


def test_what_is_read_is_not_overwritten(tmp_path):
    path, split = write(tmp_path / "results.json", [result()]), write(tmp_path / "valid.json", SPLIT)
    for output in (path, split):
        expected = f"found {re.escape(str(output))}, which is to be read, expected the name of another file"
        with pytest.raises(FileExistsError, match=expected):
            write_submission(path, read_ground_truth(split), output.parent / "." / output.name)
    assert json.loads(path.read_text()) == [result()]
    assert json.loads(split.read_text()) == SPLIT


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([4, 5, 9, 10**30, -1])
    | st.floats()
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["size", "counts"]), inner, max_size=2),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(list(result())), VALUES) | VALUES)
def test_what_has_no_fault_can_be_read_and_the_other_way_round(record):
    split = read_ground_truth(SPLIT)
    faults = find_faults("r", [record], split)
    try:
        read_results([record], split)
    except ValueError as error:
        assert str(error).replace("results: ", "r: ", 1) in faults
    else:
        assert all("expected compressed RLE or null" in fault for fault in faults)
