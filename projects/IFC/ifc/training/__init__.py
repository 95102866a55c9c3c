# SPDX-License-Identifier: Apache-2.0
"""What one training step computes: targets, matching, losses."""

import detectron2.modeling  # noqa: F401 - first, so that ifc registers while nothing of it is half imported

from .criterion import ClipCriterion
from .matcher import HungarianMatcher
from .targets import ClipTarget, clip_target, instances_of

__all__ = ["ClipCriterion", "ClipTarget", "HungarianMatcher", "clip_target", "instances_of"]
