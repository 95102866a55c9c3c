# SPDX-License-Identifier: Apache-2.0
"""The mask losses, and the dice coefficient that the matching shares with them."""

from fvcore.nn import sigmoid_focal_loss
from torch import Tensor


def focal_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Focal loss (arXiv 1708.02002, equation 5), summed over instances and averaged over each one's pixels.

    Args:
        logits, targets: (N, P): N instances of P pixels; targets in [0, 1].

    Returns:
        Scalar.
    """
    return sigmoid_focal_loss(logits, targets, alpha=0.25, gamma=2.0).mean(1).sum()


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
