# SPDX-License-Identifier: Apache-2.0
"""A training or an evaluation, from its command line to its numbers. It loads torch: import it after --help."""

import contextlib
import functools
import io
import itertools
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.engine import default_setup
from detectron2.evaluation import verify_results
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from ..engine import Trainer, WholeCheckpointer, setup_config
from ..engine.config_file import find_config, has_checkpoint
from ..engine.failed_step import replay_step
from ..engine.launch import Processes, has_lost_another, launch, one_says_why, process_group
from ..engine.meeting import meet, was_restarted
from ..engine.place import Place, place_from_environment
from ..engine.run_record import record_start
from ..evaluation.evaluator import IncompleteResultsError
from ..ytvis.files import whole_file
from ..ytvis.folder_lock import FolderInUseError, FolderLock
from .program import MENDABLE, one_clear_error, print_anything

CONFIG_FILE = "config.yaml"  # where detectron2 writes it
LOGGERS = ("detectron2", "fvcore", "ifc")
EXPECTED = (FloatingPointError, IncompleteResultsError, OSError)  # what may end a training, and is said in one line


def run(args: Namespace) -> None:
    """Start the processes that `args` (see `model.train`) asks for, and wait for them; or be the one of a
    group that torchrun or srun has started.
    """
    with one_clear_error():
        args.config_file = args.config_file and find_config(args.config_file)  # which detectron2 reads, too
        place = place_from_environment(os.environ, args.num_machines)
        if place is None:
            cfg = setup_config(args.config_file, args.opts, args.resume)
            device = cfg.MODEL.DEVICE
            processes = Processes(args.num_gpus, args.num_machines, args.machine_rank, args.dist_url, device)
    if place is None:
        launch(main, processes, args=(args, cfg))
        return
    store = meet(place)
    with one_says_why(store):
        with one_clear_error():
            cfg = _set_up_member(args, place, was_restarted(store))
        with process_group(place, store, cfg.MODEL.DEVICE):
            main(args, cfg)


def _set_up_member(args: Namespace, place: Place, is_restarted: bool) -> CfgNode:
    """The configuration of a process that torchrun or srun has started; a restarted one resumes."""
    if (args.num_gpus, args.num_machines) != (1, 1):
        found = f"found {args.num_gpus}, {args.num_machines}"
        expected = f"neither: {place.says} has started {place.world_size} processes"
        raise ValueError(f"--num-gpus, --num-machines: {found}, expected {expected}")
    args.resume = args.resume or is_restarted and not args.eval_only
    cfg = setup_config(args.config_file, args.opts, args.resume)
    # torchrun may also start everything anew without calling it a restart: when a machine comes or goes.
    if place.says == "torchrun" and not (args.resume or args.eval_only) and has_checkpoint(cfg):
        raise ValueError(f"OUTPUT_DIR {cfg.OUTPUT_DIR}: found a checkpoint, expected --resume or another folder")
    return cfg


def main(args: Namespace, cfg: CfgNode) -> dict | None:
    """One process: train, or with --eval-only evaluate."""
    print_anything()
    with one_clear_error():
        set_up(args, cfg)
    if args.replay is not None:
        with one_clear_error((*MENDABLE, FloatingPointError)):
            return replay_step(cfg, args.replay)
    return evaluate_model(args, cfg) if args.eval_only else train(args, cfg)


def set_up(args: Namespace, cfg: CfgNode) -> None:
    """detectron2's `default_setup`, whose pages on machine and configuration go to the log file alone, and whose copy
    of the configuration is left to `record`.

    Raises:
        OSError: another run is using OUTPUT_DIR.
    """
    if comm.is_main_process():
        keep_for_this_process(os.path.abspath(cfg.OUTPUT_DIR))
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it misses a GPU wherever there is nvcc
    with contextlib.redirect_stdout(io.StringIO()) as pages, _kept(Path(cfg.OUTPUT_DIR, CONFIG_FILE)):
        default_setup(cfg, args)
        logger = setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="ifc")
    for handler in itertools.chain.from_iterable(logging.getLogger(name).handlers for name in LOGGERS):
        if handler.stream is pages:
            handler.setStream(sys.stdout)
            handler.setLevel(logging.INFO)
    # detectron2 shows the path through the code of whatever ends a training.
    logging.getLogger("detectron2.engine.train_loop").addFilter(
        lambda record: not (record.exc_info and _is_said_in_one_line(record.exc_info[1]))
    )
    logger.info(f"Configuration: {cfg.OUTPUT_DIR}/{CONFIG_FILE}; these messages and more: {cfg.OUTPUT_DIR}/log.txt")


@functools.cache  # it may train there more than once
def keep_for_this_process(folder: str) -> FolderLock:
    """Lock OUTPUT_DIR until this process ends.

    Raises:
        OSError: another run is using it, or it cannot be written.
    """
    try:
        return FolderLock(folder)
    except FolderInUseError as error:
        raise OSError(f"OUTPUT_DIR {error}, expected a folder of its own for each run") from None


@contextlib.contextmanager
def _kept(path: Path) -> Iterator[None]:
    """Leave a file as it is, whatever the main process writes there in the block."""
    earlier = path.read_bytes() if path.exists() else None
    yield
    if comm.is_main_process():
        if earlier is None:
            path.unlink(missing_ok=True)
        else:
            with whole_file(path) as partial:
                partial.write_bytes(earlier)


def record(cfg: CfgNode) -> None:
    """Write down, in the main process, what begins now that nothing is in its way."""
    if comm.is_main_process():
        with whole_file(os.path.join(cfg.OUTPUT_DIR, CONFIG_FILE)) as partial:
            partial.write_text(cfg.dump(), encoding="utf-8")
        record_start(cfg)


def _is_said_in_one_line(error: BaseException) -> bool:
    return isinstance(error, EXPECTED) or has_lost_another(error)


def train(args: Namespace, cfg: CfgNode) -> dict | None:
    """Train on DATASETS.TRAIN, then evaluate on DATASETS.TEST; with --resume continue from the last checkpoint."""
    with one_clear_error():
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=args.resume)
        record(cfg)
    with one_clear_error(EXPECTED):
        return trainer.train()


def evaluate_model(args: Namespace, cfg: CfgNode) -> dict:
    """Evaluate MODEL.WEIGHTS (with --resume: the last checkpoint) on DATASETS.TEST; numbers by data set."""
    with one_clear_error():
        if not cfg.DATASETS.TEST:
            raise ValueError("DATASETS.TEST is empty, expected names of data sets")
        test_sets = Trainer.build_test_sets(cfg)
        model = Trainer.build_model(cfg)
        WholeCheckpointer(model, save_dir=cfg.OUTPUT_DIR).resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        record(cfg)
    with one_clear_error((IncompleteResultsError,)):
        results = Trainer.test(cfg, model, test_sets)
    if comm.is_main_process():
        verify_results(cfg, results)
    return results
