# SPDX-License-Identifier: Apache-2.0
"""Trails: the ways that objects came."""

from collections.abc import Mapping

import cv2
import numpy as np

from .palette import Color
from .pieces import Point

_FRAMES = 40  # that a trail goes back
_STEPS = 4  # of its opacity


class Trails:
    """The last centers of tracks, drawn as lines that fade with age, and break where a track was not seen.

    Args:
        thickness: of the lines, in pixels.
    """

    def __init__(self, thickness: int):
        self._thickness = thickness
        self._frame = 0
        self._points: dict[int, list[tuple[int, Point]]] = {}

    def draw(self, canvas: np.ndarray, centers: Mapping[int, tuple[Point, Color]]) -> None:
        """Draw the trails of the tracks that are seen on the next frame, in place.

        Args:
            canvas: (h, w, 3) uint8.
            centers: for each track where it is now, and its color.
        """
        self._frame += 1
        for track_id, (center, _) in centers.items():
            self._points.setdefault(track_id, []).append((self._frame, center))
        oldest = self._frame - _FRAMES
        recent = {i: [point for point in points if point[0] > oldest] for i, points in self._points.items()}
        self._points = {i: points for i, points in recent.items() if points}
        for track_id, (_, color) in centers.items():
            self._draw(canvas, self._points[track_id], color)

    def _draw(self, canvas: np.ndarray, points: list[tuple[int, Point]], color: Color) -> None:
        for step in range(_STEPS):
            newest = self._frame - _FRAMES + (step + 1) * _FRAMES // _STEPS
            part = [point for point in points if newest - _FRAMES // _STEPS <= point[0] <= newest]
            if len(part) < 2:
                continue
            frames, places = zip(*part, strict=True)
            line, returns = np.round(places).astype(np.int32), np.flatnonzero(np.diff(frames) > 1) + 1
            left, top = np.maximum(line.min(axis=0) - self._thickness, 0)
            right, bottom = line.max(axis=0) + self._thickness + 1
            region = canvas[top:bottom, left:right]
            drawn = region.copy()
            cv2.polylines(drawn, np.split(line - (left, top), returns), False, color, self._thickness, cv2.LINE_AA)
            opacity = (step + 1) / _STEPS
            cv2.addWeighted(drawn, opacity, region, 1 - opacity, 0, dst=region)
