# SPDX-License-Identifier: Apache-2.0
"""Which query answers for which instance."""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..modeling.network import LayerPredictions
from ..regions import region
from .losses import dice
from .points import sample_points
from .targets import BatchTarget


@dataclass(frozen=True)
class Matches:
    """M pairs of a query and an instance for each of L decoder layers, min(Q, N) a clip, one clip's after the other's.

    Attributes:
        counts: how many pairs each clip has.
        clips, queries, instances: (L, M) int64; queries ascend in a clip, instances are rows of the batch's target.
    """

    counts: list[int]
    clips: Tensor
    queries: Tensor
    instances: Tensor


class HungarianMatcher:
    """One-to-one assignment that maximizes `dice_weight` · dice + p(class), summed over the pairs.

    Args:
        num_points: the dice coefficient is that of so many random points of a frame, which all queries, instances and
            frames of a clip share; 0: of all pixels of the target's grid.
    """

    def __init__(self, dice_weight: float, num_points: int = 0):
        self.dice_weight = dice_weight
        self.num_points = num_points

    @region("matching")
    @torch.no_grad()
    def __call__(self, predictions: LayerPredictions, target: BatchTarget) -> Matches:
        """The matches of all layers and clips, on the predictions' device, which the host waits for once.

        Scores that are not finite count as 0: the losses, which are not either, will say so.
        """
        from scipy.optimize import linear_sum_assignment  # which takes long to import, and is needed here first

        scores = [self.scores(predictions, target, clip) for clip in range(len(target.counts))]
        host = torch.cat(scores, dim=2).nan_to_num(0, 0, 0).cpu().numpy()
        bounds = np.cumsum([0, *target.counts])
        layers = []
        for layer in host:  # (Q, N)
            pairs = []
            for clip, (start, end) in enumerate(itertools.pairwise(bounds)):
                queries, instances = linear_sum_assignment(layer[:, start:end], maximize=True)
                pairs.append(np.stack([np.full_like(queries, clip), queries, start + instances]))
            layers.append(np.concatenate(pairs, axis=1))  # (3, M)
        on_device = torch.from_numpy(np.stack(layers, axis=1)).to(predictions.pixels.device, non_blocking=True)
        return Matches([pair.shape[1] for pair in pairs], *on_device)

    def scores(self, predictions: LayerPredictions, target: BatchTarget, clip: int) -> Tensor:
        """(L, Q, N): those of a clip's queries with its own N instances."""
        rows = slice(sum(target.counts[:clip]), sum(target.counts[: clip + 1]))
        labels, masks = target.labels[rows], target.match_masks[rows]
        weights = predictions.mask_weights[:, clip].float()  # (L, Q, D)
        points = torch.rand(1, self.num_points, 2, device=masks.device)
        overlap = predicted = wanted = 0
        for pixels, wanted_masks in zip(predictions.pixels[clip].float(), masks.unbind(1), strict=True):  # a frame
            if self.num_points:
                logits = weights @ sample_points(pixels[None], points)[0]  # (L, Q, P)
                frame_target = sample_points(wanted_masks[None], points)[0]  # (N, P)
            else:
                logits = (weights @ pixels.flatten(1)).unflatten(2, pixels.shape[1:])
                logits = F.interpolate(logits, wanted_masks.shape[-2:], mode="bilinear", align_corners=False).flatten(2)
                frame_target = wanted_masks.flatten(1)
            probabilities = logits.sigmoid_()
            overlap = overlap + probabilities @ frame_target.T
            predicted = predicted + probabilities.sum(2)
            wanted = wanted + frame_target.sum(1)
        class_probability = predictions.pred_logits[:, clip].float().softmax(-1)[..., labels]
        return self.dice_weight * dice(overlap, predicted[..., None], wanted) + class_probability
