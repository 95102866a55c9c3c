# SPDX-License-Identifier: Apache-2.0
"""YTVISEvaluator: its file, its numbers, one process and two, splits without annotations, faulty results."""

import json
import logging
import math
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog
from detectron2.evaluation import print_csv_format, verify_results
from evaluation.evaluate_share import evaluate_share
from pycocotools import mask as mask_utils

from ifc.config import add_ifc_config
from ifc.evaluation.evaluator import YTVISEvaluator
from ifc.ytvis.metric import evaluate_tracks

GOLDEN = Path(__file__).parents[1] / "golden"


def _evaluate_in_two_processes(gt_file, results_file, output_dir):
    """What each of the processes returned."""
    output_dir.mkdir()
    program = str(Path(__file__).with_name("evaluate_share.py"))
    arguments = ["2", str(output_dir / "rendezvous"), gt_file, results_file, str(output_dir)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-X", "faulthandler", program, rank, *arguments], stderr=subprocess.PIPE, text=True
        )
        for rank in ("0", "1")
    ]
    try:
        for process in processes:
            _, errors = process.communicate(timeout=240)
            assert process.returncode == 0, errors
    finally:
        for process in processes:
            process.kill()
    return [json.loads((output_dir / f"returned_{rank}.json").read_text()) for rank in range(2)]


def test_one_and_two_processes_give_the_same_file_and_numbers(tmp_path):
    files = str(GOLDEN / "eval_small_gt.json"), str(GOLDEN / "eval_small_results.json")
    alone = evaluate_share(0, 1, *files, str(tmp_path / "one"))
    main, other = _evaluate_in_two_processes(*files, tmp_path / "two")
    assert other == {}
    assert json.dumps(main) == json.dumps(alone)  # as text, in which nan equals nan

    expected = json.loads((GOLDEN / "eval_small_expected.json").read_text())
    assert main["segm"]["AP"] == pytest.approx(100 * expected["stats"][0], rel=0, abs=1e-7)
    assert main["segm"]["AP-c4"] == pytest.approx(100 * expected["per_category_AP"]["c4"], rel=0, abs=1e-7)
    assert math.isnan(main["segm"]["APl"])

    written = (tmp_path / "two" / "results.json").read_text()
    assert written == (tmp_path / "one" / "results.json").read_text()
    results = json.loads((GOLDEN / "eval_small_results.json").read_text())
    assert json.loads(written) == sorted(results, key=lambda track: track["video_id"])


# ---------------------------------------------------------------------------------------------------------------------
# One process, a data set of two videos and two categories


@pytest.fixture
def data_set(tmp_path):
    """Name and json of a registered data set of two videos of 2 frames, 4 x 4 pixels; video 8 shows a dog."""
    ground_truth = {
        "videos": [{"id": video_id, "length": 2, "height": 4, "width": 4} for video_id in (8, 3)],
        "categories": [{"id": 5, "name": "cat"}, {"id": 20, "name": "dog"}],
        "annotations": [
            {
                "id": 1,
                "video_id": 8,
                "category_id": 20,
                "iscrowd": 0,
                "segmentations": [_rle(2), None],
                "areas": [8, None],
            }
        ],
    }
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(ground_truth))
    MetadataCatalog.get("two_videos").set(json_file=str(path), thing_dataset_id_to_contiguous_id={5: 0, 20: 1})
    yield "two_videos", path
    MetadataCatalog.pop("two_videos")


def _rle(num_columns):
    mask = np.zeros((4, 4), dtype=np.uint8, order="F")
    mask[:, :num_columns] = 1
    return {"size": [4, 4], "counts": mask_utils.encode(mask)["counts"].decode()}


def _outputs(scores=(0.9, 0.2), labels=(1, 0), masks=None):
    """Two tracks of one instance; they share their masks, as the model's do."""
    masks = masks or [_rle(2), None]
    return {"image_size": (4, 4), "pred_scores": scores, "pred_labels": labels, "pred_masks": [masks] * len(scores)}


def _video(video_id):
    return [{"video_id": video_id, "length": 2}]


def test_numbers_are_percent_under_detectron2s_names(data_set, tmp_path):
    name, path = data_set
    evaluator = YTVISEvaluator(name, str(tmp_path / "inference"))
    evaluator.reset()
    evaluator.process(_video(8), _outputs())
    evaluator.process(_video(3), _outputs(scores=(), labels=()))
    metrics = evaluator.evaluate()["segm"]
    assert list(metrics) == [
        *("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"),
        *("AP-cat", "AP-dog"),
    ]
    assert metrics["AP"] == metrics["AP-dog"] == pytest.approx(100)
    assert metrics["ARs"] == 100
    assert all(math.isnan(metrics[metric]) for metric in ("APm", "APl", "ARm", "ARl", "AP-cat"))
    written = tmp_path / "inference" / "results.json"
    assert evaluate_tracks(path, written).stats[0] == pytest.approx(1)


def test_results_json_is_what_the_servers_take(data_set, tmp_path):
    name, _ = data_set
    evaluator = YTVISEvaluator(name, str(tmp_path))
    evaluator.process(_video(8), _outputs())
    evaluator.process(_video(3), _outputs(scores=[0.25], labels=[0], masks=[None, _rle(1)]))
    evaluator.evaluate()
    assert json.loads((tmp_path / "results.json").read_text()) == [
        {"video_id": 3, "category_id": 5, "score": 0.25, "segmentations": [None, _rle(1)]},
        {"video_id": 8, "category_id": 20, "score": 0.9, "segmentations": [_rle(2), None]},
        {"video_id": 8, "category_id": 5, "score": 0.2, "segmentations": [_rle(2), None]},
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gt.json", "results.json"]


def test_results_fit_detectron2s_checks(data_set, tmp_path, caplog):
    name, _ = data_set
    evaluator = YTVISEvaluator(name, str(tmp_path))
    evaluator.process(_video(8), _outputs())
    results = evaluator.evaluate()
    print_csv_format(results)
    cfg = get_cfg()
    add_ifc_config(cfg)
    cfg.TEST.EXPECTED_RESULTS = [["segm", "AP", 100.0, 0.01]]
    assert verify_results(cfg, results)
    cfg.TEST.EXPECTED_RESULTS = [["segm", "AP", 99.0, 0.01]]
    with pytest.raises(SystemExit):
        verify_results(cfg, results)


def test_tables_and_unprocessed_videos_are_logged(data_set, tmp_path, caplog):
    name, _ = data_set
    evaluator = YTVISEvaluator(name, str(tmp_path))
    evaluator.process(_video(8), _outputs())
    with caplog.at_level(logging.INFO, logger="ifc.evaluation.evaluator"):
        evaluator.evaluate()
    assert "1 of 2 videos were not processed" in caplog.text
    assert "AP50" in caplog.text
    assert "100.000" in caplog.text
    assert "dog" in caplog.text


def test_a_video_that_comes_twice_counts_once_until_reset(data_set, tmp_path):
    name, _ = data_set
    evaluator = YTVISEvaluator(name, str(tmp_path))
    evaluator.process(_video(8), _outputs(scores=[0.5], labels=[1]))
    evaluator.process(_video(8), _outputs(scores=[0.7], labels=[1]))
    evaluator.evaluate()
    assert [track["score"] for track in json.loads((tmp_path / "results.json").read_text())] == [0.5]
    evaluator.reset()
    evaluator.evaluate()
    assert json.loads((tmp_path / "results.json").read_text()) == []


def test_a_video_that_could_be_read_in_part_is_said_after_all_is_written(data_set, tmp_path, caplog):
    evaluator = YTVISEvaluator(data_set[0], str(tmp_path / "inference"))
    evaluator.process(_video(8), _outputs() | {"error": ValueError("frame1.jpg: not readable")})
    evaluator.process(_video(3), _outputs())
    assert "video 8 could be read in part only: frame1.jpg: not readable" in caplog.text
    with caplog.at_level(logging.INFO):
        assert evaluator.evaluate()["segm"]["AP"] > 0
    expected = r"two_videos: video 8 could be read in part only: frame1\.jpg: not readable\. .* is in .*results\.json$"
    assert re.search(expected, evaluator.incomplete)
    assert "AP by category" in caplog.text
    assert len(json.loads((tmp_path / "inference" / "results.json").read_text())) == 4
    evaluator.reset()
    evaluator.process(_video(8), _outputs())
    assert evaluator.evaluate()["segm"]["AP"] > 0
    assert evaluator.incomplete == ""


@pytest.mark.parametrize("annotations", [{}, {"annotations": None}])
def test_results_of_a_split_without_annotations_are_zipped_for_its_server(data_set, tmp_path, caplog, annotations):
    name, path = data_set
    ground_truth = json.loads(path.read_text())
    del ground_truth["annotations"]
    path.write_text(json.dumps(ground_truth | annotations))
    evaluator = YTVISEvaluator(name, str(tmp_path))
    evaluator.process(_video(8), _outputs())
    with caplog.at_level(logging.INFO, logger="ifc.evaluation.evaluator"):
        assert evaluator.evaluate() == {}
    assert "two_videos has no annotations" in caplog.text
    assert f"Its server takes {tmp_path / 'results.zip'}" in caplog.text
    assert "1 of 2 videos have no result" in caplog.text
    with zipfile.ZipFile(tmp_path / "results.zip") as archive:
        assert archive.namelist() == ["results.json"]
        written = archive.read("results.json")
    assert written == (tmp_path / "results.json").read_bytes()
    assert len(json.loads(written)) == 2


def test_results_that_a_server_refuses_are_not_zipped(data_set, tmp_path):
    name, path = data_set
    ground_truth = json.loads(path.read_text())
    path.write_text(json.dumps(ground_truth | {"annotations": None}))
    evaluator = YTVISEvaluator(name, str(tmp_path))
    wrong_size = {"size": [4, 5], "counts": _rle(2)["counts"]}
    evaluator.process(_video(8), _outputs(masks=[wrong_size, None]))
    with pytest.raises(ValueError, match=r"results\[1\].segmentations\[0\].size: found \[4, 5\]") as caught:
        evaluator.evaluate()
    assert "results[0].segmentations[0].size" in str(caught.value)
    assert not (tmp_path / "results.zip").exists()


def test_a_score_that_is_no_number_is_refused(data_set, tmp_path):
    name, _ = data_set
    with pytest.raises(ValueError, match="two_videos, video 8: found a score"):
        YTVISEvaluator(name, str(tmp_path)).process(_video(8), _outputs(scores=[0.5, math.nan]))


def test_a_faulty_data_set_is_refused_before_any_work(data_set, tmp_path):
    name, path = data_set
    path.write_text(path.read_text()[:-30])
    with pytest.raises(ValueError, match=r"gt\.json: not valid json"):
        YTVISEvaluator(name, str(tmp_path))
    path.unlink()
    with pytest.raises(FileNotFoundError, match="gt.json"):
        YTVISEvaluator(name, str(tmp_path))
    with pytest.raises(ValueError, match="never_registered: metadata has no json_file"):
        YTVISEvaluator("never_registered", str(tmp_path))


def test_a_failed_write_leaves_the_old_file(data_set, tmp_path):
    name, _ = data_set
    (tmp_path / "results.json").write_text("old")
    evaluator = YTVISEvaluator(name, str(tmp_path))
    evaluator.process(_video(8), _outputs(masks=[object(), None]))
    with pytest.raises(TypeError):
        evaluator.evaluate()
    assert (tmp_path / "results.json").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gt.json", "results.json"]
