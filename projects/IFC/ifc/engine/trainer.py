# SPDX-License-Identifier: Apache-2.0
"""DefaultTrainer with IFC's optimizer, data loaders, evaluators and checkpoints, on GPUs and on the CPU."""

import os
import weakref

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.engine import AMPTrainer, DefaultTrainer, SimpleTrainer, TrainerBase, create_ddp_model
from detectron2.evaluation import COCOEvaluator, DatasetEvaluator
from detectron2.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..data import build_test_loader, build_train_loader
from ..evaluation.evaluator import YTVISEvaluator
from .checkpoint import IfcCheckpointer
from .optimizer import build_optimizer
from .setup import check_test_datasets


class Trainer(DefaultTrainer):
    """Trains on cfg.DATASETS.TRAIN and evaluates every data set of cfg.DATASETS.TEST with its own mapper and evaluator.

    The constructor reads the data sets' annotations and fails there if one cannot be used, before any training.
    """

    def __init__(self, cfg: CfgNode):
        # DefaultTrainer's own constructor wraps the model for GPUs only and fixes the checkpointer's class.
        TrainerBase.__init__(self)
        cfg = DefaultTrainer.auto_scale_workers(cfg, comm.get_world_size())
        check_test_datasets(cfg)
        data_loader = self.build_train_loader(cfg)
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        model = distribute(model)
        self._trainer = (AMPTrainer if cfg.SOLVER.AMP.ENABLED else SimpleTrainer)(model, data_loader, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = IfcCheckpointer(model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.cfg = cfg
        self.register_hooks(self.build_hooks())

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(cfg, model)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode):
        return build_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str):
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """YTVISEvaluator for a video data set, detectron2's COCOEvaluator for images.

        Results go to OUTPUT_DIR/inference, or to a folder there for each data set if there are several.
        """
        output_dir = os.path.join(cfg.OUTPUT_DIR, "inference")
        if len(cfg.DATASETS.TEST) > 1:
            output_dir = os.path.join(output_dir, dataset_name)
        if MetadataCatalog.get(dataset_name).get("evaluator_type") == "ytvis":
            return YTVISEvaluator(dataset_name, output_dir)
        # The fast implementation needs detectron2's compiled ops.
        return COCOEvaluator(dataset_name, tasks=("bbox", "segm"), output_dir=output_dir, use_fast_impl=False)


def distribute(model: nn.Module) -> nn.Module:
    """The model in DistributedDataParallel if there are several processes, on GPUs or on the CPU."""
    if comm.get_world_size() > 1 and next(model.parameters()).device.type == "cpu":
        return DistributedDataParallel(model, broadcast_buffers=False)
    return create_ddp_model(model, broadcast_buffers=False)
