# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from training.small_batch import NUM_CLASSES, random_predictions, random_target

from ifc.modeling import LayerPredictions
from ifc.training import BatchTarget, ClipCriterion, ContrastSettings, HungarianMatcher, PointSettings
from ifc.training.losses import contrastive_loss


def make_criterion(**options) -> ClipCriterion:
    defaults = {"mask_weight": 3.0, "dice_weight": 3.0, "no_object_weight": 0.1}
    return ClipCriterion(NUM_CLASSES, HungarianMatcher(3.0), **(defaults | options))


def test_cross_entropy_is_a_mean_weighted_by_class():
    predictions, target = random_predictions(num_clips=1), random_target([2])
    criterion = make_criterion(no_object_weight=0.25)
    matched = criterion.matcher(predictions, target).queries.item()
    losses, _ = criterion(predictions, target)
    log_probabilities = predictions.pred_logits[0, 0].log_softmax(-1)
    numerator, weights = 0.0, 0.0
    for q in range(5):
        label, weight = (2, 1.0) if q == matched else (NUM_CLASSES, 0.25)
        numerator -= weight * log_probabilities[q, label].item()
        weights += weight
    assert losses["loss_ce"].item() == pytest.approx(numerator / weights, rel=1e-5)


def test_mask_losses_are_means_over_the_instances_of_the_batch():
    predictions, target = random_predictions(), random_target([1, 3], [0])
    criterion = make_criterion(mask_weight=1.0, dice_weight=1.0)
    losses, _ = criterion(predictions, target)
    dice, masks, matches = 0.0, predictions.clip_prediction().pred_masks, criterion.matcher(predictions, target)
    for clip, q, i in zip(matches.clips[0], matches.queries[0], matches.instances[0], strict=True):
        p = F.interpolate(masks[clip, q][None], size=(6, 8), mode="bilinear", align_corners=False).sigmoid()
        t = target.masks[i]
        dice += (1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)).item() / 3
    assert losses["loss_dice"].item() == pytest.approx(dice, rel=1e-5)


def test_weights_scale_the_losses():
    batch = random_predictions(), random_target([1, 3], [0])
    plain, _ = make_criterion(mask_weight=1.0, dice_weight=1.0)(*batch)
    weighted, _ = make_criterion(mask_weight=2.0, dice_weight=5.0)(*batch)
    for name, factor in (("loss_ce", 1), ("loss_mask", 2), ("loss_dice", 5)):
        assert weighted[name].item() == pytest.approx(factor * plain[name].item(), rel=1e-6)


@pytest.mark.parametrize("num_points", [0, 12])
def test_without_any_instance_the_mask_losses_are_zero_and_keep_the_graph(num_points):
    predictions = random_predictions(num_layers=2)
    criterion = make_criterion(points=PointSettings(num_points))
    criterion.matcher.num_points = num_points
    losses, metrics = criterion(predictions, random_target([], []))
    assert losses["loss_mask"].item() == losses["loss_dice"].item() == losses["loss_mask_0"].item() == 0
    sum(losses.values()).backward()
    for tensor in (predictions.mask_weights, predictions.pixels):
        assert tensor.grad is not None  # DistributedDataParallel waits for every parameter's gradient
        assert not tensor.grad.any()
    assert predictions.pred_logits.grad.any()
    assert metrics["class_error"].item() == 100


def test_layers_are_matched_anew_and_named():
    last, target = random_predictions(), random_target([1, 3], [0])
    # The first layer is the last with its queries in another order, which no loss depends on.
    both = [torch.cat([x.flip(2), x]) for x in (last.pred_logits, last.mask_weights)]
    losses, metrics = make_criterion()(LayerPredictions(*both, last.pixels), target)
    assert set(losses) == {f"loss_{name}{suffix}" for name in ("ce", "mask", "dice") for suffix in ("", "_0")}
    alone, _ = make_criterion()(last, target)
    for name, loss in alone.items():
        assert losses[name].item() == pytest.approx(loss.item(), rel=1e-5)
        assert losses[f"{name}_0"].item() == pytest.approx(loss.item(), rel=1e-5)
    assert set(metrics) == {"class_error", "cardinality_error", "cardinality_error_0"}


def test_metrics():
    logits = torch.zeros(1, 1, 5, NUM_CLASSES + 1)
    logits[..., :2, 1] = 9  # two queries say class 1
    logits[..., 2:, NUM_CLASSES] = 9  # three say no object
    weights = torch.full((1, 1, 5, 1), -9.0)
    weights[..., 0, :] = 9
    ones = torch.ones(1, 2, 6, 8)
    predictions = LayerPredictions(logits, weights, torch.ones(1, 2, 1, 3, 4))
    _, metrics = make_criterion()(predictions, BatchTarget([1], torch.tensor([1]), ones, ones))
    assert metrics["class_error"].item() == 0
    assert metrics["cardinality_error"].item() == 1


def test_more_instances_than_queries():
    losses, _ = make_criterion()(random_predictions(num_clips=1), random_target([0, 1, 2, 3, 0, 1, 2]))
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_many_random_points_come_near_the_losses_of_all_pixels():
    """All of them random: uncertain ones are no fair sample."""
    predictions = random_predictions(num_layers=2)
    # Smooth masks, which between their pixels are as at them.
    masks = F.interpolate(torch.rand(3, 2, 3, 4), size=(24, 32), mode="bilinear")
    target = BatchTarget([2, 1], torch.tensor([1, 3, 0]), masks, masks)
    points = PointSettings(20_000, importance_sample_ratio=0.0)
    (by_points, _), (by_pixels, _) = (make_criterion(**x)(predictions, target) for x in ({"points": points}, {}))
    for name, loss in by_pixels.items():
        assert by_points[name].item() == pytest.approx(loss.item(), rel=0.02), name
    sum(by_points.values()).backward()
    assert predictions.mask_weights.grad.any() and predictions.pixels.grad.any()


def test_loss_of_embeddings():
    """A sum over the matched queries, divided by the number of instances, as that of masks."""
    predictions, target = random_predictions(num_layers=2), random_target([1, 3], [0, 1])
    target = replace(target, identities=torch.tensor([7, 8, 9, 7]))
    embeddings = F.normalize(torch.randn(2, 5, 4), dim=2).requires_grad_()
    criterion = make_criterion(appearance=ContrastSettings(weight=3.0, temperature=0.5))
    losses, _ = criterion(predictions, target, None, embeddings)
    matches = criterion.matcher(predictions, target)
    matched = embeddings[matches.clips[1], matches.queries[1]]
    expected = contrastive_loss(matched, target.identities[matches.instances[1]], 0.5).sum()
    assert losses["loss_appearance"].item() == pytest.approx(3 * expected.item() / 4, rel=1e-5)
    plain, _ = criterion(predictions, target)
    assert plain.keys() == losses.keys() - {"loss_appearance"}
    assert all(torch.equal(loss, losses[name]) for name, loss in plain.items())


@pytest.mark.parametrize("labels", [([1, 3], [0, 1]), ([], [0]), ([], [])], ids=str)
def test_without_two_of_any_instance_the_loss_of_embeddings_is_zero_and_keeps_the_graph(labels):
    predictions, target = random_predictions(), random_target(*labels)
    embeddings = F.normalize(torch.randn(2, 5, 4), dim=2).requires_grad_()
    target = replace(target, identities=torch.arange(len(target.labels)))
    losses, _ = make_criterion()(predictions, target, None, embeddings)
    assert losses["loss_appearance"].item() == 0
    losses["loss_appearance"].backward()
    assert embeddings.grad is not None and not embeddings.grad.any()


def test_the_configuration_decides_the_weight_of_no_object_and_not_the_checkpoint():
    other = make_criterion(no_object_weight=0.4)
    incompatible = other.load_state_dict(make_criterion(no_object_weight=0.1).state_dict())
    assert incompatible.missing_keys == incompatible.unexpected_keys == []
    assert other.empty_weight[-1].item() == pytest.approx(0.4)
    assert make_criterion(no_object_weight=0.1).state_dict()["empty_weight"][-1].item() == pytest.approx(0.1)
