# SPDX-License-Identifier: Apache-2.0
"""The mask losses, and the dice coefficient that the matching shares with them."""

import torch.nn.functional as F
from torch import Tensor


def sigmoid_focal_loss(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss (arXiv 1708.02002, equation 5), summed over instances and averaged over each one's pixels.

    Args:
        logits, targets: (N, P): N instances of P pixels; targets in [0, 1].

    Returns:
        Scalar.
    """
    probabilities = logits.sigmoid()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    error = 1 - (probabilities * targets + (1 - probabilities) * (1 - targets))  # 1 - p_t
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return (weight * error**gamma * cross_entropy).mean(1).sum()


def dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """1 - dice = 1 - (2·Σ p·t + 1) / (Σ p + Σ t + 1), summed over instances.

    Args:
        logits, targets: (N, P).

    Returns:
        Scalar.
    """
    probabilities = logits.sigmoid()
    dice = (2 * (probabilities * targets).sum(1) + 1) / (probabilities.sum(1) + targets.sum(1) + 1)
    return (1 - dice).sum()


def pairwise_dice(logits: Tensor, targets: Tensor) -> Tensor:
    """The dice coefficient, as in `dice_loss`, of every query with every instance.

    Args:
        logits: (Q, P).
        targets: (N, P).

    Returns:
        (Q, N).
    """
    probabilities = logits.sigmoid()
    overlap = probabilities @ targets.T
    return (2 * overlap + 1) / (probabilities.sum(1)[:, None] + targets.sum(1) + 1)
