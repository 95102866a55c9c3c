# SPDX-License-Identifier: Apache-2.0

import pytest
import torch
import torch.nn.functional as F

from ifc.training import ClipCriterion, ClipTarget, HungarianMatcher

NUM_CLASSES = 4


def make_criterion(**weights) -> ClipCriterion:
    defaults = {"mask_weight": 3.0, "dice_weight": 3.0, "no_object_weight": 0.1}
    return ClipCriterion(NUM_CLASSES, HungarianMatcher(3.0), **(defaults | weights))


def predictions(num_clips: int = 2):
    torch.manual_seed(0)
    logits = torch.randn(num_clips, 5, NUM_CLASSES + 1, requires_grad=True)
    masks = torch.randn(num_clips, 5, 2, 3, 4, requires_grad=True)
    return logits, masks


def target(labels: list[int]) -> ClipTarget:
    masks = (torch.rand(len(labels), 2, 6, 8) > 0.5).float()
    return ClipTarget(torch.tensor(labels, dtype=torch.int64), masks, masks)


def test_cross_entropy_is_a_mean_weighted_by_class():
    logits, masks = predictions(1)
    criterion = make_criterion(no_object_weight=0.25)
    targets = [target([2])]
    ((queries, _),) = criterion.matcher(logits, masks, targets)
    losses, _ = criterion([(logits, masks)], targets)
    log_probabilities = logits[0].log_softmax(-1)
    numerator, weights = 0.0, 0.0
    for q in range(5):
        label, weight = (2, 1.0) if q == queries.item() else (NUM_CLASSES, 0.25)
        numerator -= weight * log_probabilities[q, label].item()
        weights += weight
    assert losses["loss_ce"].item() == pytest.approx(numerator / weights, rel=1e-5)


def test_mask_losses_are_means_over_the_instances_of_the_batch():
    logits, masks = predictions(2)
    targets = [target([1, 3]), target([0])]
    criterion = make_criterion(mask_weight=1.0, dice_weight=1.0)
    losses, _ = criterion([(logits, masks)], targets)
    dice = 0.0
    for clip_masks, clip_target, (queries, instances) in zip(
        masks, targets, criterion.matcher(logits, masks, targets), strict=True
    ):
        for q, i in zip(queries, instances, strict=True):
            p = F.interpolate(clip_masks[q][None], size=(6, 8), mode="bilinear", align_corners=False).sigmoid()
            t = clip_target.masks[i]
            dice += (1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)).item() / 3
    assert losses["loss_dice"].item() == pytest.approx(dice, rel=1e-5)


def test_weights_scale_the_losses():
    batch = [predictions()], [target([1, 3]), target([0])]
    plain, _ = make_criterion(mask_weight=1.0, dice_weight=1.0)(*batch)
    weighted, _ = make_criterion(mask_weight=2.0, dice_weight=5.0)(*batch)
    for name, factor in (("loss_ce", 1), ("loss_mask", 2), ("loss_dice", 5)):
        assert weighted[name].item() == pytest.approx(factor * plain[name].item(), rel=1e-6)


def test_without_any_instance_the_mask_losses_are_zero_and_keep_the_graph():
    logits, masks = predictions()
    losses, metrics = make_criterion()([(logits, masks)], [target([]), target([])])
    assert losses["loss_mask"].item() == losses["loss_dice"].item() == 0
    sum(losses.values()).backward()
    assert masks.grad is not None  # DistributedDataParallel waits for every parameter's gradient
    assert not masks.grad.any()
    assert logits.grad.any()
    assert metrics["class_error"].item() == 100


def test_layers_are_matched_anew_and_named():
    first, last = predictions(), predictions()
    first = (first[0].flip(1), first[1].flip(1))
    targets = [target([1, 3]), target([0])]
    losses, metrics = make_criterion()([first, last], targets)
    assert set(losses) == {f"loss_{name}{suffix}" for name in ("ce", "mask", "dice") for suffix in ("", "_0")}
    # The first layer is the last with its queries in another order, which no loss depends on.
    for name in ("loss_ce", "loss_mask", "loss_dice"):
        assert losses[name].item() == pytest.approx(losses[f"{name}_0"].item(), rel=1e-5)
    assert set(metrics) == {"class_error", "cardinality_error", "cardinality_error_0"}


def test_metrics():
    logits, masks = predictions(1)
    with torch.no_grad():
        logits.fill_(0)
        logits[0, :2, 1] = 9  # two queries say class 1
        logits[0, 2:, NUM_CLASSES] = 9  # three say no object
        masks.fill_(-9)
        masks[0, 0] = 9
    one = ClipTarget(torch.tensor([1]), torch.ones(1, 2, 6, 8), torch.ones(1, 2, 6, 8))
    _, metrics = make_criterion()([(logits, masks)], [one])
    assert metrics["class_error"].item() == 0
    assert metrics["cardinality_error"].item() == 1


def test_more_instances_than_queries():
    logits, masks = predictions(1)
    losses, _ = make_criterion()([(logits, masks)], [target([0, 1, 2, 3, 0, 1, 2])])
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_the_configuration_decides_the_weight_of_no_object_and_not_the_checkpoint():
    other = make_criterion(no_object_weight=0.4)
    incompatible = other.load_state_dict(make_criterion(no_object_weight=0.1).state_dict())
    assert incompatible.missing_keys == incompatible.unexpected_keys == []
    assert other.empty_weight[-1].item() == pytest.approx(0.4)
    assert make_criterion(no_object_weight=0.1).state_dict()["empty_weight"][-1].item() == pytest.approx(0.1)
