# SPDX-License-Identifier: Apache-2.0

from itertools import permutations

import pytest
import torch

from ifc.training import ClipTarget, HungarianMatcher


def random_target(num_instances: int, num_classes: int = 4, num_frames: int = 2) -> ClipTarget:
    masks = torch.rand(num_instances, num_frames, 5, 6)
    return ClipTarget(torch.randint(num_classes, (num_instances,)), masks, masks)


def best_by_trying_all(score: torch.Tensor) -> float:
    num_queries, num_instances = score.shape
    if num_instances <= num_queries:
        choices = permutations(range(num_queries), num_instances)
        return max(sum(score[q, i].item() for i, q in enumerate(choice)) for choice in choices)
    choices = permutations(range(num_instances), num_queries)
    return max(sum(score[q, i].item() for q, i in enumerate(choice)) for choice in choices)


@pytest.mark.parametrize("num_instances", [1, 3, 6])
def test_no_other_assignment_scores_higher(num_instances):
    torch.manual_seed(num_instances)
    logits, masks = torch.randn(2, 5, 5), torch.randn(2, 5, 2, 3, 4) * 4
    targets = [random_target(num_instances), random_target(2)]
    matcher = HungarianMatcher(dice_weight=2.0)
    for b, (queries, instances) in enumerate(matcher(logits, masks, targets)):
        score = matcher.score(logits[b], masks[b], targets[b])
        assert len(queries) == min(5, len(targets[b].labels))
        assert len(set(queries.tolist())) == len(set(instances.tolist())) == len(queries)
        assert queries.tolist() == sorted(queries.tolist())
        assert score[queries, instances].sum().item() == pytest.approx(best_by_trying_all(score), abs=1e-5)


def test_score_is_weighted_dice_plus_class_probability():
    torch.manual_seed(0)
    logits, masks, target = torch.randn(3, 5), torch.randn(3, 2, 5, 6), random_target(2)
    score = HungarianMatcher(dice_weight=2.5).score(logits, masks, target)
    for q in range(3):
        for i in range(2):
            p, t = masks[q].sigmoid(), target.match_masks[i]
            dice = (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
            expected = 2.5 * dice + logits[q].softmax(0)[target.labels[i]]
            assert score[q, i].item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_clip_without_instances_matches_nothing():
    ((queries, instances),) = HungarianMatcher(3.0)(
        torch.randn(1, 5, 5), torch.randn(1, 5, 2, 3, 4), [random_target(0)]
    )
    assert queries.tolist() == instances.tolist() == []


def test_divergence_is_said():
    with pytest.raises(FloatingPointError, match="diverged"):
        HungarianMatcher(3.0)(torch.full((1, 5, 5), torch.nan), torch.randn(1, 5, 2, 3, 4), [random_target(1)])
