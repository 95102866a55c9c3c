# SPDX-License-Identifier: Apache-2.0
"""The benchmark of objects that are hard to follow."""

import json
import re
from pathlib import Path

import pytest
from tools.commands import command

from ifc.benchmark.returning import NUMBERS, markdown
from ifc.predictor import VideoSegmenter
from ifc.ytvis.ground_truth import read_ground_truth
from ifc.ytvis.metric.evaluation import evaluate
from ifc.ytvis.metric.result_tracks import read_results

QUICK = Path(__file__).parents[2] / "configs" / "quick_schedules"
TINY, WEIGHTS = str(QUICK / "shapes_tiny.yaml"), str(QUICK / "shapes_tiny.pth")
KEYS = "INPUT.SAMPLING_FRAME_NUM 5 MODEL.DEVICE cpu MODEL.IFC.PRECISION float32"
CALL = f"--config-file {TINY} --weights {WEIGHTS} --seed 7 --videos 2 --length 16"


@pytest.fixture(scope="module")
def tool():
    return command("benchmark", "returning")


@pytest.fixture(scope="module")
def folder(tool, tmp_path_factory):
    """What two calls have written: a variant on two scenarios, then another one on one of them, twice."""
    folder = tmp_path_factory.mktemp("returning")
    tool([*CALL.split(), "--output", str(folder), "--scenario", "cuts", "--scenario", "plain", *KEYS.split()])
    variant = ["--scenario", "cuts", "--variant", "apart: MODEL.IFC.CLIP_STRIDE 5"]
    for _ in range(2):
        tool([*CALL.split(), "--output", str(folder), *variant, *KEYS.split()])
    return folder


def runs(folder):
    return json.loads((folder / "returning.json").read_text())["runs"]


def test_numbers_are_those_of_the_metric(folder):
    """Of results that a program of one's own gets from the same videos."""
    (run,) = (run for run in runs(folder) if run["scenario"] == "cuts" and run["variant"] == "as configured")
    ground_truth = read_ground_truth(folder / "videos" / "cuts_7.json")
    segmenter = VideoSegmenter.from_config(TINY, WEIGHTS, KEYS.split())
    results = [
        {
            "video_id": video_id,
            "category_id": sorted(ground_truth.categories)[label],
            "score": score,
            "segmentations": masks,
        }
        for video_id in ground_truth.videos
        for prediction in [segmenter(folder / "videos" / "cuts_7" / "JPEGImages" / f"{video_id - 1:05d}")]
        for label, score, masks in zip(prediction.labels, prediction.scores, prediction.masks, strict=True)
    ]
    expected = evaluate(ground_truth, read_results(results, ground_truth), score=0.3)
    tracking = expected.tracking[""]
    assert run["AP"] == pytest.approx(100 * expected.result.stats[0])
    assert (run["HOTA"], run["AssA"]) == pytest.approx((100 * tracking["HOTA"], 100 * tracking["AssA"]))
    assert run["identity switches"] == expected.identity_switches()[0]
    assert (run["returns"], run["same id on return"]) == expected.returns()
    assert run["AP"] > 10 and run["frames per second"] > 0


def test_calls_add_to_the_table_and_replace_their_own_runs(folder):
    made = [(run["scenario"], run["variant"]) for run in runs(folder)]
    assert sorted(made) == [("cuts", "apart"), ("cuts", "as configured"), ("plain", "as configured")]
    apart = next(run for run in runs(folder) if run["variant"] == "apart")
    assert apart["keys"] == [*KEYS.split(), "MODEL.IFC.CLIP_STRIDE", "5"]
    configured = next(run for run in runs(folder) if (run["scenario"], run["variant"]) == made[0])
    assert apart["identity switches"] > configured["identity switches"]  # no window shares a frame with the next
    assert (folder / "returning.md").read_text() == markdown(runs(folder))


def test_runs_of_other_settings_are_not_mixed(tool, folder):
    before = (folder / "returning.json").read_bytes()
    with pytest.raises(SystemExit, match=r"returning.json: videos .*: found 2, expected 3"):
        tool([*CALL.replace("--videos 2", "--videos 3").split(), "--output", str(folder), *KEYS.split()])
    assert (folder / "returning.json").read_bytes() == before


def test_the_table_has_means_over_weights_and_seeds_in_the_order_of_the_scenarios():
    def run(scenario, variant, weights, *numbers):
        return {"scenario": scenario, "variant": variant, "weights": weights} | dict(zip(NUMBERS, numbers, strict=True))

    made = [
        run("reentry", "b", "w1", 10, 20, 30, 4, 6, 5, 50),
        run("plain", "b", "w1", 1, 2, 3, 4, 5, 6, 7),
        run("plain", "a", "w1", 0, 0, 0, 0, 0, 0, 0),
        run("reentry", "b", "w2", 20, 22, 32, 1, 7, 6, 60),
    ]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown(made).splitlines()]
    assert cells[0] == ["scenario", "variant", "runs", *NUMBERS]
    assert cells[2:] == [
        ["plain", "b", "1", "1.0", "2.0", "3.0", "4.0", "5.0", "6.0", "7.0"],
        ["plain", "a", "1", "0.0", "0.0", "0.0", "0.0", "0.0", "0.0", "0.0"],
        ["reentry", "b", "2", "15.0", "21.0", "31.0", "2.5", "6.5", "5.5", "55.0"],
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--variant mask", "'--variant': found 'mask', expected a name, a colon"),
        ("--variant :", "'--variant': found ':', expected a name, a colon"),
        ("--scenario rain", "scenario: found 'rain', expected one of plain, "),
        ("--weights missing.pth", "missing.pth: no such file"),
        ("--score 2", "'--score': found '2'"),
        ("--variant a: MODEL.NO_SUCH_KEY 1", "MODEL.NO_SUCH_KEY"),
        ("--scenario reentry --length 20", "length of scenario 'reentry'.*: found 20"),
    ],
)
def test_bad_options_end_with_one_clear_error(tool, tmp_path, capsys, words, message):
    name, _, rest = words.partition(" a: ")
    options = [name, f"a: {rest}"] if rest else words.split()
    with pytest.raises(SystemExit) as end:
        tool([*CALL.split(), "--output", str(tmp_path / "out"), *options, *KEYS.split()])
    text = str(end.value.code) if isinstance(end.value.code, str) else capsys.readouterr().err.splitlines()[-1]
    assert re.search(message, text) and "error: " in text.lower() and "\n" not in text
    assert not list(tmp_path.rglob("*.json"))
