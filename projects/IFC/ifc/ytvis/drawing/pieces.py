# SPDX-License-Identifier: Apache-2.0
"""The largest piece of a mask, and where in it a label belongs."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from .mask_crops import Crop

_RASTER_SIDE = 48  # cells of a piece's longer side: what a label's place is worth
_KEPT_AREA = 0.6  # of the largest piece's: one that was the largest stays it down to here
_DEEP = 0.8  # of the largest distance to the piece's edge: all that is as deep is a good place

Point = tuple[float, float]  # x, y


class Piece(NamedTuple):
    """A connected piece of a mask, coarsely.

    Attributes:
        corner: its upper left corner in the picture.
        cell: pixels of the picture along a side of the raster's cells.
        raster: (h, w) uint8, 0 or 1; no side has more than 48 cells.
        center: its center of mass in the picture.
        pole: a point deep in it, near to its center: a label there is on it even where the center is not.
    """

    corner: Point
    cell: float
    raster: np.ndarray
    center: Point
    pole: Point

    def extent(self, left: float, right: float) -> tuple[float, float]:
        """Top and bottom of what lies between two columns of the picture, the pole's column at least."""
        columns = [int((x - self.corner[0]) / self.cell) for x in (left, self.pole[0], right)]
        part = self.raster[:, max(0, min(columns)) : max(columns) + 1]
        rows = np.flatnonzero(part.any(axis=1))
        return self.corner[1] + rows[0] * self.cell, self.corner[1] + (rows[-1] + 1) * self.cell


def largest_piece(crop: Crop, before: Piece | None = None) -> Piece:
    """The largest piece of a mask.

    Args:
        before: of the frame before. Where others are nearly as good as the best, the nearest to it is taken, so that
            nothing jumps.
    """
    contours, _ = cv2.findContours(crop.mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    contour = contours[0] if len(contours) == 1 else contours[_choose(contours, crop, before)]
    x, y, width, height = cv2.boundingRect(contour)
    cell = max(1.0, max(width, height) / _RASTER_SIDE)
    shape = max(1, round(height / cell)), max(1, round(width / cell))
    mask = crop.mask[y : y + height, x : x + width]
    inside = cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_NEAREST)
    if len(contours) > 1 or not inside.any():  # what is thin may fall between the cells
        scale = (shape[1] - 1) / max(1, width - 1), (shape[0] - 1) / max(1, height - 1)
        outline = ((contour - (x, y)) * scale).round().astype(np.int32)
        filled = cv2.drawContours(np.zeros_like(inside), [outline], 0, 1, cv2.FILLED)
        inside = inside & filled if (inside & filled).any() else filled
    raster = np.zeros((shape[0] + 2, shape[1] + 2), dtype=np.uint8)  # with an edge, to which distances are measured
    raster[1:-1, 1:-1] = inside
    corner = float(crop.left + x), float(crop.top + y)
    moments = cv2.moments(raster, binaryImage=True)
    center = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
    wanted = center
    if before is not None:
        wanted = tuple(c + (pole - old) / cell for c, pole, old in zip(center, before.pole, before.center, strict=True))
    pole = _deep_point(cv2.distanceTransform(raster, cv2.DIST_L2, 3), wanted)
    in_picture = [(corner[0] + (x - 0.5) * cell, corner[1] + (y - 0.5) * cell) for x, y in (center, pole)]
    return Piece(corner, cell, inside, *in_picture)


def _deep_point(depths: np.ndarray, wanted: Point) -> Point:
    """The point nearest to the one that is wanted among those that are nearly as deep as the deepest."""
    enough = _DEEP * cv2.minMaxLoc(depths)[1]
    x, y = round(wanted[0]), round(wanted[1])
    if 0 <= y < depths.shape[0] and 0 <= x < depths.shape[1] and depths[y, x] >= enough:
        return wanted
    rows, columns = np.nonzero(depths >= enough)
    nearest = (np.square(rows - wanted[1]) + np.square(columns - wanted[0])).argmin()
    return float(columns[nearest]), float(rows[nearest])


def _choose(contours: Sequence[np.ndarray], crop: Crop, before: Piece | None) -> int:
    """Which contour is that of the largest piece, or of one that is nearly as large and nearer to the one `before`."""
    areas = np.array([cv2.contourArea(contour) + len(contour) / 1000 for contour in contours])  # lines have no area
    if before is None:
        return int(areas.argmax())
    point = before.pole[0] - crop.left, before.pole[1] - crop.top
    large = np.flatnonzero(areas >= _KEPT_AREA * areas.max())
    distances = [cv2.pointPolygonTest(contours[k], point, True) for k in large]  # negative outside
    return int(large[np.argmax(distances)])
