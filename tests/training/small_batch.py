# SPDX-License-Identifier: Apache-2.0
"""Predictions and targets of random numbers, small enough to compute losses of by hand."""

import torch

from ifc.modeling import LayerPredictions
from ifc.training import BatchTarget

NUM_CLASSES = 4


def random_predictions(num_layers: int = 1, num_clips: int = 2, num_queries: int = 5) -> LayerPredictions:
    """Of clips of two frames with 3x4 pixels."""
    torch.manual_seed(0)
    return LayerPredictions(
        torch.randn(num_layers, num_clips, num_queries, NUM_CLASSES + 1).requires_grad_(),
        torch.randn(num_layers, num_clips, num_queries, 6).requires_grad_(),
        torch.randn(num_clips, 2, 6, 3, 4).requires_grad_(),
    )


def random_target(*labels_of_clips: list[int], size: tuple[int, int] = (6, 8)) -> BatchTarget:
    """For each clip the classes of its instances."""
    labels = torch.tensor(sum(labels_of_clips, []), dtype=torch.int64)
    masks = (torch.rand(len(labels), 2, *size) > 0.5).float()
    return BatchTarget([len(labels) for labels in labels_of_clips], labels, masks, masks)
