# SPDX-License-Identifier: Apache-2.0
"""The optimizer, and the clipping of the whole model's gradient."""

import math
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.solver.build import maybe_add_gradient_clipping
from torch import nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

OPTIMIZERS = {"ADAMW": torch.optim.AdamW, "SGD": torch.optim.SGD}
FULL_MODEL = "full_model"


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """SOLVER.OPTIMIZER over the trainable parameters, in two groups: "backbone" and "rest", each one's `name`.

    Parameters whose name has "backbone" learn at SOLVER.BACKBONE_MULTIPLIER times SOLVER.BASE_LR. With
    SOLVER.CLIP_GRADIENTS of type "full_model" the norm over all gradients together is clipped at CLIP_VALUE before each
    step; the other types are detectron2's, which clip each parameter alone. A step whose gradients are not all finite
    leaves weights and state as they are, which takes no wait for the device.

    Attributes that the optimizer has besides torch's: `max_norm`, that CLIP_VALUE or infinity, and after each step
    `gradient_norm`, a scalar tensor, the norm before clipping.
    """
    base_lr, multiplier = cfg.SOLVER.BASE_LR, cfg.SOLVER.BACKBONE_MULTIPLIER
    trainable = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    groups = [
        {"name": "backbone", "params": [p for name, p in trainable if "backbone" in name], "lr": base_lr * multiplier},
        {"name": "rest", "params": [p for name, p in trainable if "backbone" not in name]},
    ]
    groups = [group for group in groups if group["params"]]  # a backbone may be frozen as a whole
    arguments = {"lr": base_lr, "weight_decay": cfg.SOLVER.WEIGHT_DECAY}
    if cfg.SOLVER.OPTIMIZER == "SGD":
        arguments |= {"momentum": cfg.SOLVER.MOMENTUM, "nesterov": cfg.SOLVER.NESTEROV}
    optimizer_class, clip = OPTIMIZERS[cfg.SOLVER.OPTIMIZER], cfg.SOLVER.CLIP_GRADIENTS
    clips_full_model = clip.ENABLED and clip.CLIP_TYPE == FULL_MODEL
    if not clips_full_model:
        optimizer_class = maybe_add_gradient_clipping(cfg, optimizer_class)
    optimizer = optimizer_class(groups, fused=True, **arguments)
    optimizer.max_norm = clip.CLIP_VALUE if clips_full_model else math.inf
    parameters = [parameter for _, parameter in trainable]

    def clip_and_check(*_: Any) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if getattr(optimizer, "grad_scale", None) is not None:  # a loss scaler leaves it to a fused step to unscale
            torch._foreach_div_(gradients, optimizer.grad_scale)
            optimizer.grad_scale = None
        norm = get_total_norm(gradients, norm_type=clip.NORM_TYPE if clips_full_model else 2.0)
        if clips_full_model:
            clip_grads_with_norm_(parameters, optimizer.max_norm, norm)
        optimizer.gradient_norm = norm
        optimizer.found_inf = (~norm.isfinite()).float()  # which a fused step looks at, as with a loss scaler

    optimizer.register_step_pre_hook(clip_and_check)
    return optimizer
