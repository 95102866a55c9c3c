# SPDX-License-Identifier: Apache-2.0
"""How good are the results? `video_ap` is the metric, `evaluator` brings it to detectron2.

All but `evaluator` and `images` work without torch and detectron2.
"""

from .video_ap import VideoAPResult, evaluate_tracks

__all__ = ["VideoAPResult", "evaluate_tracks"]
