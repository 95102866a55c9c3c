# SPDX-License-Identifier: Apache-2.0
"""A synthetic video instance segmentation data set: textured shapes that move over a textured background.

Each video shows a few instances of six outlines. They translate, rotate, change size, occlude one another, leave the
frame and come back, and often several of them share a class. Texture says nothing about the class; color hints at it,
as it does in nature, but the hues of neighboring classes overlap.

In the videos of a scenario objects are hard to follow: they are hidden, leave, cross one another, or the camera cuts.

A video is a function of (seed, video index, size, length, number of instances, scenario, absence) alone: video 7 of a
seed is the same whether ten or a thousand videos are made, in one process or in several. Masks come from polygons that
are filled in whole numbers, so the annotation files have the same bytes on every machine and with every version of
OpenCV and NumPy; in the frames, these may differ in the rounding of a gray level.
"""

from .objects import CATEGORIES
from .rendering import MIN_IMAGE_SIDE, ShapesVideo, render_video
from .scenarios import PLAIN, SCENARIOS
from .dataset_files import write_coco, write_ytvis

__all__ = ["CATEGORIES", "MIN_IMAGE_SIDE", "PLAIN", "SCENARIOS", "ShapesVideo", "render_video", "write_coco", "write_ytvis"]
