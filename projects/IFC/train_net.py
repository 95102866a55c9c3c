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

import contextlib
import sys
from argparse import Namespace
from collections.abc import Iterator

from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser, default_setup
from detectron2.evaluation import verify_results
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from ifc.engine import IfcCheckpointer, Trainer, check_processes, launch, setup_config
from ifc.evaluation.evaluator import IncompleteResultsError


def main(args: Namespace, cfg: CfgNode) -> dict | None:
    """One process: train, or with --eval-only evaluate."""
    sys.stdout.reconfigure(errors="backslashreplace")  # for names of classes that the terminal cannot show
    with one_clear_error():
        default_setup(cfg, args)
        setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="ifc")
    return evaluate(args, cfg) if args.eval_only else train(args, cfg)


def train(args: Namespace, cfg: CfgNode) -> dict | None:
    """Train on DATASETS.TRAIN, then evaluate on DATASETS.TEST; with --resume continue from the last checkpoint."""
    with one_clear_error():
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=args.resume)
    with one_clear_error((FloatingPointError, IncompleteResultsError)):
        return trainer.train()


def evaluate(args: Namespace, cfg: CfgNode) -> dict:
    """Evaluate MODEL.WEIGHTS (with --resume: the last checkpoint) on DATASETS.TEST; numbers by data set."""
    with one_clear_error():
        if not cfg.DATASETS.TEST:
            raise ValueError("DATASETS.TEST is empty, expected names of data sets")
        evaluators = Trainer.build_evaluators(cfg)
        model = Trainer.build_model(cfg)
        IfcCheckpointer(model, save_dir=cfg.OUTPUT_DIR).resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
    with one_clear_error((IncompleteResultsError,)):
        results = Trainer.test(cfg, model, evaluators)
    if comm.is_main_process():
        verify_results(cfg, results)
    return results


@contextlib.contextmanager
def one_clear_error(kinds: tuple[type[Exception], ...] = (OSError, ValueError)) -> Iterator[None]:
    """What the user can mend ends the program with one line, without the path through the code."""
    try:
        yield
    except kinds as error:
        sys.exit("error: " + " ".join(str(error).split()))


if __name__ == "__main__":
    args = default_argument_parser().parse_args()
    with one_clear_error():
        cfg = setup_config(args.config_file, args.opts, args.resume)
        processes = (args.num_gpus, args.num_machines, args.machine_rank, args.dist_url)
        check_processes(*processes, device=cfg.MODEL.DEVICE)
    launch(main, *processes, args=(args, cfg), device=cfg.MODEL.DEVICE)
