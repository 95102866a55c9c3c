# SPDX-License-Identifier: Apache-2.0
"""Training iterations, region by region: the trainer's own, on videos of shapes."""

import tempfile
from argparse import Namespace
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage

from ..engine import Trainer
from .measuring import Column, Report, in_own_process
from .runs import compare_variants, load_configs, measure
from .shapes_data import write_dataset

DATASET = "benchmark_shapes"


def run(args: Namespace) -> Report:
    """Measure the training of the model of `args.config_file`, and of each variant's, from random weights.

    Raises:
        OSError, ValueError: for a wrong config or argument.
    """
    with tempfile.TemporaryDirectory() as folder:
        cfgs = load_configs(args, data_options(args, folder))
        # Each in a process of its own, whose memory is that of its training alone.
        return compare_variants({name: in_own_process(measure_training, cfg, args) for name, cfg in cfgs.items()})


def data_options(args: Namespace, folder: str) -> list[str]:
    """Write videos for the model of `args` to a folder. Returns the config's keys and values that name them."""
    (cfg, *_) = load_configs(args).values()
    videos = args.videos, args.size, args.length, args.instances
    paths = write_dataset(Path(folder), *videos, num_categories=cfg.MODEL.IFC.NUM_CLASSES)
    data = ["DATASETS.VIDEO_JSON", str([[DATASET, *paths]]), "DATASETS.TRAIN_RATIO", "[]", "OUTPUT_DIR", folder]
    for split in ("TRAIN", "TEST"):
        data += [f"DATASETS.{split}", f"('{DATASET}',)"]
    return data


def measure_training(cfg: CfgNode, args: Namespace) -> Column:
    """The numbers of a config's training; seconds are those of an iteration."""
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    trainer = Trainer(cfg)
    trainer.iter = 0

    def train() -> None:
        with EventStorage():
            for _ in range(args.iterations):
                trainer.run_step()
                trainer.iter += 1

    warmup = 1 if args.warmup is None else args.warmup
    column = measure(train, "other", torch.device(cfg.MODEL.DEVICE), repeat=args.repeat, warmup=warmup)
    column = {row: value if "MiB" in row else value / args.iterations for row, value in column.items()}
    return column | {"iterations a second": 1 / column["total"]}
