# SPDX-License-Identifier: Apache-2.0
"""Less memory in training for more time: activations that the backward pass computes again."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from .network import IfcNetwork

CHECKPOINTED_PARTS = ("backbone", "encoder")


def checkpoint_activations(network: IfcNetwork, part: str) -> None:
    """Have each block of the network's "backbone", or layer of its "encoder", keep its inputs alone in training."""
    if part == "backbone":
        blocks = list(_blocks(network.backbone))
    else:
        blocks = [*network.transformer.encoder.enc_layers, *network.transformer.encoder.bus_layers]
    for block in blocks:
        block.forward = partial(_checkpointed, block.forward)  # which a copy of the block copies, too


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """What stages are sequences of, in backbones of detectron2 and of timm."""
    for child in module.children():
        yield from child.children() if isinstance(child, nn.Sequential) else _blocks(child)


def _checkpointed(forward: Callable, *args: Any) -> Any:
    if forward.__self__.training and torch.is_grad_enabled():
        return checkpoint(forward, *args, use_reentrant=False)  # with the same random numbers
    return forward(*args)
