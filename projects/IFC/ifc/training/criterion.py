# SPDX-License-Identifier: Apache-2.0
"""The training losses of a batch of clips (IFC, section 3.4)."""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.utils import comm
from torch import Tensor, nn

from ..modeling.network import LayerPredictions
from .losses import contrastive_loss, dice_loss, focal_loss
from .matcher import HungarianMatcher, Matches
from .points import PointSettings, sample_points, uncertain_points
from .targets import BatchTarget


@dataclass(frozen=True)
class ContrastSettings:
    """Of the loss of embeddings, see `contrastive_loss`."""

    weight: float = 1.0
    temperature: float = 0.1


class ClipCriterion(nn.Module):
    """Matches queries to instances and sums up how far they are.

    Args:
        num_classes: C; "no object" is class C.
        matcher: see `HungarianMatcher`.
        mask_weight, dice_weight: weights of the focal and of the dice loss; the cross entropy has weight 1.
        no_object_weight: weight of "no object" within the cross entropy.
        points: of the mask losses.
        appearance: of the embeddings' loss.
    """

    def __init__(
        self,
        num_classes: int,
        matcher: HungarianMatcher,
        *,
        mask_weight: float,
        dice_weight: float,
        no_object_weight: float,
        points: PointSettings = PointSettings(0),  # noqa: B008 - immutable
        appearance: ContrastSettings = ContrastSettings(),
    ):
        super().__init__()
        self.num_classes = num_classes
        self.matcher = matcher
        self.mask_weight = mask_weight
        self.dice_weight = dice_weight
        self.no_object_weight = no_object_weight
        self.points = points
        self.appearance = appearance
        empty_weight = torch.ones(num_classes + 1)
        empty_weight[-1] = no_object_weight
        # The checkpoints hold it, but the configuration decides: finetuning may weigh "no object" otherwise.
        self.register_buffer("empty_weight", empty_weight)
        self.register_load_state_dict_pre_hook(_keep_empty_weight)

    def forward(
        self,
        predictions: LayerPredictions,
        target: BatchTarget,
        whole_batch: Tensor | None = None,
        embeddings: Tensor | None = None,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """
        Args:
            predictions: of L decoder layers, each of which is matched and has losses.
            target: of the same B clips.
            whole_batch: int64, the number of instances of each clip of the batch that these B clips are a part of;
                None if they are all of it. The losses of the parts add up to those of the whole, but for embeddings,
                which are compared within a part.
            embeddings: (B, Q, E), of length 1, of the last layer's queries; None for no loss of them.

        Returns:
            losses: the weighted `loss_ce`, `loss_mask`, `loss_dice`; those of the earlier layers end in `_0`, `_1`, …;
                and `loss_appearance`.
            metrics: `class_error` (percent, of the last layer's matched queries) and `cardinality_error` (instances,
                of every layer): for the log, without gradient.
        """
        logits = predictions.pred_logits.float()  # (L, B, Q, C + 1)
        counts = torch.tensor(target.counts)
        num_instances, label_weight = self._normalizers(
            counts if whole_batch is None else whole_batch, logits.shape[2], logits.device
        )
        matches = self.matcher(predictions, target)
        mask, dice = self._mask_losses(predictions, target, matches)
        losses = _by_layer(
            {
                "loss_ce": self._label_losses(logits, target, matches) / label_weight,
                "loss_mask": self.mask_weight * mask / num_instances,
                "loss_dice": self.dice_weight * dice / num_instances,
            }
        )
        if embeddings is not None:
            contrast = self._contrast(embeddings, target, matches)
            losses["loss_appearance"] = self.appearance.weight * contrast / num_instances
        errors = _cardinality_error(logits, counts.to(logits.device, non_blocking=True))
        metrics = _by_layer({"cardinality_error": errors})
        return losses, metrics | {"class_error": _class_error(logits, target, matches)}

    def _normalizers(self, counts: Tensor, num_queries: int, device: torch.device) -> Tensor:
        """What the mask losses and the cross entropy are divided by, given each clip's number of instances: the number
        of instances (at least 1) and the sum of the queries' weights, as means over the processes. (2,) on `device`."""
        matched = counts.clamp(max=num_queries)
        weights = matched + self.no_object_weight * (num_queries - matched)
        normalizers = torch.stack([counts.sum(), weights.sum()]).to(device, non_blocking=True)
        if comm.get_world_size() > 1:
            torch.distributed.all_reduce(normalizers)  # without a wait of the host for a device
        return torch.stack([normalizers[0].clamp(min=comm.get_world_size()), normalizers[1]]) / comm.get_world_size()

    def _label_losses(self, logits: Tensor, target: BatchTarget, matches: Matches) -> Tensor:
        """(L,): sums over the queries."""
        classes = torch.full(logits.shape[:3], self.num_classes, dtype=torch.int64, device=logits.device)
        classes[_layers(matches), matches.clips, matches.queries] = target.labels[matches.instances]
        losses = F.cross_entropy(logits.flatten(0, 2), classes.flatten(), self.empty_weight, reduction="none")
        return losses.unflatten(0, classes.shape).sum((1, 2))

    def _mask_losses(
        self, predictions: LayerPredictions, target: BatchTarget, matches: Matches
    ) -> tuple[Tensor, Tensor]:
        """Focal and dice loss, (L,) each: sums over the matched queries, whose masks alone are made."""
        weights = predictions.mask_weights[_layers(matches), matches.clips, matches.queries].float()  # (L, M, D)
        clips = zip(weights.split(matches.counts, dim=1), predictions.pixels.float(), strict=True)
        masks = [  # (T, L·M, h·w) of a clip → (L, M, T, h·w)
            (of_clip.flatten(0, 1) @ pixels.flatten(2)).unflatten(1, of_clip.shape[:2]).movedim(0, 2)
            for of_clip, pixels in clips
        ]
        predicted = torch.cat(masks, dim=1).unflatten(3, predictions.pixels.shape[-2:])
        if not sum(matches.counts):
            nothing = predicted.sum((1, 2, 3, 4))  # exactly zero, of a graph that reaches every parameter
            return nothing, nothing
        wanted = target.masks[matches.instances]  # (L, M, T, H, W)
        if self.points.num_points:
            predicted, wanted = (x.flatten(0, 2)[:, None] for x in (predicted, wanted))
            points = uncertain_points(predicted, self.points)
            predicted, wanted = (sample_points(x, points) for x in (predicted, wanted))  # (L·M·T, 1, P)
        else:
            predicted = F.interpolate(predicted.flatten(0, 1), wanted.shape[-2:], mode="bilinear", align_corners=False)
        shape = (len(weights), sum(matches.counts))
        predicted, wanted = (x.reshape(math.prod(shape), -1) for x in (predicted, wanted))
        return tuple(loss(predicted, wanted).view(shape).sum(1) for loss in (focal_loss, dice_loss))

    def _contrast(self, embeddings: Tensor, target: BatchTarget, matches: Matches) -> Tensor:
        """The sum over the queries that the last layer matched."""
        matched = embeddings[matches.clips[-1], matches.queries[-1]].float()  # (M, E)
        identities = target.identities[matches.instances[-1]]
        return contrastive_loss(matched, identities, self.appearance.temperature).sum()


def _layers(matches: Matches) -> Tensor:
    """(L, 1): the layers' numbers, which with a match's clip and query choose among the predictions."""
    return torch.arange(len(matches.queries), device=matches.queries.device)[:, None]


def _by_layer(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Scalars of (L,) values: those of the last layer have the plain name."""
    last = len(next(iter(values.values()))) - 1
    return {
        name + (f"_{i}" if i < last else ""): value for name, layers in values.items() for i, value in enumerate(layers)
    }


def _keep_empty_weight(criterion: ClipCriterion, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
    state_dict[f"{prefix}empty_weight"] = criterion.empty_weight


@torch.no_grad()
def _cardinality_error(logits: Tensor, counts: Tensor) -> Tensor:
    """(L,): mean over the clips of |queries whose best class is an object - instances|, of which there are `counts`,
    (B,)."""
    found = (logits.argmax(-1) != logits.shape[-1] - 1).sum(2)  # (L, B)
    return (found - counts).abs().float().mean(1)


@torch.no_grad()
def _class_error(logits: Tensor, target: BatchTarget, matches: Matches) -> Tensor:
    """100 - accuracy in percent over the last layer's matched queries; 100 where there is none."""
    found = logits[-1, matches.clips[-1], matches.queries[-1]].argmax(-1)
    hits = found == target.labels[matches.instances[-1]]
    return 100 - 100 * hits.float().sum() / max(len(hits), 1)
