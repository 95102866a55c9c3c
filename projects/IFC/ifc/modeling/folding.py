# SPDX-License-Identifier: Apache-2.0
"""Batch norm that does not change as a part of the convolution before it."""

from detectron2.layers import Conv2d, FrozenBatchNorm2d
from torch import Tensor, nn


def folded(conv: nn.Conv2d, norm: FrozenBatchNorm2d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that does what `conv` and then `norm`, in evaluation mode, do. Gradients reach
    the weights that it is made of."""
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    bias = norm.bias - norm.running_mean * scale
    return conv.weight * scale[:, None, None, None], bias if conv.bias is None else conv.bias * scale + bias


class FoldedConv2d(Conv2d):
    """A detectron2 convolution whose frozen batch norm in training costs a pass over the weight, not the output."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        weight, bias = folded(self, self.norm)
        x = nn.functional.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)
        return x if self.activation is None else self.activation(x)


def fold_frozen_batch_norm(module: nn.Module) -> None:
    """Have detectron2's convolutions in `module` train with frozen batch norm folded. Parameters stay as they are."""
    for layer in module.modules():
        if type(layer) is Conv2d and isinstance(layer.norm, FrozenBatchNorm2d):
            layer.__class__ = FoldedConv2d
