# SPDX-License-Identifier: Apache-2.0

import copy

import torch
from detectron2.layers import Conv2d, FrozenBatchNorm2d
from torch import nn

from ifc.modeling.folding import FoldedConv2d, fold_frozen_batch_norm


def test_folded_convolutions_do_and_learn_the_same_under_the_same_names():
    torch.manual_seed(0)
    norm = FrozenBatchNorm2d(6)
    for name, low in (("weight", 0.5), ("running_var", 0.5), ("bias", -0.5), ("running_mean", -0.5)):
        getattr(norm, name).data.copy_(low + torch.rand(6))
    plain = nn.Sequential(
        Conv2d(4, 6, 3, padding=1, stride=2, groups=2, bias=False, norm=norm, activation=nn.functional.relu),
        Conv2d(6, 6, 1, norm=copy.deepcopy(norm)),
        Conv2d(6, 6, 1, norm=nn.BatchNorm2d(6)),
    ).double()
    folded = copy.deepcopy(plain)
    fold_frozen_batch_norm(folded)
    assert [type(layer) for layer in folded] == [FoldedConv2d, FoldedConv2d, Conv2d]
    assert folded.state_dict().keys() == plain.state_dict().keys()
    results = []
    for module in (plain, folded):
        image = torch.arange(2 * 4 * 7 * 9).double().view(2, 4, 7, 9).sin().requires_grad_()
        output = module(image)
        output.square().sum().backward()
        results.append([output, image.grad, *(parameter.grad for parameter in module.parameters())])
    for x, y in zip(*results, strict=True):
        torch.testing.assert_close(x, y)
