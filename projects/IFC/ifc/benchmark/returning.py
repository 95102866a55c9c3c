# SPDX-License-Identifier: Apache-2.0
"""How well objects keep their identity where that is hard: in the scenarios of the shapes, by variants of a config."""

import json
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from ..data.loaders import build_test_loader
from ..engine import WholeCheckpointer, build_model, setup_config
from ..evaluation.evaluator import YTVISEvaluator
from ..meta_arch import Ifc
from ..ytvis.datasets.shapes import SCENARIOS, write_ytvis
from ..ytvis.datasets.shapes.dataset_files import FRAMES
from ..ytvis.files import read_json, whole_file, write_json
from ..ytvis.ground_truth import read_ground_truth
from ..ytvis.metric.evaluation import evaluate
from ..ytvis.metric.result_tracks import read_results
from ..ytvis.metric.submission import RESULTS_FILE
from ..ytvis.metric.tracking import load_metrics
from ..ytvis.reports.text import table
from ..ytvis.values import expect
from .measuring import timed

NUMBERS = ("AP", "HOTA", "AssA", "identity switches", "returns", "same id on return", "frames per second")
JSON_FILE, TABLE_FILE = "returning.json", "returning.md"

Run = dict[str, Any]
"""A scenario, seed, variant and its keys, and weights; and NUMBERS, of which the first three are in percent."""


@dataclass(frozen=True)
class Settings:
    """What the numbers of one table have in common.

    Attributes:
        videos: of each scenario and seed.
        length: frames of a video.
        size: (height, width) of a frame.
        instances: range of their number in a video.
        score: the least of a result that counts as found in all numbers but AP.
    """

    videos: int = 30
    length: int = 40
    size: tuple[int, int] = (128, 192)
    instances: tuple[int, int] = (2, 4)
    score: float = 0.3


def compare(
    output: Path,
    config_file: str,
    weights: Sequence[str],
    variants: Mapping[str, Sequence[str]],
    opts: Sequence[str],
    scenarios: Sequence[str],
    seeds: Sequence[int],
    settings: Settings,
    say: Callable[[str], object],
) -> str:
    """Make the data sets that `output` lacks, measure each variant with each weights on each of them, and write the
    runs and the table of their means there, beside runs that are there already.

    Args:
        variants: by name, keys and values that come after `opts`.
        say: is told each run's AP.

    Returns:
        The table.

    Raises:
        ImportError: TrackEval is missing.
        OSError, ValueError: for a config, weights or data that cannot be used, and runs in `output` of other settings.
    """
    load_metrics()
    path = output / JSON_FILE
    shared = json.loads(json.dumps(asdict(settings) | {"numbers": NUMBERS}))  # as they are read back
    content = read_json(path) if path.exists() else {"settings": shared, "runs": []}
    before = content.get("settings") if isinstance(content, dict) else None
    for key, value in shared.items():
        found = before.get(key) if isinstance(before, dict) else None
        expect(found == value, f"{path}: {key} of the runs in it", found, f"{value}, or another folder")
    folder = (output / "videos").resolve()
    files = {(scenario, seed): folder / f"{scenario}_{seed}.json" for scenario in scenarios for seed in seeds}
    data_sets = [[str(file), str(file), str(file.with_suffix("") / FRAMES)] for file in files.values()]
    base = ["DATALOADER.NUM_WORKERS", "0", "DATASETS.VIDEO_JSON", str(data_sets)]
    cfgs = {  # first, as some may not be usable
        (file, name): setup_config(config_file, [*base, "MODEL.WEIGHTS", file, *opts, *words])
        for file in weights
        for name, words in variants.items()
    }
    for (scenario, seed), file in files.items():
        if not file.is_file():
            options = {"image_size": settings.size, "length": settings.length, "num_instances": settings.instances}
            write_ytvis(folder, file.stem, settings.videos, seed=seed, scenario=scenario, overwrite=True, **options)
    for (_, name), cfg in cfgs.items():
        model = build_model(cfg).eval()
        WholeCheckpointer(model).load(cfg.MODEL.WEIGHTS)
        for (scenario, seed), annotations in files.items():
            run = {"scenario": scenario, "seed": seed, "variant": name, "weights": cfg.MODEL.WEIGHTS}
            others = [other for other in content["runs"] if not run.items() <= other.items()]
            numbers = measure(model, build_test_loader(cfg, str(annotations)), annotations, settings.score)
            content["runs"] = [*others, run | {"keys": [*opts, *variants[name]]} | numbers]
            write_json(path, content, indent=1)
            say(f"{scenario} {seed}, {name}, {cfg.MODEL.WEIGHTS}: AP {numbers['AP']:.1f}")
    text = markdown(content["runs"])
    with whole_file(output / TABLE_FILE) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    return text


@torch.no_grad()
def measure(model: Ifc, loader: DataLoader, annotations: Path, score: float) -> dict[str, float]:
    """NUMBERS of a model on the videos of a data set, one after the other."""
    seconds, frames = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        evaluator = YTVISEvaluator(str(annotations), folder)
        for videos in loader:
            outputs, wall, _ = timed(partial(model, videos))
            evaluator.process(videos, outputs)
            seconds, frames = seconds + wall, frames + len(videos[0]["image"])
        evaluator.evaluate()
        ground_truth = read_ground_truth(annotations)
        results = read_results(Path(folder, RESULTS_FILE), ground_truth)
    found = evaluate(ground_truth, results, score=score)
    tracking = found.tracking[""]
    percent = [100 * fraction for fraction in (float(found.result.stats[0]), tracking["HOTA"], tracking["AssA"])]
    counts = found.identity_switches()[0], *found.returns()
    return dict(zip(NUMBERS, (*percent, *counts, frames / seconds), strict=True))


def markdown(runs: Sequence[Run]) -> str:
    """The table: means over weights and seeds, a row for each scenario and variant."""
    order = list(SCENARIOS)
    in_order = sorted(runs, key=lambda run: order.index(run["scenario"]))
    names = dict.fromkeys((run["scenario"], run["variant"]) for run in in_order)
    rows = []
    for scenario, variant in names:
        own = [run for run in runs if (run["scenario"], run["variant"]) == (scenario, variant)]
        means = [f"{statistics.fmean(run[number] for run in own):.1f}" for number in NUMBERS]
        rows.append([scenario, variant, len(own), *means])
    return table(["scenario", "variant", "runs", *NUMBERS], rows, text_columns=(0, 1)) + "\n"
