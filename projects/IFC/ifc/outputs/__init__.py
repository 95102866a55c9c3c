# SPDX-License-Identifier: Apache-2.0
"""From videos to folders of results: overlays, masks, tracks and tables, written as frames finish."""

from .inputs import find_inputs
from .manifest import Outcome
from .segmenting import segment_videos
from .settings import SegmentSettings
from .sharding import take_share

__all__ = ["Outcome", "SegmentSettings", "find_inputs", "segment_videos", "take_share"]
