# SPDX-License-Identifier: Apache-2.0
"""Labels: their pictures, and where they stand from frame to frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .palette import Color, text_color
from .pieces import Piece

_STAYS = 30  # frames that a label keeps a place before a better one is looked for
_CALM = 0.2  # of a small change of where a label wants to be, what it follows in a frame
_HASTE = 1.5  # and how much more it follows of one of the label's own height

_ELSEWHERE = 9  # the spot of a label that has found no room at its piece

Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two exclusive
Size = tuple[int, int]  # height, width


def render_label(text: str, color: Color, font_size: int, frame_size: Size) -> np.ndarray:
    """Text on a box of the color, (h, w, 3) uint8. The text shrinks until the box fits into a frame of `frame_size`."""
    # What Pillow's own font has.
    text = "".join(c if c.isprintable() else "?" for c in text).encode("latin-1", "replace").decode("latin-1")
    for size in range(font_size, 5, -1):
        font = ImageFont.load_default(size)
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
        anchor: (4,) x and y of the piece's pole, and the piece's top and bottom there.
        frame: the last one on which it was.
        spot: which of `_spots`, or `_ELSEWHERE`.
        since: the frame from which on it has been there.
        offset: (2,) of a label that is elsewhere, from the pole.
    """

    anchor: np.ndarray
    frame: int
    spot: int = 0
    since: int = 0
    offset: np.ndarray | None = None


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
        boxes = np.empty((len(wanted), 4), dtype=int)
        for index, label in enumerate(wanted):
            place = self._follow(label)
            corner = self._find_room(place, label.size, boxes[:index])
            boxes[index] = [*corner, *(corner + label.size[::-1])]
        self._places = {i: place for i, place in self._places.items() if self._frame - place.frame <= _STAYS}
        return [tuple(box) for box in boxes.tolist()]

    def _follow(self, label: Wanted) -> _Place:
        """The place of a label, moved along with its piece."""
        x, width = label.piece.pole[0], label.size[1]
        anchor = np.array([*label.piece.pole, *label.piece.extent(x - width / 2, x + width / 2)])
        place = self._places.setdefault(label.track_id, _Place(anchor, self._frame, since=self._frame))
        change = anchor - place.anchor
        if self._frame - place.frame == 1:
            change *= np.minimum(1.0, _CALM + _HASTE * np.abs(change) / label.size[0])
        place.anchor = place.anchor + change
        place.frame = self._frame
        return place

    def _find_room(self, place: _Place, size: Size, others: np.ndarray) -> np.ndarray:
        """The upper left corner of a label that covers none of the `others`, (n, 4): where it was if it can stay, else
        at the first spot that is free, else as near as possible, else where it covers least."""
        spots = self._spots(place.anchor, size)
        if place.offset is not None:
            spots[_ELSEWHERE] = self._inside(place.anchor[:2] + place.offset, size)
        stays = self._frame - place.since <= _STAYS
        for spot in sorted(spots, key=lambda spot: (spot != place.spot) if stays else spot):
            if not _covered(spots[spot][None], size, others).any():
                break
        else:
            spot = _ELSEWHERE
            spots[spot] = self._nearest(place.anchor[:2], size, others)
            place.offset = spots[spot] - place.anchor[:2]
            place.since = self._frame
        if spot != place.spot:
            place.spot, place.since = spot, self._frame
        if spot != _ELSEWHERE:
            place.offset = None
        return spots[spot]

    def _spots(self, anchor: np.ndarray, size: Size) -> dict[int, np.ndarray]:
        """Corners of a label at its anchor, by falling preference: above the piece, below it, at its upper end, on the
        pole. Above and below only where the frame has room."""
        x, y, top, bottom = anchor
        rows = (top - size[0], bottom, max(top, 0), y - size[0] / 2)
        corners = [self._inside(np.array((x - size[1] / 2, row)), size) for row in rows]
        return {k: c for k, (c, row) in enumerate(zip(corners, rows, strict=True)) if k > 1 or abs(c[1] - row) < 1}

    def _nearest(self, pole: np.ndarray, size: Size, others: np.ndarray) -> np.ndarray:
        """The corner, of a grid of them around the pole, that covers least of the others; of those, the nearest."""
        height, width = size
        columns = np.arange(pole[0] % (width / 2) - width, self._size[1], width / 2)
        rows = np.arange(pole[1] % height - height, self._size[0], height)
        grid = self._inside(np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2), size)
        distances = np.square((grid + np.array((width, height)) / 2 - pole) / (1, 0.5)).sum(axis=1)
        return grid[np.lexsort((distances, _covered(grid, size, others)))[0]]

    def _inside(self, corner: np.ndarray, size: Size) -> np.ndarray:
        """Corners (..., 2) moved so that a label of this size is within the frame."""
        return np.clip(np.round(corner).astype(int), 0, np.subtract(self._size, size)[::-1])


def _covered(corners: np.ndarray, size: Size, others: np.ndarray) -> np.ndarray:
    """(N,) pixels of the boxes `others`, (n, 4), that a label at each of the corners, (N, 2), would cover."""
    starts = np.maximum(corners[:, None], others[:, :2])
    ends = np.minimum(corners[:, None] + size[::-1], others[:, 2:])
    return np.maximum(ends - starts, 0).prod(axis=2).sum(axis=1)
