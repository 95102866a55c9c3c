# SPDX-License-Identifier: Apache-2.0

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ifc.modeling import MaskHead


def test_pixel_features_follow_the_formula():
    torch.manual_seed(0)
    head = MaskHead(32, 8, 4)
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.2)
    cells, lateral4, lateral3 = (torch.randn(2, 32, *size) for size in [(3, 4), (5, 7), (10, 14)])

    def conv_norm(x, conv, norm):
        x = F.conv2d(x, conv.weight, conv.bias, padding=1)
        groups = x.unflatten(1, (32, -1))
        mean, var = groups.mean((2, 3, 4), keepdim=True), groups.var((2, 3, 4), keepdim=True, unbiased=False)
        return ((groups - mean) / (var + norm.eps).sqrt()).flatten(1, 2) * norm.weight.view(-1, 1, 1) + norm.bias.view(
            -1, 1, 1
        )

    def nearest(x, size):
        rows = torch.arange(size[0]) * x.shape[2] // size[0]
        columns = torch.arange(size[1]) * x.shape[3] // size[1]
        return x[:, :, rows][:, :, :, columns]

    x = nearest(conv_norm(cells, head.lay1, head.gn1), (5, 7)) + lateral4
    x = nearest(conv_norm(x, head.lay2, head.gn2), (10, 14)) + lateral3
    x = conv_norm(x, head.lay3, head.gn3).relu()
    x = F.conv2d(x, head.out_lay.depthwise.weight, head.out_lay.depthwise.bias, padding=2, groups=32).relu()
    x = torch.einsum("oi,nihw->nohw", head.out_lay.pointwise.weight[:, :, 0, 0], x)
    x = (x + head.out_lay.pointwise.bias.view(-1, 1, 1)).relu()
    torch.testing.assert_close(head.pixel_features(cells, lateral4, lateral3), x, atol=1e-4, rtol=1e-4)


def test_initialization():
    head = MaskHead(64, 32, 16)
    for name in ("lay1", "lay2", "lay3", "adapter1", "adapter2"):
        conv = getattr(head, name)
        fan_in = conv.weight[0].numel()
        # Kaiming-uniform with a = 1: uniform within ± sqrt(3 / fan_in).
        assert conv.weight.abs().max().item() == pytest.approx((3 / fan_in) ** 0.5, rel=0.02)
        assert not conv.bias.any()
