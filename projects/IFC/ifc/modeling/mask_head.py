# SPDX-License-Identifier: Apache-2.0
"""Pixel features for the masks, and the weights that turn a query into its mask (IFC, section 3.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, dim: int, out_dim: int, num_layers: int):
        super().__init__()
        widths = [dim] * num_layers + [out_dim]
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in zip(widths, widths[1:], strict=False))

    def forward(self, x: Tensor) -> Tensor:
        """(…, dim) → (…, out_dim)."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class SeparableConv(nn.Module):
    """5×5 depthwise convolution, ReLU, 1×1 convolution, ReLU."""

    def __init__(self, dim: int):
        super().__init__()
        self.depthwise = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)
        self.pointwise = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, dim, h, w) → (N, dim, h, w)."""
        if self.training and x.device.type == "cpu":  # which is slow at the gradients of a depthwise one in bfloat16
            with torch.autocast("cpu", enabled=False):
                x = self.depthwise(x.to(self.depthwise.weight.dtype))
        else:
            x = self.depthwise(x)
        return self.pointwise(x.relu_()).relu_()


class MaskHead(nn.Module):
    """From encoded frames and two finer backbone features to pixel features at the finest one's stride.

    Args:
        dim: D, a multiple of 32 (the groups of the group norms).
        res4_channels, res3_channels: channels of the backbone features.
    """

    def __init__(self, dim: int, res4_channels: int, res3_channels: int):
        super().__init__()
        self.lay1, self.gn1 = nn.Conv2d(dim, dim, 3, padding=1), nn.GroupNorm(32, dim)
        self.lay2, self.gn2 = nn.Conv2d(dim, dim, 3, padding=1), nn.GroupNorm(32, dim)
        self.lay3, self.gn3 = nn.Conv2d(dim, dim, 3, padding=1), nn.GroupNorm(32, dim)
        self.out_lay = SeparableConv(dim)
        self.adapter1 = nn.Conv2d(res4_channels, dim, 1)
        self.adapter2 = nn.Conv2d(res3_channels, dim, 1)
        self.convert_to_weight = MLP(dim, dim, 3)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                nn.init.zeros_(module.bias)

    def pixel_features(self, cells: Tensor, lateral4: Tensor, lateral3: Tensor) -> Tensor:
        """
        Args:
            cells: (N, D, h, w), encoded frames.
            lateral4, lateral3: (N, D, h₄, w₄) and (N, D, h₃, w₃): `adapter1` of res4 and `adapter2` of res3.

        Returns:
            (N, D, h₃, w₃).
        """
        x = self.gn1(self.lay1(cells))
        x = lateral4 + F.interpolate(x, size=lateral4.shape[-2:], mode="nearest")
        x = self.gn2(self.lay2(x))
        x = lateral3 + F.interpolate(x, size=lateral3.shape[-2:], mode="nearest")
        x = self.gn3(self.lay3(x)).relu_()
        return self.out_lay(x)
