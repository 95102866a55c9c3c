# SPDX-License-Identifier: Apache-2.0
"""What one training step computes: targets, matching, losses."""

import detectron2.modeling  # noqa: F401 - first, so that ifc registers while nothing of it is half imported

from .criterion import ClipCriterion, ContrastSettings
from .matcher import HungarianMatcher, Matches
from .points import PointSettings
from .targets import BatchTarget, batch_target, instances_of

__all__ = [
    "BatchTarget",
    "ClipCriterion",
    "ContrastSettings",
    "HungarianMatcher",
    "Matches",
    "PointSettings",
    "batch_target",
    "instances_of",
]
