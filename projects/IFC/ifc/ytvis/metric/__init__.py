# SPDX-License-Identifier: Apache-2.0
"""How good are the results? `video_ap` is the metric; the others say what lies behind it."""

from .video_ap import VideoAPResult, evaluate_tracks

__all__ = ["VideoAPResult", "evaluate_tracks"]
