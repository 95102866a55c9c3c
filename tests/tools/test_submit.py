# SPDX-License-Identifier: Apache-2.0
"""tools/submit.py as it is called: what it prints, writes and returns, without torch."""

import functools
import json
import zipfile
from pathlib import Path

import pytest
from tools.bare_python import run_tool

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture
def submit(tmp_path):
    return functools.partial(run_tool, "submit.py", tmp_path)


def test_results_without_faults_are_zipped(submit, tmp_path):
    results = tmp_path / "results.json"
    results.write_bytes((GOLDEN / "eval_small_results.json").read_bytes())
    done = submit(results, "--for", GOLDEN / "eval_small_gt.json")
    assert done.returncode == 0, done.stderr
    assert "note: 3 of 12 videos have no result" in done.stdout
    with zipfile.ZipFile(tmp_path / "results.zip") as archive:
        assert archive.read("results.json") == results.read_bytes()


def test_faults_are_listed_and_nothing_is_written(submit, tmp_path):
    results = json.loads((GOLDEN / "eval_small_results.json").read_text())
    results[0]["score"] = "high"
    results[2]["video_id"] = 10**6
    (tmp_path / "results.json").write_text(json.dumps(results))
    done = submit("results.json", "--for", GOLDEN / "eval_small_gt.json", "--output", "out.zip")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "results.json: results[0].score: found 'high', expected a finite number",
        "results.json: results[2].video_id: found 1000000, expected the id of one of the 12 videos",
        "error: 2 faults, out.zip not written",
    ]
    assert not (tmp_path / "out.zip").exists()


@pytest.mark.parametrize("results", [".", "..", "/", ""])
def test_a_folder_is_no_file_of_results(submit, results):
    done = submit(results, "--for", GOLDEN / "eval_small_gt.json")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "Is a directory" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("split", "message"),
    [("nowhere.json", "No such file"), ('{"videos": [{"id": 1, "length": -3}]}', "found nothing, expected a list")],
)
def test_a_split_that_cannot_be_read(submit, tmp_path, split, message):
    (tmp_path / "results.json").write_text("[]")
    if split.startswith("{"):
        (tmp_path / "split.json").write_text(split)
        split = "split.json"
    done = submit("results.json", "--for", split)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and message in done.stderr
    assert len(done.stderr.splitlines()) == 1
