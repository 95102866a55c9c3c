# SPDX-License-Identifier: Apache-2.0
"""Training iterations with batches that grow until memory or time ends."""

import gc
from argparse import Namespace

import torch

from ..runs import load_configs
from ..time_training import data_options, measure_training
from .settings import Parts, Rows, Settings
from .variants import Variant, as_in

MIXED = ["SOLVER.AMP.ENABLED", "True"]
VARIANTS = {
    "bfloat16": (MIXED, "float32"),
    "float32": ([], "float32"),
    "bfloat16, 3136 points": ([*MIXED, "MODEL.IFC.NUM_POINTS", "3136"], "float32"),
    "TF32": ([], "tf32"),
    "bfloat16, compiled": ([*MIXED, "SOLVER.COMPILE", "default"], "float32"),
}
ITERATIONS = 3


def parts(settings: Settings) -> Parts:
    """The variants, each with as much of the time as the others."""
    size, window = ((64, 96), 2) if settings.is_toy else ((360, 640), 5)
    config = next(iter(settings.models.values()))
    args = Namespace(config_file=config, variant=[], threads=None, iterations=ITERATIONS, repeat=1, warmup=1)
    args.videos, args.length, args.size, args.instances = (2, 4, size, 2) if settings.is_toy else (8, 36, size, 4)
    args.opts = ["MODEL.DEVICE", settings.device, "INPUT.SAMPLING_FRAME_NUM", str(window)]
    args.opts += ["INPUT.MIN_SIZE_TRAIN", str(size[:1]), "INPUT.MAX_SIZE_TRAIN", "2000"]
    if settings.is_toy:
        args.iterations = 1
        args.opts += ["DATALOADER.NUM_WORKERS", "0"]
    args.opts += data_options(args, settings.folder)
    seconds = settings.seconds_left / len(VARIANTS)
    return {name: lambda name=name: largest_batch(name, args, settings, seconds) for name in VARIANTS}


def largest_batch(name: str, args: Namespace, settings: Settings, seconds: float) -> Rows:
    """The numbers of each batch, of which the last is the largest that fits, or the largest that there is time for."""
    opts, precision = VARIANTS[name]
    device = torch.device(settings.device)
    rows: Rows = {}
    clips, end = 1, settings.seconds_left - seconds
    with as_in(Variant(precision, "default" if "SOLVER.COMPILE" in opts else ""), device):
        while clips <= (4 if settings.is_toy else 1024):
            before = settings.seconds_left
            batch = Namespace(**vars(args) | {"opts": [*args.opts, *opts, "SOLVER.IMS_PER_BATCH", str(clips)]})
            (cfg,) = load_configs(batch).values()
            try:
                column = measure_training(cfg, batch)
            except torch.OutOfMemoryError:
                column = None  # not freed in here: the traceback holds on to what the step took
            gc.collect()  # the trainer's workers, too
            if device.type == "cuda":
                torch.cuda.empty_cache()
            if column is None:
                break
            memory = "GPU memory, peak MiB" if device.type == "cuda" else "host memory, peak MiB"
            rows[f"{name}, batch of {clips}"] = {
                "clips a second": clips / column["total"],
                "ms an iteration": 1000 * column["total"],
                "of which waiting for data": column["waiting for data"] / column["total"],
                memory: column[memory],
            }
            if settings.seconds_left - 2 * (before - settings.seconds_left) < end:
                break
            clips *= 4  # a trainer takes seconds to begin
    return rows
