# SPDX-License-Identifier: Apache-2.0
"""The shapes model, trained on the device for the time that is left, and what it has learned by then."""

import os
from argparse import Namespace
from pathlib import Path

from ...engine import Trainer, setup_config
from ...monitoring.metrics_file import read_metrics
from ...ytvis.datasets.shapes import write_ytvis
from ..measuring import timed
from ..time_training import measure_training
from .settings import NotAvailable, Parts, Rows, Settings

CONFIG = Path("configs") / "quick_schedules" / "shapes_tiny.yaml"
SHARE_OF_TRAINING = 0.7  # of the time; the rest is for the start and the evaluation
LONGEST = 4800  # iterations of the published schedule
POINTS = 12  # of the curve


def parts(settings: Settings) -> Parts:
    """Data, speed and training in one part: none is of use without the others.

    Raises:
        NotAvailable: there is no such config.
    """
    config = Path(settings.checkout) / CONFIG
    if not config.is_file():
        raise NotAvailable(f"no {CONFIG} in {settings.checkout}, expected a checkout")
    return {"training": lambda: train(str(config), settings)}


def train(config: str, settings: Settings) -> Rows:
    """The loss through the training, and AP at its end."""
    folder, workers = Path(settings.folder), min(os.cpu_count() or 1, 8)
    splits = (("train", 1000, 8, 1, (1, 5)), ("val", 30, 24, 2, (1, 3)))
    sets = []
    for split, videos, length, seed, instances in splits:
        if settings.is_toy:
            videos, length, workers = 2, 3, 1
        options = {"length": length, "num_instances": instances, "num_workers": workers}
        path = write_ytvis(folder, split, videos, seed=seed, **options)
        sets.append([f"report_{split}", str(path), str(folder / split / "JPEGImages")])
    opts = ["MODEL.DEVICE", settings.device, "MODEL.WEIGHTS", "", "DATASETS.VIDEO_JSON", str(sets)]
    opts += ["DATASETS.TRAIN", "('report_train',)", "DATASETS.TEST", "('report_val',)", "OUTPUT_DIR", str(folder)]
    opts += ["DATALOADER.NUM_WORKERS", "0" if settings.is_toy else str(workers), "TEST.PICTURES", "0"]
    if settings.is_toy:
        opts += ["SOLVER.IMS_PER_BATCH", "2"]
        iterations = 3
    else:
        speed = Namespace(threads=None, iterations=10, repeat=1, warmup=1)
        seconds = measure_training(setup_config(config, opts), speed)["total"]
        iterations = max(1, min(LONGEST, int(SHARE_OF_TRAINING * settings.seconds_left / seconds)))
    schedule = ["SOLVER.MAX_ITER", str(iterations), "SOLVER.WARMUP_ITERS", str(min(200, iterations // 5))]
    schedule += ["SOLVER.CHECKPOINT_PERIOD", str(iterations)]
    trainer = Trainer(setup_config(config, [*opts, *schedule]))
    trainer.resume_or_load(resume=False)
    _, seconds, _ = timed(trainer.train)
    curves = read_metrics(folder)
    numbers, losses = curves["total_loss"]
    step = max(1, -(-len(numbers) // POINTS))
    rows: Rows = {f"iteration {numbers[i] + 1}": {"loss": float(losses[i])} for i in range(0, len(numbers), step)}
    end = {"iterations": iterations, "iterations a second, with the evaluation": iterations / seconds}
    return rows | {"at the end": end | {name: float(curves[f"segm/{name}"][1][-1]) for name in ("AP", "AP50", "AP75")}}
