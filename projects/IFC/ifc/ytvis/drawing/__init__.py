# SPDX-License-Identifier: Apache-2.0
"""The one drawer of masks onto frames: a color a track, a translucent mask with an outline, and a label.

A `TrackDrawer` is made once a video and called once a frame, in order: its labels stay where they are if they can.
"""

from .drawer import DrawingStyle, DrawnObject, TrackDrawer, default_scale
from .palette import Color, palette_color
from .tracks import DrawnTrack, objects_on, select_tracks

__all__ = [
    "Color",
    "DrawingStyle",
    "DrawnObject",
    "DrawnTrack",
    "TrackDrawer",
    "default_scale",
    "objects_on",
    "palette_color",
    "select_tracks",
]
