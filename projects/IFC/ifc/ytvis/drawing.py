# SPDX-License-Identifier: Apache-2.0
"""The one drawer of masks onto frames: a color an object, a translucent mask with an outline, and a label.

A drawer is made once a video and called once a frame. Everything that does not depend on the frame (colors, the
rendered labels) is prepared before.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pycocotools import mask as mask_api

_FILL_OPACITY = 0.45
_GOLDEN_RATIO = 0.618033988749895
_MIN_AUTO_HEIGHT = 360  # the shorter side, in pixels, below which a label of readable size would hide the objects
_MAX_AUTO_WIDTH = 3840  # the longer side, in pixels, above which nothing is enlarged, however narrow it is

Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two exclusive
Color = tuple[int, int, int]  # RGB, 0 to 255


@dataclass(frozen=True)
class DrawnTrack:
    """One instance as it is shown.

    Attributes:
        track_id: 1, 2, ... in order of falling score; decides the color.
        class_name: name of its best class.
        score: score of that class, 0 to 1.
        masks: for each frame a compressed RLE {"size": [h, w], "counts": ...}, or None where it is not seen.
    """

    track_id: int
    class_name: str
    score: float
    masks: Sequence[Mapping[str, Any] | None]

    @property
    def label(self) -> str:
        return f"{self.class_name} {self.score:.0%} #{self.track_id}"


def select_tracks(
    scores: Sequence[float],
    labels: Sequence[int],
    masks: Sequence[Sequence[Mapping[str, Any] | None]],
    class_names: Sequence[str],
    threshold: float,
) -> list[DrawnTrack]:
    """Choose what is drawn: of each instance its best class, if the score of that is at least `threshold`.

    With MULTI_CLS_ON a model gives several tracks for one instance, one a class. They share one list of masks (the same
    object), by which they are told here.

    Args:
        scores: a score for each track, 0 to 1.
        labels: a class for each track, an index into `class_names`.
        masks: for each track its masks, one a frame (see `DrawnTrack`).
        class_names: the names of the classes.
        threshold: smallest score that is shown.

    Returns:
        The tracks by falling score, numbered from 1. A lower threshold adds tracks at the end and changes no number.
    """
    best_of_instance: dict[int, int] = {}
    for track in sorted(range(len(scores)), key=lambda track: -scores[track]):
        best_of_instance.setdefault(id(masks[track]), track)
    shown = [track for track in best_of_instance.values() if scores[track] >= threshold]
    return [
        DrawnTrack(number, class_names[labels[track]], float(scores[track]), masks[track])
        for number, track in enumerate(shown, start=1)
    ]


def default_scale(height: int, width: int) -> int:
    """The smallest whole factor that brings the shorter side of a frame to a size on which labels are readable, or the
    largest that does not make a screen's width of the longer side, if that is smaller.
    """
    wanted = -(-_MIN_AUTO_HEIGHT // min(height, width))
    return max(1, min(wanted, _MAX_AUTO_WIDTH // max(height, width)))


def palette_color(number: int, *, without_red: bool = False) -> Color:
    """The RGB color of a track, object or class, 0 to 255, the same for the same number wherever it is shown.

    Hues go around the circle in steps of the golden ratio, so that neighboring numbers are far apart and the circle
    fills evenly however many there are; brightness alternates to tell hues that come close.

    Args:
        without_red: leave out the reds, for pictures in which red has a meaning of its own.
    """
    hue = (0.58 + number * _GOLDEN_RATIO) % 1.0
    if without_red:
        hue = 0.12 + 0.76 * hue
    value = (1.0, 0.85)[(number // 5) % 2]
    return tuple(round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, 0.75, value))


class MaskDrawer:
    """Draws the masks of N objects onto frames: tinted and outlined, each with a label that covers no other.

    Args:
        labels, colors: N each.
        frame_size: (height, width) of the frames and masks.
        size: (height, width) of the drawn frames.
    """

    def __init__(
        self, labels: Sequence[str], colors: Sequence[Color], frame_size: tuple[int, int], size: tuple[int, int]
    ):
        self.frame_size, self.size = frame_size, size
        short_side = min(size)
        self._outline = max(2, round(short_side / 240))
        font_size = max(11, round(7 + short_side / 50))
        self._colors = colors
        self._labels = [
            _render_label(label, color, font_size, size) for label, color in zip(labels, colors, strict=True)
        ]

    def draw(self, frame: np.ndarray, masks: Sequence[Mapping[str, Any] | None]) -> np.ndarray:
        """Draw the objects of one frame, the first one in front.

        Args:
            frame: (H, W, 3) uint8 RGB; not changed.
            masks: N compressed RLEs, None where an object is not seen.

        Returns:
            (h, w, 3) uint8 RGB, of the drawn size.
        """
        if frame.shape[:2] != self.frame_size:
            raise ValueError(f"frame is {frame.shape[:2]} (height, width), expected {self.frame_size}")
        canvas = _resize(frame, self.size, cv2.INTER_CUBIC) if self.size != self.frame_size else frame.copy()
        boxes: list[Box | None] = [None] * len(self._colors)
        for number in reversed(range(len(boxes))):
            if masks[number] is not None:
                boxes[number] = self._paint_mask(canvas, masks[number], self._colors[number])
        labels = [(box, label) for box, label in zip(boxes, self._labels, strict=True) if box is not None]
        spots: list[Box] = []
        for box, label in labels:
            spots.append(_place_label(box, label.shape[:2], self.size, spots))
        for (left, top, right, bottom), (_, label) in zip(reversed(spots), reversed(labels), strict=True):
            canvas[top:bottom, left:right] = label
        return canvas

    def _paint_mask(self, canvas: np.ndarray, rle: Mapping[str, Any], color: Color) -> Box | None:
        """Fill and outline one mask, in place. Returns its bounds on the canvas, None if it is empty."""
        mask = mask_api.decode(rle)
        x, y, w, h = cv2.boundingRect(mask)
        if w == 0:
            return None
        mask = np.ascontiguousarray(mask[y : y + h, x : x + w])
        left, right = _scaled(x, x + w, self.size[1], self.frame_size[1])
        top, bottom = _scaled(y, y + h, self.size[0], self.frame_size[0])
        region = canvas[top:bottom, left:right]
        if region.shape[:2] != mask.shape:  # smooth instead of stepped edges
            mask = (_resize(255 * mask, region.shape[:2], cv2.INTER_LINEAR) > 127).astype(np.uint8)
        tint = np.empty_like(region)
        tint[:] = color
        filled = cv2.addWeighted(region, 1 - _FILL_OPACITY, tint, _FILL_OPACITY, 0)
        cv2.copyTo(filled, mask, region)
        # The outline lies inside the mask: what it does not cover stays as filmed.
        side = 2 * self._outline + 1
        inner = cv2.erode(
            mask,
            cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)),
            borderType=cv2.BORDER_CONSTANT,
            borderValue=0,
        )
        cv2.copyTo(tint, mask - inner, region)
        return left, top, right, bottom


def _scaled(first: int, end: int, size: int, frame_size: int) -> tuple[int, int]:
    """A range of a frame's rows or columns on the canvas, of one at least."""
    start = min(first * size // frame_size, size - 1)
    return start, max(start + 1, end * size // frame_size)


def _resize(image: np.ndarray, size: tuple[int, int], enlarging: int) -> np.ndarray:
    """An image (h, w) or (h, w, 3) in another size, (height, width)."""
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else enlarging)


class OverlayDrawer(MaskDrawer):
    """Draws one video's tracks onto its frames.

    Args:
        tracks: what to draw, from `select_tracks`.
        height, width: size of the frames and of the tracks' masks.
        scale: whole factor by which the drawn frames are larger than the given ones, so that a label has room on small
            frames; None for `default_scale`.

    Attributes:
        size: (height, width) of the drawn frames.
    """

    def __init__(self, tracks: Sequence[DrawnTrack], height: int, width: int, scale: int | None = None):
        scale = default_scale(height, width) if scale is None else scale
        colors = [palette_color(track.track_id) for track in tracks]
        super().__init__([track.label for track in tracks], colors, (height, width), (scale * height, scale * width))
        self.tracks = tracks

    def draw_frame(self, frame: np.ndarray, index: int) -> np.ndarray:
        """Draw the tracks of frame `index`, the best one in front.

        Args:
            frame: (H, W, 3) uint8 RGB; not changed.
            index: its number in the video, from 0.

        Returns:
            (H * scale, W * scale, 3) uint8 RGB. Only the pixels under a mask or a label differ from the enlarged frame.
        """
        return self.draw(frame, [track.masks[index] for track in self.tracks])


def _render_label(text: str, color: Color, font_size: int, frame_size: tuple[int, int]) -> np.ndarray:
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
    ImageDraw.Draw(picture).text((margin, margin // 2), text, fill=_text_color(color), font=font)
    return np.asarray(picture)[: frame_size[0], : frame_size[1]]


def _text_color(background: Color) -> str:
    """Black or white, whichever has the higher contrast (at least 4.5:1) by WCAG's relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (c / 255 for c in background)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"


def _place_label(box: Box, label_size: tuple[int, int], frame_size: tuple[int, int], placed: Sequence[Box]) -> Box:
    """Where a label goes: above its mask, else below, else inside as far up as possible; the first of these that is
    within the frame and clear of the labels already placed, else the first within the frame.
    """
    left, top, right, bottom = box
    label_height, label_width = label_size
    frame_height, frame_width = frame_size
    x = min(max((left + right - label_width) // 2, 0), frame_width - label_width)
    inside = range(top, bottom - label_height + 1, label_height)
    spots = [
        (x, y, x + label_width, y + label_height)
        for y in (top - label_height, bottom, *inside)
        if 0 <= y <= frame_height - label_height
    ]
    if not spots:
        spots = [(x, 0, x + label_width, label_height)]
    return next((spot for spot in spots if not any(_overlap(spot, other) for other in placed)), spots[0])


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
