# SPDX-License-Identifier: Apache-2.0
"""DefaultTrainer with IFC's optimizer, data loaders, evaluators and checkpoints, on GPUs and on the CPU."""

import logging
import os
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.engine import DefaultTrainer, HookBase, TrainerBase, create_ddp_model
from detectron2.engine.hooks import EvalHook, PeriodicCheckpointer, PeriodicWriter
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset, print_csv_format
from detectron2.utils import comm
from detectron2.utils.events import EventWriter
from torch import nn
from torch.utils.data import DataLoader

from ..data.catalog import register_video_json
from ..data.coco_checks import check_ground_truth
from ..data.dataset_dicts import load_ground_truth
from ..data.loaders import build_test_loader, build_train_loader, is_video_dataset
from ..evaluation.evaluator import IncompleteResultsError, YTVISEvaluator
from ..evaluation.image_evaluator import ImageEvaluator
from ..regions import each_in_region
from .checkpoint import IfcCheckpointer
from .checkpoint_hook import AVERAGED, Checkpoints
from .config_file import build_model
from .failed_step import dump_step
from .optimizer import build_optimizer
from .step import LOG_PERIOD, NotFiniteError, TrainingStep, step_settings
from .stopping import StopOnSignal
from .writers import LearningRates, MetricsWriter, ProgressPrinter, TensorBoardWriter, WriteSteps

logger = logging.getLogger(__name__)


class TestSet(NamedTuple):
    """A data set of DATASETS.TEST: what its evaluation goes through, and what measures it."""

    name: str
    loader: DataLoader
    evaluator: DatasetEvaluator


class Trainer(DefaultTrainer):
    """Trains on cfg.DATASETS.TRAIN and evaluates every data set of cfg.DATASETS.TEST with its own mapper and evaluator.

    The constructor builds everything and reads the data sets' annotations, so that what cannot be used is known before
    any training.

    Raises:
        OSError, ValueError: a data set or a value of the config that cannot be used.
    """

    build_optimizer = staticmethod(build_optimizer)
    build_train_loader = staticmethod(build_train_loader)
    build_test_loader = staticmethod(build_test_loader)

    def __init__(self, cfg: CfgNode):
        # DefaultTrainer's own constructor wraps the model for GPUs only and fixes the checkpointer's class.
        TrainerBase.__init__(self)
        cfg = DefaultTrainer.auto_scale_workers(cfg, comm.get_world_size())
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self._test_sets = self.build_test_sets(cfg)
        self._loader = self.build_train_loader(cfg)
        model = distribute(model)
        batches = each_in_region("waiting for data", self._loader)
        self._trainer = TrainingStep(model, batches, optimizer, step_settings(cfg, self._loader.dataset))
        self.checkpointer = IfcCheckpointer(model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.cfg = cfg
        self._has_loaded_state = False
        self._tensorboard: TensorBoardWriter | None = None  # in the main process
        self._writers: list[EventWriter] = []  # in the main process
        self._incomplete: IncompleteResultsError | None = None  # what the last evaluation could not read
        self.register_hooks(self.build_hooks())

    def state_dict(self) -> dict[str, Any]:
        """What the training has to know besides the weights. (detectron2 v0.5 and v0.6 leave the optimizer out.)"""
        state = {"_trainer": self._trainer.state_dict(), "world_size": comm.get_world_size()}
        return TrainerBase.state_dict(self) | state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave.

        Raises:
            ValueError: it is from another optimizer or trainer than the config's.
        """
        try:
            TrainerBase.load_state_dict(self, state_dict)
            self._trainer.load_state_dict(state_dict["_trainer"])
            _check_shapes(self._trainer.optimizer)
            world_size = state_dict["world_size"]
            self._has_loaded_state = True
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"--resume: expected a checkpoint of a training with this config in {self.cfg.OUTPUT_DIR}, found one "
                f"whose training state does not fit: {error}"
            ) from error
        if world_size != comm.get_world_size():
            logger.warning(
                f"The training had {world_size} processes and has {comm.get_world_size()} now: samples and schedule "
                "stay, but not every bit, as dropout is drawn and sums are rounded in another way"
            )

    def resume_or_load(self, resume: bool = True) -> None:
        """Continue the training in OUTPUT_DIR if asked for and there is one; else load the weights of MODEL.WEIGHTS.

        Raises:
            OSError, ValueError: the checkpoint is missing, damaged, of another training, or to resume from without the
                training's state.
        """
        super().resume_or_load(resume)
        if resume and self.checkpointer.has_checkpoint() and not self._has_loaded_state:
            raise ValueError(
                f"--resume: expected a checkpoint of a training, found {self.checkpointer.get_checkpoint_file()} with "
                "weights alone, from which a new training can start (MODEL.WEIGHTS, and another OUTPUT_DIR)"
            )

    def build_hooks(self) -> list[HookBase]:
        """detectron2's, with our own checkpoints, an end in order when a scheduler asks for it, and evaluations that
        frames that cannot be read do not end.
        """
        cfg = self.cfg
        self._checkpoints = Checkpoints(
            self.checkpointer,
            period=cfg.SOLVER.CHECKPOINT_PERIOD,
            eval_period=cfg.TEST.EVAL_PERIOD,
            keep=cfg.SOLVER.KEEP_CHECKPOINTS,
            averaged=self._averaged,
        )
        self._stop = StopOnSignal(self._checkpoints)
        hooks = [hook for hook in super().build_hooks() if not isinstance(hook, PeriodicCheckpointer)]
        place = next(index for index, hook in enumerate(hooks) if isinstance(hook, EvalHook))
        evaluation = EvalHook(cfg.TEST.EVAL_PERIOD, self._evaluate)
        hooks[place : place + 1] = [WriteSteps(self._writers, LOG_PERIOD), self._checkpoints, self._stop, evaluation]
        # As a checkpoint goes before each evaluation, a run killed after one would lose the numbers of it.
        writes_at_once = [PeriodicWriter(self._writers, cfg.TEST.EVAL_PERIOD)] if cfg.TEST.EVAL_PERIOD else []
        return [LearningRates(), *hooks, *writes_at_once]

    def build_writers(self) -> list[EventWriter]:
        """Progress on the terminal, metrics.json and TensorBoard, in the main process."""
        self._tensorboard = TensorBoardWriter(self.cfg.OUTPUT_DIR, weakref.proxy(self))
        metrics = MetricsWriter(self.cfg.OUTPUT_DIR, weakref.proxy(self))
        self._writers = [ProgressPrinter(self.max_iter, self.cfg.MODEL.DEVICE), metrics, self._tensorboard]
        return self._writers

    @property
    def _averaged(self) -> nn.Module | None:
        return None if self._trainer.ema is None else self._trainer.ema.module

    def _evaluate(self) -> dict[str, Any]:
        self._incomplete = None
        with self._stop.at_once():
            results = self._results(self.model, self._test_sets)
            if self._averaged is not None:
                folder = f"inference_{AVERAGED}"
                test_sets = [
                    test_set._replace(evaluator=self.build_evaluator(self.cfg, test_set.name, folder))
                    for test_set in self._test_sets
                ]
                results = {**results, AVERAGED: self._results(self._averaged, test_sets)}
        evaluator = self._test_sets[0].evaluator if self._test_sets else None
        if self._tensorboard is not None and isinstance(evaluator, YTVISEvaluator):
            self._tensorboard.add_pictures(self.iter, evaluator.pictures())
        self._checkpoints.note_results(results)
        self._last_eval_results = results
        return results

    def _results(self, model: nn.Module, test_sets: Sequence[TestSet]) -> dict[str, Any]:
        try:
            return self.test(self.cfg, model, test_sets)
        except IncompleteResultsError as error:
            self._incomplete = error
            return error.results

    def train(self) -> dict[str, Any] | None:
        """Train and evaluate. Returns the last evaluation's numbers if TEST.EXPECTED_RESULTS has some, else None.

        Raises:
            NotFiniteError: more steps in a row than allowed had losses that are not finite; the message names the
                batch's files, and the file from which `replay_step` makes the step again.
            IncompleteResultsError: when all is done, if videos could be read in part only at the end.
            OSError: a checkpoint cannot be written, or too many frames cannot be read.
            SystemExit: with status `STOPPED`, see `StopOnSignal`.
        """
        self._loader.dataset.seed, self._loader.batch_sampler.first = self._trainer.seed, self.start_iter
        try:
            results = super().train()
        except NotFiniteError as error:
            raise self._dumped(error) from error
        if self._incomplete is not None:
            raise self._incomplete
        return results

    def _dumped(self, error: NotFiniteError) -> NotFiniteError:
        """The error with what is needed to look into it; the main process and those whose losses it is write a file."""
        if not (error.is_own or comm.is_main_process()):
            return error
        name = f"not_finite_{error.iteration:07d}_{comm.get_rank()}.pth"
        path = os.path.join(self.cfg.OUTPUT_DIR, name)
        dump_step(path, self.checkpointer.model, error, self._trainer.settings.precision)
        files = [name for clip in error.batch for name in clip.get("file_names", [])]
        error.args = (f"{error}, in a batch of {', '.join(dict.fromkeys(files))}; --replay {path} makes it again",)
        return error

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """The model of `cfg`, which the log file describes."""
        model = build_model(cfg)
        logging.getLogger(__name__).debug(f"Model:\n{model}")  # for the log file: it is long
        return model

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        try:
            return super().build_lr_scheduler(cfg, optimizer)
        except (AssertionError, ValueError) as error:
            keys = ("LR_SCHEDULER_NAME", "MAX_ITER", "STEPS", "WARMUP_FACTOR", "WARMUP_ITERS", "WARMUP_METHOD")
            found = ", ".join(f"{key} {cfg.SOLVER[key]!r}" for key in keys)
            raise ValueError(f"SOLVER: found {found}, of which no schedule can be made: {error}") from error

    @classmethod
    def build_test_sets(cls, cfg: CfgNode) -> list[TestSet]:
        """DATASETS.TEST, read and checked: training must not end in an evaluation that cannot start.

        Raises:
            OSError, ValueError: a data set that cannot be read, does not fit MODEL.IFC.NUM_CLASSES, or has no
                annotations to measure TEST.EXPECTED_RESULTS with.
        """
        register_video_json(cfg.DATASETS.VIDEO_JSON)  # which each process of a launch has to do for itself
        test_sets = []
        for name in cfg.DATASETS.TEST:
            ground_truth = load_ground_truth(name) if is_video_dataset(name) else None
            evaluator = cls.build_evaluator(cfg, name)
            test_sets.append(TestSet(name, cls.build_test_loader(cfg, name), evaluator))
            tracks = evaluator.ground_truth.get("annotations") if ground_truth is None else ground_truth.tracks
            if cfg.TEST.EXPECTED_RESULTS and tracks is None:
                raise ValueError(f"TEST.EXPECTED_RESULTS: found some, expected none: '{name}' has no annotations")
        return test_sets

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str, folder: str = "inference") -> DatasetEvaluator:
        """YTVISEvaluator for a video data set, detectron2's COCOEvaluator, as ImageEvaluator, for images.

        Results go to this folder in OUTPUT_DIR, or to one there for each data set if there are several.

        Raises:
            ValueError: an annotation that cannot be evaluated.
        """
        output_dir = os.path.join(cfg.OUTPUT_DIR, folder)
        if len(cfg.DATASETS.TEST) > 1:
            output_dir = os.path.join(output_dir, dataset_name)
        if is_video_dataset(dataset_name):
            return YTVISEvaluator(dataset_name, output_dir, cfg.TEST.PICTURES)
        evaluator = ImageEvaluator(dataset_name, output_dir)
        check_ground_truth(evaluator.ground_truth, MetadataCatalog.get(dataset_name).json_file)
        return evaluator

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module, test_sets: Sequence[TestSet] | None = None) -> dict[str, Any]:
        """Evaluate all data sets of DATASETS.TEST, or those that `build_test_sets` gave; numbers by data set if there
        are several.

        Raises:
            IncompleteResultsError: in the main process, when all is done, if videos could be read in part only.
        """
        results, messages = {}, []
        for name, loader, evaluator in cls.build_test_sets(cfg) if test_sets is None else test_sets:
            results[name] = inference_on_dataset(model, loader, evaluator)
            messages.append(getattr(evaluator, "incomplete", ""))
            if comm.is_main_process():
                print_csv_format(results[name])
        if len(results) == 1:
            (results,) = results.values()
        if any(messages):
            raise IncompleteResultsError("; ".join(filter(None, messages)), results)
        return results


def _check_shapes(optimizer: torch.optim.Optimizer) -> None:
    """Whether the optimizer's state fits the parameters, which torch finds out when it makes a step."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.dim() > 0 and value.shape != parameter.shape:
                found, expected = list(value.shape), list(parameter.shape)
                raise ValueError(f"{name} of shape {found} for a parameter of shape {expected}")


def distribute(model: nn.Module) -> nn.Module:
    """The model in DistributedDataParallel if there are several processes, on GPUs or on the CPU."""
    device = next(model.parameters()).device
    model.train()  # which settles the memory format, that of the gradients' buckets, too
    return create_ddp_model(model, broadcast_buffers=False, device_ids=None if device.type == "cpu" else [device])
