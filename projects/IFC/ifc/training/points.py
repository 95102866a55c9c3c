# SPDX-License-Identifier: Apache-2.0
"""Masks at a few points instead of on a grid (Mask2Former, arXiv 2112.01527, section 3.3)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class PointSettings:
    """How the points are chosen. Random ones are uniform."""

    num_points: int  # of a frame; 0 for all pixels of the grid
    oversample_ratio: float = 3.0  # how many times as many random ones the uncertain points of a loss are chosen from
    importance_sample_ratio: float = 0.75  # share of uncertain points in a loss; the others are random


def sample_points(maps: Tensor, points: Tensor) -> Tensor:
    """Values between the pixels of a map, as `torch.nn.functional.interpolate` gives them.

    Args:
        maps: (K, C, h, w).
        points: (K, P, 2): x and y as fractions of width and height.

    Returns:
        (K, C, P).
    """
    grid = 2 * points[:, :, None] - 1
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)[..., 0]


@torch.no_grad()
def uncertain_points(logits: Tensor, settings: PointSettings) -> Tensor:
    """Points of which most are where a mask is least certain (PointRend, arXiv 1912.08193, section 3.1).

    Args:
        logits: (K, 1, h, w) of K masks.

    Returns:
        (K, P, 2), see `sample_points`.
    """
    num_uncertain = int(settings.importance_sample_ratio * settings.num_points)
    num_candidates = int(settings.oversample_ratio * settings.num_points)
    candidates = torch.rand(len(logits), num_candidates, 2, device=logits.device)
    certainty = sample_points(logits, candidates)[:, 0].abs()
    chosen = certainty.topk(num_uncertain, largest=False, sorted=False).indices
    uncertain = candidates.gather(1, chosen[..., None].expand(-1, -1, 2))
    others = torch.rand(len(logits), settings.num_points - num_uncertain, 2, device=logits.device)
    return torch.cat([uncertain, others], dim=1)
