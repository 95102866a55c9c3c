# SPDX-License-Identifier: Apache-2.0

import pytest
import torch

from ifc.modeling.dropout import Dropout


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_values_are_dropped_at_random_or_scaled_and_so_are_their_gradients(probability):
    torch.manual_seed(0)
    x = torch.rand(7, 11, 1301).add_(1).requires_grad_()
    dropout = Dropout(probability)
    y = dropout(x)
    y.sum().backward()
    kept = y != 0
    torch.testing.assert_close(y[kept], x[kept] / (1 - probability))
    torch.testing.assert_close(x.grad, kept / (1 - probability))
    lanes = kept.flatten()[: kept.numel() // 4 * 4].view(-1, 4)  # of 64-bit numbers
    tolerance = 2.5 / len(lanes) ** 0.5  # five standard deviations at most
    assert all(abs(lane.float().mean() - (1 - probability)) < tolerance for lane in lanes.T)
    both = (1 - probability) ** 2  # which neighbors would be kept more often if they depended on each other
    neighbors = [(lanes[:, 0], lanes[:, 1]), (lanes[:, 1], lanes[:, 2]), (lanes[1:, 0], lanes[:-1, 3])]
    assert all(abs((x & y).float().mean() - both) < tolerance for x, y in neighbors)
    torch.manual_seed(0)
    torch.rand(7, 11, 1301)
    assert torch.equal(dropout(x), y)
    assert torch.equal(dropout.eval()(x), x)
