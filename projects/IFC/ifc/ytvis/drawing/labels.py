# SPDX-License-Identifier: Apache-2.0
"""Labels: their pictures, and where they stand from frame to frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .palette import Color, text_color
from .pieces import Piece, Point

_STAYS = 15  # frames through which there has to be a better place for a label before it moves there
_CALM = 0.2  # of a small change of where a label wants to be, what it follows in a frame
_HASTE = 1.5  # and how much more it follows of one of the label's own height

_FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")  # Latin, Greek, Cyrillic and more
_ELSEWHERE = 9  # the spot of a label that has found no room at its piece

Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two exclusive
Corner = tuple[int, int]  # the upper left one, x and y
Size = tuple[int, int]  # height, width


def render_label(text: str, color: Color, font_size: int, frame_size: Size) -> np.ndarray:
    """Text on a box of the color, (h, w, 3) uint8. The text shrinks until the box fits into a frame of `frame_size`."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    for size in range(font_size, 5, -1):
        font = ImageFont.truetype(_FONT, size)
        ascent, descent = font.getmetrics()
        margin = max(2, size // 4)
        height, width = ascent + descent + margin // 2 * 2, round(font.getlength(text)) + 2 * margin
        if height <= frame_size[0] and width <= frame_size[1]:
            break
    picture = Image.new("RGB", (width, height), color)
    ImageDraw.Draw(picture).text((margin, margin // 2), text, fill=text_color(color), font=font)
    return np.asarray(picture)[: frame_size[0], : frame_size[1]]


class Wanted(NamedTuple):
    """A label that is to be placed: whose, on which piece, and its (height, width)."""

    track_id: int
    piece: Piece
    size: Size


@dataclass
class _Place:
    """Where a track's label is: its anchor is smoothed from frame to frame, and the label keeps its spot at it.

    Attributes:
        anchor: x and y of the piece's pole, and the piece's top and bottom there.
        frame: the last one on which it was.
        since: the last frame on which there was no better spot.
        spot: which of `_spots`, or `_ELSEWHERE`.
        offset: of a label that is elsewhere, from the pole.
    """

    anchor: tuple[float, ...]
    frame: int
    since: int
    spot: int = 0
    offset: Point = (0.0, 0.0)


class LabelPlacer:
    """Places labels on the pieces of their masks: within the frame, apart from one another where there is room, and
    calmly from frame to frame.

    Args:
        size: (height, width) of the frames.
    """

    def __init__(self, size: Size):
        self._size = size
        self._places: dict[int, _Place] = {}
        self._frame = 0

    def place(self, wanted: Sequence[Wanted]) -> list[Box]:
        """Where the labels of the next frame stand. The first ones have the first choice."""
        self._frame += 1
        boxes: list[Box] = []
        for label in wanted:
            x, y = self._find_room(self._follow(label), label.size, boxes)
            boxes.append((x, y, x + label.size[1], y + label.size[0]))
        self._places = {i: place for i, place in self._places.items() if self._frame - place.frame <= _STAYS}
        return boxes

    def _follow(self, label: Wanted) -> _Place:
        """The place of a label, moved along with its piece."""
        x, half = label.piece.pole[0], label.size[1] / 2
        anchor = (*label.piece.pole, *label.piece.extent(x - half, x + half))
        place = self._places.setdefault(label.track_id, _Place(anchor, self._frame, self._frame))
        if self._frame - place.frame == 1:
            haste = _HASTE / label.size[0]
            changes = [new - old for new, old in zip(anchor, place.anchor, strict=True)]
            parts = [change * min(1.0, _CALM + haste * abs(change)) for change in changes]
            anchor = tuple(old + part for old, part in zip(place.anchor, parts, strict=True))
        place.anchor, place.frame = anchor, self._frame
        return place

    def _find_room(self, place: _Place, size: Size, others: Sequence[Box]) -> Corner:
        """The corner of a label that covers none of the others: at its spot if it can stay there, else at the best one
        that is free, else as near as possible, else where it covers least."""
        spots = self._spots(place.anchor, size)
        if place.spot == _ELSEWHERE:
            spots[_ELSEWHERE] = self._inside(place.anchor[0] + place.offset[0], place.anchor[1] + place.offset[1], size)
        free = [spot for spot, corner in spots.items() if not _overlaps(corner, size, others)]
        if not free:
            spots[_ELSEWHERE] = x, y = self._nearest(place.anchor[:2], size, np.array(others))
            place.offset = x - place.anchor[0], y - place.anchor[1]
        best = free[0] if free else _ELSEWHERE
        if place.spot == best:
            place.since = self._frame
        elif place.spot not in free or self._frame - place.since > _STAYS:
            place.spot, place.since = best, self._frame
        return spots[place.spot]

    def _spots(self, anchor: Sequence[float], size: Size) -> dict[int, Corner]:
        """Corners of a label at its anchor, by falling preference: above the piece, below it, at its upper end, on the
        pole. Above and below only where the frame has room."""
        x, y, top, bottom = anchor
        rows = (top - size[0], bottom, top, y - size[0] / 2)
        fit = (rows[0] >= 0, bottom + size[0] <= self._size[0], True, True)
        return {spot: self._inside(x - size[1] / 2, rows[spot], size) for spot in range(4) if fit[spot]}

    def _inside(self, x: float, y: float, size: Size) -> Corner:
        """The corner nearest to a point at which a label of this size is within the frame."""
        height, width = self._size
        return min(max(round(x), 0), width - size[1]), min(max(round(y), 0), height - size[0])

    def _nearest(self, pole: Point, size: Size, others: np.ndarray) -> Corner:
        """The corner, of a grid of them around the pole, that covers least of the others, (n, 4); of those, the
        nearest."""
        half = np.array((size[1], size[0])) / 2  # x, y
        last = np.array(self._size[::-1]) - 2 * half
        axes = [
            np.unique(np.clip(np.arange(pole[i] % half[i] - half[i], last[i] + half[i], half[i]), 0, last[i]))
            for i in (0, 1)
        ]
        corners = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2).round().astype(int)
        starts = np.maximum(corners[:, None], others[:, :2])
        ends = np.minimum(corners[:, None] + (size[1], size[0]), others[:, 2:])
        covered = np.maximum(ends - starts, 0).prod(axis=2).sum(axis=1)
        distances = np.square(corners + half - pole).sum(axis=1)
        x, y = corners[np.lexsort((distances, covered))[0]].tolist()
        return x, y


def _overlaps(corner: Corner, size: Size, others: Sequence[Box]) -> bool:
    left, top, right, bottom = *corner, corner[0] + size[1], corner[1] + size[0]
    return any(left < other[2] and other[0] < right and top < other[3] and other[1] < bottom for other in others)
