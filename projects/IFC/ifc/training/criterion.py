# SPDX-License-Identifier: Apache-2.0
"""The training losses of a batch of clips (IFC, section 3.4)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from detectron2.utils import comm
from torch import Tensor, nn

from .losses import dice_loss, focal_loss
from .matcher import HungarianMatcher
from .targets import ClipTarget


class ClipCriterion(nn.Module):
    """Matches queries to instances and sums up how far they are.

    Args:
        num_classes: C; "no object" is class C.
        matcher: see `HungarianMatcher`.
        mask_weight, dice_weight: weights of the focal and of the dice loss; the cross entropy has weight 1.
        no_object_weight: weight of "no object" within the cross entropy.
    """

    def __init__(
        self,
        num_classes: int,
        matcher: HungarianMatcher,
        *,
        mask_weight: float,
        dice_weight: float,
        no_object_weight: float,
    ):
        super().__init__()
        self.num_classes = num_classes
        self.matcher = matcher
        self.mask_weight = mask_weight
        self.dice_weight = dice_weight
        self.no_object_weight = no_object_weight
        empty_weight = torch.ones(num_classes + 1)
        empty_weight[-1] = no_object_weight
        # The checkpoints hold it, but the configuration decides: finetuning may weigh "no object" otherwise.
        self.register_buffer("empty_weight", empty_weight)
        self.register_load_state_dict_pre_hook(_keep_empty_weight)

    def forward(
        self,
        layers: Sequence[tuple[Tensor, Tensor]],
        targets: list[ClipTarget],
        whole_batch: Tensor | None = None,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """
        Args:
            layers: (pred_logits (B, Q, C + 1), pred_masks (B, Q, T, h, w)) of each decoder layer, the last layer last.
            targets: B of them.
            whole_batch: int64, the number of instances of each clip of the batch that these B clips are a part of;
                None if they are all of it. The losses of the parts add up to those of the whole.

        Returns:
            losses: the weighted `loss_ce`, `loss_mask`, `loss_dice`; those of the earlier layers end in `_0`, `_1`, …
            metrics: `class_error` (percent, of the last layer's matched queries) and `cardinality_error` (instances,
                of every layer): for the log, without gradient.
        """
        counts = torch.tensor([len(target.labels) for target in targets])
        num_queries, device = layers[-1][0].shape[1], layers[-1][0].device
        num_instances, label_weight = self._normalizers(
            counts if whole_batch is None else whole_batch, num_queries, device
        )
        counts = counts.to(device, non_blocking=True)
        losses: dict[str, Tensor] = {}
        metrics: dict[str, Tensor] = {}
        for i, (pred_logits, pred_masks) in enumerate(layers):
            suffix = "" if i == len(layers) - 1 else f"_{i}"
            matches = self.matcher(pred_logits, pred_masks, targets)
            layer_losses = self._label_loss(pred_logits, targets, matches, label_weight)
            layer_losses |= self._mask_losses(pred_masks, targets, matches, num_instances)
            losses |= {name + suffix: loss for name, loss in layer_losses.items()}
            metrics["cardinality_error" + suffix] = _cardinality_error(pred_logits, counts)
        metrics["class_error"] = _class_error(pred_logits, targets, matches)
        return losses, metrics

    def _normalizers(self, counts: Tensor, num_queries: int, device: torch.device) -> Tensor:
        """What the mask losses and the cross entropy are divided by, given each clip's number of instances: the number
        of instances (at least 1) and the sum of the queries' weights, as means over the processes. (2,) on `device`."""
        matched = counts.clamp(max=num_queries)
        weights = matched + self.no_object_weight * (num_queries - matched)
        normalizers = torch.stack([counts.sum(), weights.sum()]).to(device, non_blocking=True)
        if comm.get_world_size() > 1:
            torch.distributed.all_reduce(normalizers)  # without a wait of the host for a device
        return torch.stack([normalizers[0].clamp(min=comm.get_world_size()), normalizers[1]]) / comm.get_world_size()

    def _label_loss(
        self, pred_logits: Tensor, targets: list[ClipTarget], matches, label_weight: Tensor
    ) -> dict[str, Tensor]:
        classes = torch.full(pred_logits.shape[:2], self.num_classes, dtype=torch.int64, device=pred_logits.device)
        for row, target, (queries, instances) in zip(classes, targets, matches, strict=True):
            row[queries] = target.labels[instances]
        logits = pred_logits.float().transpose(1, 2)
        return {"loss_ce": F.cross_entropy(logits, classes, self.empty_weight, reduction="sum") / label_weight}

    def _mask_losses(
        self, pred_masks: Tensor, targets: list[ClipTarget], matches, num_instances: Tensor
    ) -> dict[str, Tensor]:
        # Indexing keeps the graph where a clip has no instance: its masks then add exactly zero.
        predicted = torch.cat([masks[queries] for masks, (queries, _) in zip(pred_masks, matches, strict=True)])
        wanted = torch.cat([t.masks[instances] for t, (_, instances) in zip(targets, matches, strict=True)])
        if len(predicted):
            predicted = F.interpolate(predicted.float(), size=wanted.shape[-2:], mode="bilinear", align_corners=False)
            predicted, wanted = predicted.flatten(1), wanted.flatten(1)  # (instances, T·h·w)
            mask, dice = focal_loss(predicted, wanted), dice_loss(predicted, wanted)
        else:
            mask = dice = predicted.sum()
        return {
            "loss_mask": self.mask_weight * mask / num_instances,
            "loss_dice": self.dice_weight * dice / num_instances,
        }


def _keep_empty_weight(criterion: ClipCriterion, state_dict: dict[str, Tensor], prefix: str, *_) -> None:
    state_dict[f"{prefix}empty_weight"] = criterion.empty_weight


@torch.no_grad()
def _cardinality_error(pred_logits: Tensor, counts: Tensor) -> Tensor:
    """Mean over the clips of |queries whose best class is an object - instances|, of which there are `counts`, (B,)."""
    found = (pred_logits.argmax(-1) != pred_logits.shape[-1] - 1).sum(1)
    return (found - counts).abs().float().mean()


@torch.no_grad()
def _class_error(pred_logits: Tensor, targets: list[ClipTarget], matches) -> Tensor:
    """100 - accuracy in percent over the matched queries; 100 where there is none."""
    hits = torch.cat(
        [
            logits[queries].argmax(-1) == target.labels[instances]
            for logits, target, (queries, instances) in zip(pred_logits, targets, matches, strict=True)
        ]
    )
    return 100 - 100 * hits.float().sum() / max(len(hits), 1)
