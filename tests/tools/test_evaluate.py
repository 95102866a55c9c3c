# SPDX-License-Identifier: Apache-2.0
"""tools/evaluate.py as it is called: numbers, files, errors; in a Python that has neither torch nor detectron2."""

import functools
import json
import re
from pathlib import Path

import pytest
from PIL import Image
from tools.bare_python import run_tool

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
GT, RESULTS = (str(GOLDEN / f"eval_small_{kind}.json") for kind in ("gt", "results"))


@pytest.fixture
def evaluate(tmp_path):
    return functools.partial(run_tool, "evaluate.py", tmp_path)


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("case", ["small", "counts"])
def test_the_official_numbers_with_numpy_and_pycocotools_alone(evaluate, tmp_path, case):
    files = [GOLDEN / f"eval_{case}_{kind}.json" for kind in ("gt", "results")]
    blocked = "scipy matplotlib jinja2 PIL trackeval cv2"
    done = evaluate("--gt", files[0], "--results", files[1], "--json", "numbers.json", blocked=blocked)
    assert done.returncode == 0, done.stderr
    expected = json.loads((GOLDEN / f"eval_{case}_expected.json").read_text())
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["stats"] == pytest.approx(expected["stats"], rel=0, abs=1e-9)
    assert numbers["per_category_AP"] == pytest.approx(expected["per_category_AP"], rel=0, abs=1e-9)
    assert numbers["by_length"].keys() == {"short", "medium", "long"}
    assert numbers["by_motion"].keys() == {"slow", "medium", "fast"}
    printed = [re.findall(r"-?\d+\.\d|-", line) for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [f"{100 * value:.1f}" if value >= 0 else "-" for value in numbers["stats"]] in printed


def test_report_and_tracking(evaluate, tmp_path):
    ground_truth = json.loads(Path(GT).read_text())
    for video in ground_truth["videos"]:
        video["file_names"] = [f"{video['id']}.png"] * video["length"]
        Image.new("RGB", (video["width"], video["height"])).save(tmp_path / f"{video['id']}.png")
    write(tmp_path / "gt.json", ground_truth)
    arguments = ["--gt", "gt.json", "--results", RESULTS, "--json", "numbers.json"]
    done = evaluate(*arguments, "--report", "deep/report", "--frames", ".", "--tracking", "--score", "0.3")
    assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["score"] == 0.3
    assert f"{100 * numbers['tracking']['all']['HOTA']:.1f}" in done.stdout
    page = (tmp_path / "deep" / "report" / "report.html").read_text()
    for part in ("Precision and recall", "Scores and lengths", "Errors", "Confusion", "Worst videos", "Tracking"):
        assert f"<h2>{part}" in page
    assert page.count("data:image/jpeg;base64") == 6
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert numbers["errors"].keys() == {
        *("classification", "localisation", "both", "duplicate", "background", "missed", "identity switch")
    }
    assert sorted(path.name for path in (tmp_path / "deep" / "report").iterdir()) == ["report.html"]


def test_names_that_the_terminal_cannot_show(evaluate, tmp_path):
    names = ["caf\u00e9", "1e5", "\x1b[31m\n"]
    categories = [{"id": index, "name": name} for index, name in enumerate(names)]
    gt = {"videos": [VIDEO], "categories": categories, "annotations": []}
    done = evaluate("--gt", write(tmp_path / "gt.json", gt), "--results", write(tmp_path / "results.json", "[]"))
    assert done.returncode == 0, done.stderr
    assert "caf\\xe9" in done.stdout
    assert "| 1e5 " in done.stdout
    assert "| \\x1b[31m\\n " in done.stdout


VIDEO = {"id": 1, "length": 1, "height": 2, "width": 2}
NO_ANNOTATIONS = {"videos": [VIDEO], "categories": [{"id": 1, "name": "cat"}]}


@pytest.mark.parametrize(
    ("gt", "results", "options", "message"),
    [
        (None, '[{"video_id": 1', (), "results.json: not valid json"),
        ('{"videos": [', "[]", (), "gt.json: not valid json"),
        (NO_ANNOTATIONS, "[]", (), "gt.json: annotations: found none, expected a list; nothing can be measured"),
        (None, [{"video_id": -1}], (), "results[0].video_id: found -1, expected the id of one of the 12 videos"),
        (
            None,
            "[]",
            ("--json", "./results.json"),
            "results.json: found results.json, which is to be read, expected the name",
        ),
        (None, "[]", ("--tracking",), "tracking metrics need the library TrackEval"),
        (None, "[]", ("--report", "r"), "jinja2 is not there"),
    ],
)
def test_what_cannot_be_done_is_one_line(evaluate, tmp_path, gt, results, options, message):
    gt = GT if gt is None else write(tmp_path / "gt.json", gt)
    write(tmp_path / "results.json", results)
    done = evaluate("--gt", gt, "--results", "results.json", *options, blocked="trackeval jinja2")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("**/*.html"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--report", "r", "--frames", "nowhere"), "nowhere: expected the folder of the frames"),
        (("--report", "r", "--frames", "."), "videos[0].file_names: found nothing, expected"),
        (("--report", "site/sitecustomize.py"), "File exists"),
    ],
)
def test_a_report_that_cannot_be_made(evaluate, tmp_path, options, message):
    ground_truth = json.loads(Path(GT).read_text())
    del ground_truth["videos"][0]["file_names"]
    done = evaluate("--gt", write(tmp_path / "gt.json", ground_truth), "--results", RESULTS, *options)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("**/*.html"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--frames", "."), "--frames: expected --report too"),
        (("--json", "nowhere/numbers.json"), "'--json': found 'nowhere/numbers.json', expected a file in a"),
        (("--json", "."), "'--json': found '.', expected a file in a"),
        (("--motion-step", "0"), "'--motion-step': found '0', expected a whole number, at least 1"),
        (("--score", "nan"), "'--score': found 'nan', expected a finite number"),
    ],
)
def test_options_without_sense(evaluate, options, message):
    done = evaluate("--gt", GT, "--results", RESULTS, *options)
    assert done.returncode == 2
    assert message in done.stderr
