# SPDX-License-Identifier: Apache-2.0
"""The program that compares two results files."""

import json

import numpy as np
import pytest
from pycocotools import mask as mask_utils
from tools.commands import command

from ifc.ytvis.metric.comparison import compare_results
from ifc.ytvis.reports.text import comparison_text


@pytest.fixture(scope="module")
def tool():
    return command("data", "compare")


def rle(columns):
    mask = np.zeros((10, 10), dtype=np.uint8, order="F")
    mask[:, :columns] = 1
    encoded = mask_utils.encode(mask)
    return {"size": [10, 10], "counts": encoded["counts"].decode()}


def result(columns, score, category=1):
    segmentations = [rle(columns), None]
    return {"video_id": 1, "category_id": category, "score": score, "segmentations": segmentations}


@pytest.fixture
def write(tmp_path):
    ground_truth = {
        "videos": [{"id": 1, "length": 2, "height": 10, "width": 10}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {
                "id": 1,
                "video_id": 1,
                "category_id": 1,
                "iscrowd": 0,
                "areas": [100, None],
                "segmentations": [rle(10), None],
            }
        ],
    }
    (tmp_path / "gt.json").write_text(json.dumps(ground_truth))

    def write(name, results):
        (tmp_path / name).write_text(json.dumps(results))
        return tmp_path / name

    return write


def test_numbers_by_hand(tool, write, tmp_path, capsys):
    # 10 of 10 columns against 8: IoU 0.8; 4 against 4: 1; the dog has no partner; 5 columns score too little.
    first = write("a.json", [result(10, 0.9), result(4, 0.5), result(6, 0.4, category=2), result(5, 0.1)])
    second = write("b.json", [result(4, 0.45), result(8, 0.6)])
    arguments = ["--gt", str(tmp_path / "gt.json"), str(first), str(second), "--json", str(tmp_path / "out.json")]
    tool(arguments)
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["pairs"] == 3
    assert report["mean_iou"] == pytest.approx((0.8 + 1 + 0) / 3)
    assert report["lowest_iou"] == 0
    assert report["share_above_0.9"] == pytest.approx(1 / 3)
    assert report["largest_score_change"] == pytest.approx(0.3)
    assert report["stats"]["AP50"] == pytest.approx({"first": 1, "second": 1, "difference": 0})
    # IoU 0.8 with the annotation is enough up to the threshold of 0.8: 7 of 10.
    assert report["stats"]["AP"]["difference"] == pytest.approx(0.7 - 1)
    text = capsys.readouterr().out
    assert "mean 0.6000, lowest 0.0000, 33.3% above 0.9" in text and "-30.000" in text


def test_a_file_with_itself_and_no_tracks(write, tmp_path):
    same = write("a.json", [result(10, 0.9), result(9, 0.8)])
    report = compare_results(tmp_path / "gt.json", same, same, 0.3)
    assert (report["mean_iou"], report["lowest_iou"], report["largest_score_change"]) == (1, 1, 0)
    report = compare_results(tmp_path / "gt.json", same, same, 0.99)
    assert report["pairs"] == 0 and report["mean_iou"] is None
    assert "0.99 or more: 0" in comparison_text(report, 0.99)


@pytest.mark.parametrize("name", ["gt.json", "a.json", "b.json"])
def test_no_input_is_written_over(tool, write, tmp_path, name):
    first, second = write("a.json", []), write("b.json", [])
    before = (tmp_path / name).read_bytes()
    arguments = ["--gt", str(tmp_path / "gt.json"), str(first), str(second), "--json", str(tmp_path / name)]
    with pytest.raises(SystemExit, match="^error: .*, which is to be read"):
        tool(arguments)
    assert (tmp_path / name).read_bytes() == before


def test_a_missing_file_and_a_wrong_score_are_errors(tool, write, tmp_path, capsys):
    options = ["--gt", str(tmp_path / "gt.json"), str(write("a.json", []))]
    with pytest.raises(SystemExit, match="^error: .*nowhere.json"):
        tool([*options, str(tmp_path / "nowhere.json")])
    for score in ("nan", "-0.1"):
        with pytest.raises(SystemExit) as exit_info:
            tool([*options, options[-1], f"--score={score}"])
        assert exit_info.value.code == 2
        assert f"'--score': found '{score}', expected a finite number, 0 or more" in capsys.readouterr().err
