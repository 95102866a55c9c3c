# SPDX-License-Identifier: Apache-2.0
"""Which query answers for which instance."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..regions import region
from .losses import pairwise_dice
from .targets import ClipTarget


class HungarianMatcher:
    """One-to-one assignment that maximizes `dice_weight` · dice + p(class), summed over the pairs."""

    def __init__(self, dice_weight: float):
        self.dice_weight = dice_weight

    @region("matching")
    @torch.no_grad()
    def __call__(
        self, pred_logits: Tensor, pred_masks: Tensor, targets: list[ClipTarget]
    ) -> list[tuple[Tensor, Tensor]]:
        """
        Args:
            pred_logits: (B, Q, C + 1).
            pred_masks: (B, Q, T, h, w) logits.
            targets: B of them.

        Returns:
            For each clip (queries, instances), two int64 tensors of min(Q, N) on the predictions' device, queries
            ascending.

        Raises:
            FloatingPointError: if a score is not finite (the training diverged).
        """
        from scipy.optimize import linear_sum_assignment  # which takes long to import, and is needed here first

        scores = [self.score(*clip) for clip in zip(pred_logits, pred_masks, targets, strict=True)]
        # One transfer for the whole batch: every clip's scores side by side.
        widths = [score.shape[1] for score in scores]
        host = torch.cat(scores, dim=1).cpu()
        if not torch.isfinite(host).all():
            raise FloatingPointError("the matching scores are not finite: the model's outputs have diverged")
        matches = []
        for score in host.split(widths, dim=1):
            queries, instances = linear_sum_assignment(score.numpy(), maximize=True)
            matches.append(tuple(torch.as_tensor(i, device=pred_logits.device) for i in (queries, instances)))
        return matches

    def score(self, pred_logits: Tensor, pred_masks: Tensor, target: ClipTarget) -> Tensor:
        """One clip's (Q, C + 1) logits and (Q, T, h, w) mask logits → (Q, N) scores."""
        size = target.match_masks.shape[-2:]
        masks = F.interpolate(pred_masks.float(), size=size, mode="bilinear", align_corners=False)
        class_probability = pred_logits.float().softmax(-1)[:, target.labels]  # (Q, N)
        return self.dice_weight * pairwise_dice(masks.flatten(1), target.match_masks.flatten(1)) + class_probability
