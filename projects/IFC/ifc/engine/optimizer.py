# SPDX-License-Identifier: Apache-2.0
"""The optimizer, and the clipping of the whole model's gradient."""

import torch
from detectron2.config import CfgNode
from detectron2.solver.build import maybe_add_gradient_clipping
from torch import nn

from ..regions import region

OPTIMIZERS = {"ADAMW": torch.optim.AdamW, "SGD": torch.optim.SGD}
FULL_MODEL = "full_model"


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """SOLVER.OPTIMIZER with one parameter group a trainable parameter.

    Parameters whose name has "backbone" learn at SOLVER.BACKBONE_MULTIPLIER times SOLVER.BASE_LR. With
    SOLVER.CLIP_GRADIENTS of type "full_model" the norm over all gradients together is clipped at CLIP_VALUE before each
    step; the other types are detectron2's, which clip each parameter alone.
    """
    base_lr, multiplier = cfg.SOLVER.BASE_LR, cfg.SOLVER.BACKBONE_MULTIPLIER
    groups = [
        {
            "params": [parameter],
            "lr": base_lr * multiplier if is_of_backbone(name) else base_lr,
            "weight_decay": cfg.SOLVER.WEIGHT_DECAY,
        }
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    ]
    arguments = {"lr": base_lr}
    if cfg.SOLVER.OPTIMIZER == "SGD":
        arguments |= {"momentum": cfg.SOLVER.MOMENTUM, "nesterov": cfg.SOLVER.NESTEROV}
    optimizer_class = OPTIMIZERS[cfg.SOLVER.OPTIMIZER]
    clip = cfg.SOLVER.CLIP_GRADIENTS
    if clip.ENABLED and clip.CLIP_TYPE == FULL_MODEL:
        optimizer = optimizer_class(groups, **arguments)
        parameters = [group["params"][0] for group in groups]

        # A pre-hook sees the gradients as the step will: reduced over the processes, unscaled by the loss scaler.
        @region("optimizer step")
        def clip_full_model(*_) -> None:
            torch.nn.utils.clip_grad_norm_(parameters, clip.CLIP_VALUE, norm_type=clip.NORM_TYPE)

        optimizer.register_step_pre_hook(clip_full_model)
        return optimizer
    return maybe_add_gradient_clipping(cfg, optimizer_class)(groups, **arguments)


def is_of_backbone(name: str) -> bool:
    """Whether the parameter of this name learns at the backbone's rate."""
    return "backbone" in name
