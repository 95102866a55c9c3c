# SPDX-License-Identifier: Apache-2.0
"""Training iterations, region by region: the trainer's own, on videos of shapes."""

import tempfile
from argparse import Namespace
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage

from ..engine import Trainer
from ..regions import region
from .measuring import Column, Report
from .runs import compare_variants, load_configs, measure
from .shapes_data import write_dataset

DATASET = "benchmark_shapes"


def run(args: Namespace) -> Report:
    """Measure the training of the model of `args.config_file`, and of each variant's, from random weights.

    Raises:
        OSError, ValueError: for a wrong config or argument.
    """
    (cfg, *_) = load_configs(args).values()
    with tempfile.TemporaryDirectory() as folder:
        videos = args.videos, args.size, args.length, args.instances
        paths = write_dataset(Path(folder), *videos, num_categories=cfg.MODEL.IFC.NUM_CLASSES)
        data = ["DATASETS.VIDEO_JSON", str([[DATASET, *paths]]), "DATASETS.TRAIN_RATIO", "[]", "OUTPUT_DIR", folder]
        for split in ("TRAIN", "TEST"):
            data += [f"DATASETS.{split}", f"('{DATASET}',)"]
        return compare_variants({name: measure_training(cfg, args) for name, cfg in load_configs(args, data).items()})


def measure_training(cfg: CfgNode, args: Namespace) -> Column:
    """The numbers of a config's training; seconds are those of an iteration."""
    torch.manual_seed(0)
    trainer = Trainer(cfg)
    # The step is detectron2's to call; what it does between the labels is the backward pass, and noting the losses.
    step = region("optimizer step")
    trainer.optimizer.register_step_pre_hook(lambda *_: step.__enter__())
    trainer.optimizer.register_step_post_hook(lambda *_: step.__exit__())
    trainer.iter = 0

    def train() -> None:
        with EventStorage():
            for _ in range(args.iterations):
                trainer.run_step()
                trainer.iter += 1

    warmup = 1 if args.warmup is None else args.warmup
    column = measure(train, "backward", torch.device(cfg.MODEL.DEVICE), repeat=args.repeat, warmup=warmup)
    column = {row: value if "MiB" in row else value / args.iterations for row, value in column.items()}
    return column | {"iterations a second": 1 / column["total"]}
