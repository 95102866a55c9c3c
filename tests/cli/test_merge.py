# SPDX-License-Identifier: Apache-2.0
"""From the videos of a data set to AP by `ifc segment`, `ifc merge` and `ifc eval`."""

import json
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from ifc import load
from ifc.cli.main import main
from ifc.engine import Trainer, setup_config
from ifc.outputs import SegmentSettings, segment_videos
from ifc.ytvis.datasets.shapes import write_ytvis

CONFIG = Path(__file__).parents[2] / "configs" / "quick_schedules" / "shapes_tiny.yaml"
SETTINGS = SegmentSettings(results_threshold=0, overlay=False)


@pytest.fixture(scope="module")
def segmenter():
    return load("shapes-tiny", device="cpu", window=3, precision="float32")


@pytest.fixture(scope="module")
def root(tmp_path_factory, segmenter):
    """val.json, its frames, and their results in the folders 0 and 1."""
    root = tmp_path_factory.mktemp("merge")
    write_ytvis(root, "val", 4, seed=7, image_size=(96, 144), length=8)
    frames = sorted((root / "val" / "JPEGImages").iterdir())
    for share in range(2):
        outcomes = segment_videos(frames[share::2], root / str(share), segmenter, SETTINGS)
        assert [outcome.status for outcome in outcomes] == ["finished"] * 2
    return root


def test_merged_results_are_those_of_the_evaluator(root, segmenter, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(root)
    main(["merge", "1", "0", "-o", str(tmp_path / "results.json"), "--annotations", "val.json"])
    out = capsys.readouterr().out
    assert "of 4 videos" in out and "note" not in out
    entry = ["merge_val", str(root / "val.json"), str(root / "val" / "JPEGImages")]
    words = ["DATASETS.VIDEO_JSON", [entry], "DATASETS.TEST", ("merge_val",), "OUTPUT_DIR", tmp_path]
    cfg = setup_config(str(CONFIG), [*map(str, words), "INPUT.SAMPLING_FRAME_NUM", "3", "MODEL.WEIGHTS", ""])
    metrics = Trainer.test(cfg, segmenter.model)["segm"]
    DatasetCatalog.pop("merge_val")
    MetadataCatalog.pop("merge_val")
    expected = json.loads((tmp_path / "inference" / "results.json").read_text())
    assert json.loads((tmp_path / "results.json").read_text()) == expected and len(expected) > 5
    main(["eval", "--gt", "val.json", "--results", f"{tmp_path}/results.json", "--json", f"{tmp_path}/numbers.json"])
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert 100 * numbers["stats"][0] == pytest.approx(metrics["AP"], abs=1e-9) and metrics["AP"] > 0


def test_numbered_results_can_be_submitted(root, tmp_path, capsys):
    main(["merge", str(root / "0"), "-o", str(tmp_path / "results.json")])
    assert f"{tmp_path / 'results.videos.json'}: " in capsys.readouterr().out
    main(["data", "submit", str(tmp_path / "results.json"), "--for", str(tmp_path / "results.videos.json")])
    assert "2 videos in the split, no faults" in capsys.readouterr().out


def test_gaps_are_one_line(root, tmp_path, capsys):
    words = ["merge", str(root / "0"), "-o", str(tmp_path / "results.json"), "--annotations", str(root / "val.json")]
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code.startswith("error: ") and "val.json" in end.value.code and "1 more" in end.value.code
    main([*words, "--allow-gaps"])
    note, done = capsys.readouterr().out.splitlines()
    assert note.startswith("note: ") and "1 more" in note and "of 2 videos" in done
