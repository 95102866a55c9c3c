# SPDX-License-Identifier: Apache-2.0
"""The mask losses, the dice coefficient that the matching shares with them, and the loss of embeddings."""

import torch
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


def contrastive_loss(embeddings: Tensor, identities: Tensor, temperature: float) -> Tensor:
    """How little nearer embeddings of one instance are to each other than to all others.

    The supervised contrastive loss (arXiv 2004.11362, equation 2): -log of the share that the same instance has in the
    exponential similarities of an embedding to the others. With two embeddings an instance it is InfoNCE, both ways.

    Args:
        embeddings: (M, E), of length 1.
        identities: (M,), equal where the instance is the same.
        temperature: cosines are divided by it.

    Returns:
        (M,): 0 for an instance that has one embedding alone, which is what others are told from.
    """
    itself = torch.eye(len(embeddings), dtype=torch.bool, device=embeddings.device)
    similarities = (embeddings @ embeddings.T / temperature).masked_fill(itself, torch.finfo(embeddings.dtype).min)
    same = (identities[:, None] == identities) & ~itself
    return -similarities.log_softmax(1).where(same, 0).sum(1) / same.sum(1).clamp(min=1)
