# SPDX-License-Identifier: Apache-2.0
"""The losses against their formulas, one number after the other in float64."""

import math

import numpy as np
import pytest
import torch

from ifc.training.losses import contrastive_loss, dice_loss, focal_loss


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


def contrast(embeddings: list[list[float]], identities: list[int], temperature: float) -> list[float]:
    """One loss for each embedding, by the formula of the paper."""
    losses = []
    for i, own in enumerate(embeddings):
        others = [j for j in range(len(embeddings)) if j != i]
        scores = {
            j: math.exp(sum(a * b for a, b in zip(own, embeddings[j], strict=True)) / temperature) for j in others
        }
        same = [j for j in others if identities[j] == identities[i]]
        losses.append(sum(-math.log(scores[j] / sum(scores.values())) for j in same) / len(same) if same else 0.0)
    return losses


@pytest.mark.parametrize(
    "identities", [[0, 1, 0, 1], [0, 0], [5, 2, 5, 7, 2, 5, 5, 9], [3], [], [0, 1, 2], [4, 4, 4], [1, 0, 0]], ids=str
)
def test_contrastive_loss(identities):
    """Also of instances that are there once, three times, or alone."""
    generator = np.random.default_rng(len(identities))
    embeddings = generator.normal(size=(len(identities), 4))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    tensor = torch.tensor(embeddings, requires_grad=True)
    losses = contrastive_loss(tensor, torch.tensor(identities, dtype=torch.int64), 0.2)
    np.testing.assert_allclose(losses.detach(), contrast(embeddings.tolist(), identities, 0.2), atol=1e-12)
    losses.sum().backward()
    assert torch.isfinite(tensor.grad).all()
    has_pairs = len(set(identities)) < len(identities)
    assert tensor.grad.any() == (has_pairs and len(identities) > 2)  # of two alone each has nothing but the other
