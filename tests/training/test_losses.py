# SPDX-License-Identifier: Apache-2.0
"""The losses against their formulas, one pixel after the other in float64."""

import math

import numpy as np
import torch

from ifc.training.losses import dice_loss, focal_loss


def sample(num_instances: int, num_pixels: int):
    generator = np.random.default_rng(0)
    return generator.normal(size=(num_instances, num_pixels)) * 3, generator.random((num_instances, num_pixels))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_focal_loss():
    logits, targets = sample(3, 11)
    expected = np.zeros(3)
    for i, (row, target_row) in enumerate(zip(logits, targets, strict=True)):
        for x, t in zip(row, target_row, strict=True):
            p = sigmoid(x)
            cross_entropy = -t * math.log(p) - (1 - t) * math.log(1 - p)
            p_t = p * t + (1 - p) * (1 - t)
            expected[i] += (0.25 * t + 0.75 * (1 - t)) * (1 - p_t) ** 2 * cross_entropy / len(row)
    np.testing.assert_allclose(focal_loss(torch.tensor(logits), torch.tensor(targets)), expected, rtol=1e-5)


def dice(row, target_row) -> float:
    p = [sigmoid(x) for x in row]
    return (2 * sum(a * b for a, b in zip(p, target_row, strict=True)) + 1) / (sum(p) + sum(target_row) + 1)


def test_dice_loss():
    logits, targets = sample(3, 11)
    expected = [1 - dice(*rows) for rows in zip(logits, targets, strict=True)]
    np.testing.assert_allclose(dice_loss(torch.tensor(logits), torch.tensor(targets)), expected)


def test_large_logits_stay_finite():
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([[0.0, 1.0]])) + dice_loss(logits, torch.tensor([[0.0, 1.0]]))
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(logits.grad).all()
