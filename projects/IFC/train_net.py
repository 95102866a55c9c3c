#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Training and evaluation with detectron2's command line.

Train on 8 GPUs, starting from a COCO checkpoint:
    python projects/IFC/train_net.py --num-gpus 8 --config-file projects/IFC/configs/base_ytvis.yaml \
        MODEL.WEIGHTS path/to/model.pth

Evaluate with windows of F frames:
    python projects/IFC/train_net.py --num-gpus 8 --eval-only --config-file projects/IFC/configs/base_ytvis.yaml \
        MODEL.WEIGHTS path/to/model.pth INPUT.SAMPLING_FRAME_NUM F

With MODEL.DEVICE cpu, --num-gpus is the number of processes on the CPU.
"""

import sys
from argparse import Namespace

from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser, default_setup
from detectron2.evaluation import verify_results
from detectron2.utils import comm
from ifc.engine import IfcCheckpointer, Trainer, check_test_datasets, launch, setup_config


def main(args: Namespace, cfg: CfgNode) -> dict | None:
    """One process: train, or with --eval-only evaluate."""
    default_setup(cfg, args)
    if args.eval_only:
        return evaluate(args, cfg)
    with one_clear_error():
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=args.resume)
    return trainer.train()


def evaluate(args: Namespace, cfg: CfgNode) -> dict:
    """Evaluate MODEL.WEIGHTS (with --resume: the last checkpoint) on DATASETS.TEST; numbers by data set."""
    with one_clear_error():
        check_test_datasets(cfg)
        model = Trainer.build_model(cfg)
        IfcCheckpointer(model, save_dir=cfg.OUTPUT_DIR).resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
    results = Trainer.test(cfg, model)
    if comm.is_main_process():
        verify_results(cfg, results)
    return results


class one_clear_error:  # noqa: N801 - reads as a statement
    """What the user can mend is said in one line, without the path through the code."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, traceback) -> None:
        if isinstance(error, (OSError, ValueError)):
            sys.exit(f"error: {error}")


if __name__ == "__main__":
    args = default_argument_parser().parse_args()
    with one_clear_error():
        cfg = setup_config(args.config_file, args.opts)
    launch(
        main, args.num_gpus, args.num_machines, args.machine_rank, args.dist_url, args=(args, cfg), device=cfg.MODEL.DEVICE
    )
