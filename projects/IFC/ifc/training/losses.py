# SPDX-License-Identifier: Apache-2.0
"""The mask losses, and the dice coefficient that the matching shares with them."""

from fvcore.nn import sigmoid_focal_loss
from torch import Tensor


def focal_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Focal loss (arXiv 1708.02002, equation 5), averaged over each instance's pixels.

    Args:
        logits, targets: (N, P): N instances of P pixels; targets in [0, 1].

    Returns:
        (N,).
    """
    return sigmoid_focal_loss(logits, targets, alpha=0.25, gamma=2.0).mean(1)


def dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """1 - dice of each instance: (N, P), (N, P) → (N,)."""
    probabilities = logits.sigmoid()
    return 1 - dice((probabilities * targets).sum(1), probabilities.sum(1), targets.sum(1))


def dice(overlap: Tensor, predicted: Tensor, wanted: Tensor) -> Tensor:
    """The dice coefficient (2·Σ p·t + 1) / (Σ p + Σ t + 1), of its sums over the pixels."""
    return (2 * overlap + 1) / (predicted + wanted + 1)
