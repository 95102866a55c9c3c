# SPDX-License-Identifier: Apache-2.0

from itertools import permutations

import pytest
import torch
import torch.nn.functional as F
from training.small_batch import random_predictions, random_target

from ifc.training import HungarianMatcher, points


def best_by_trying_all(score: torch.Tensor) -> float:
    num_queries, num_instances = score.shape
    if num_instances <= num_queries:
        choices = permutations(range(num_queries), num_instances)
        return max(sum(score[q, i].item() for i, q in enumerate(choice)) for choice in choices)
    choices = permutations(range(num_instances), num_queries)
    return max(sum(score[q, i].item() for q, i in enumerate(choice)) for choice in choices)


@pytest.mark.parametrize("num_instances", [0, 1, 3, 6])
def test_no_other_assignment_scores_higher(num_instances):
    predictions, target = random_predictions(num_layers=3), random_target([1] * num_instances, [0, 3])
    matcher = HungarianMatcher(dice_weight=2.0)
    matches = matcher(predictions, target)
    assert matches.counts == [min(5, num_instances), 2]
    for clip, first in enumerate((0, num_instances)):
        for layer, score in enumerate(matcher.scores(predictions, target, clip)):
            of_clip = matches.clips[layer] == clip
            queries, instances = matches.queries[layer, of_clip], matches.instances[layer, of_clip] - first
            assert len(set(queries.tolist())) == len(set(instances.tolist())) == matches.counts[clip]
            assert queries.tolist() == sorted(queries.tolist())
            best = best_by_trying_all(score)
            assert score[queries, instances].sum().item() == pytest.approx(best, abs=1e-5)


def test_score_is_weighted_dice_plus_class_probability():
    predictions, target = random_predictions(), random_target([1, 3], [0])
    scores = HungarianMatcher(dice_weight=2.5).scores(predictions, target, clip=0)[0]
    masks = predictions.clip_prediction().pred_masks[0]  # (Q, T, h, w)
    for q in range(5):
        for i, label in enumerate((1, 3)):
            p = F.interpolate(masks[q][None], size=(6, 8), mode="bilinear", align_corners=False)[0].sigmoid()
            t = target.match_masks[i]
            dice = (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
            expected = 2.5 * dice + predictions.pred_logits[0, 0, q].softmax(0)[label]
            assert scores[q, i].item() == pytest.approx(expected.item(), rel=1e-5)


def test_points_that_are_the_pixels_score_as_the_pixels(monkeypatch):
    predictions, target = random_predictions(num_layers=2), random_target([1, 3], [0])
    monkeypatch.setattr(torch, "rand", lambda *_, **__: pixel_centers(6, 8)[None])
    for clip in range(2):
        by_points, by_pixels = (HungarianMatcher(3.0, n).scores(predictions, target, clip) for n in (48, 0))
        torch.testing.assert_close(by_points, by_pixels)


def pixel_centers(height: int, width: int) -> torch.Tensor:
    """(height · width, 2): x and y as fractions."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x / width, y / height], dim=-1).flatten(0, 1)


def test_points_are_random_and_many_of_them_come_near_the_pixels():
    predictions, target = random_predictions(), random_target([1, 3], [0])
    first, second = (HungarianMatcher(3.0, 20_000).scores(predictions, target, 0) for _ in range(2))
    assert not torch.equal(first, second)
    torch.testing.assert_close(first, HungarianMatcher(3.0).scores(predictions, target, 0), atol=0.05, rtol=0)


def test_uncertain_points_are_where_logits_change_sign():
    ramp = torch.linspace(-10, 10, 101).expand(1, 1, 101, 101)  # by x
    torch.manual_seed(0)
    found = points.uncertain_points(ramp, points.PointSettings(400, oversample_ratio=5, importance_sample_ratio=0.75))
    assert found.shape == (1, 400, 2) and found.min() >= 0 and found.max() <= 1
    is_near = (found[0, :, 0] - 0.5).abs() < 0.1  # as 2 of 10 candidates are
    assert is_near[:300].all() and 0.1 < is_near[300:].float().mean() < 0.35
    y = found[0, :, 1]
    assert abs(y.mean() - 0.5) < 0.05 and y.std() > 0.25


def test_scores_that_are_not_finite_are_left_to_the_losses():
    predictions, target = random_predictions(), random_target([1, 3], [0])
    with torch.no_grad():
        predictions.pred_logits[0, 0] = torch.nan
        predictions.mask_weights[0, 1] = torch.inf
    matches = HungarianMatcher(3.0)(predictions, target)
    assert matches.counts == [2, 1]
