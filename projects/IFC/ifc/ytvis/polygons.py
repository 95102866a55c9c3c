# SPDX-License-Identifier: Apache-2.0
"""Polygons of unknown origin, filled as COCO fills them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from .reading import brief, is_number

MAX_OUTLINE = 1_000_000  # of a frame's polygons, in pixels; filling them takes memory in proportion to it


def outline(points: Sequence[float]) -> float:
    """Length of a closed polygon x, y, x, y, ..., in pixels along rows and columns."""
    corners = np.array(points, dtype=np.float64).reshape(-1, 2)
    return float(np.abs(corners - np.roll(corners, 1, axis=0)).sum())


def fill(polygons: Sequence[Any], size: tuple[int, int]) -> dict[str, Any]:
    """The union of polygons x, y, x, y, ... on a frame (height, width), as pycocotools' compressed RLE.

    What lies outside of the frame is cut off.

    Raises:
        ValueError: one is malformed, far out of the frame, or the outline is longer than a real one's.
    """
    limit = 2 * max(size)
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"found {brief(polygon)}, expected a polygon x, y, x, y, ... of 3 points or more")
        for value in polygon:
            if not is_number(value) or abs(value) > limit:
                raise ValueError(f"found {brief(value)} in a polygon, expected a number from {-limit} to {limit}")
    length = sum(map(outline, polygons))
    if not polygons or length > MAX_OUTLINE:
        raise ValueError(f"found polygons with an outline of {length:.0f} pixels, expected at most {MAX_OUTLINE}")
    return mask_utils.merge(mask_utils.frPyObjects(list(polygons), *size))
