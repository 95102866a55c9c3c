# SPDX-License-Identifier: Apache-2.0
"""Overlays, label maps and tables, written as frames finish."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..predictor import Classes
from ..video import FrameSource, Part, VideoWriter
from ..ytvis.convert.indexed_png import MAX_NUMBER, palette
from ..ytvis.drawing import DrawingStyle, DrawnObject, TrackDrawer
from ..ytvis.files import write_json
from .files import LineFile, write_picture
from .frame import FinishedFrame, Sink

OVERLAY_FILE = "overlay.mp4"
MASKS_FOLDER = "masks"
MASKS_FILE = "tracks.json"
BOXES_FILE = "boxes.csv"


class OverlaySink(Sink):
    """The video with its shown tracks drawn onto it, its times and its sound.

    Args:
        folder: the video's.
        source: where the frames come from.
        part: which of them.
        style: how they are drawn.
        names: of the classes.
    """

    def __init__(self, folder: Path, source: FrameSource, part: Part, style: DrawingStyle, names: list[str]):
        self.files = {}
        self._names = names
        self._drawer = TrackDrawer(*source.size, style)
        self._frame_rate = part.frame_rate(source)
        self._writer = VideoWriter(
            folder / OVERLAY_FILE, self._frame_rate, time_base=source.time_base, sound=source.sound(part.start)
        )
        self._writer.require_size(*self._drawer.size)
        self._writer.sound_ends = None if part.end is None else part.end - part.start
        self._last = 0.0

    def write(self, frame: FinishedFrame) -> None:
        """See `Sink`."""
        objects = [
            DrawnObject(i, f"{self._names[label]} #{i}", frame.segmented.masks[i]) for i, label in frame.shown.items()
        ]
        self._writer.write(self._drawer.draw(frame.image, objects), frame.time)
        self._last = frame.time

    def close(self, whole: bool) -> None:
        """See `Sink`."""
        if not whole:
            self._writer.sound_ends = self._last + 1 / float(self._frame_rate)
        self._writer.__exit__(None, None, None)
        self.files = {"overlay": OVERLAY_FILE}

    def abandon(self, error: Exception) -> None:
        """See `Sink`."""
        self._writer.__exit__(type(error), error, error.__traceback__)


class MasksSink(Sink):
    """An indexed PNG for each frame. The shown tracks are numbered from 1 in the order in which they appear;
    tracks.json says which track each number is. Where masks overlap, the earlier track is in front.

    Args:
        folder: the video's.
    """

    def __init__(self, folder: Path):
        self.files = {"masks": MASKS_FOLDER}
        self._folder = folder / MASKS_FOLDER
        self._folder.mkdir()
        self._numbers: dict[int, int] = {}
        self._palette = palette().tobytes()

    def write(self, frame: FinishedFrame) -> None:
        """See `Sink`."""
        labels = np.zeros(frame.image.shape[:2], np.uint8)
        for i, crop in reversed(frame.crops.items()):
            number = self._numbers.setdefault(i, len(self._numbers) + 1)
            if number > MAX_NUMBER:
                expected = f"expected at most {MAX_NUMBER}, which is what an indexed PNG can tell apart"
                raise ValueError(f"{self._folder}: found {number} tracks up to frame {frame.index}, {expected}")
            labels[crop.slices][crop.mask.astype(bool)] = number
        picture = Image.fromarray(labels)
        picture.putpalette(self._palette)
        content = io.BytesIO()
        picture.save(content, "PNG", compress_level=1)
        write_picture(self._folder / f"{frame.index:05}.png", content.getvalue())

    def close(self, whole: bool) -> None:
        """See `Sink`."""
        write_json(self._folder / MASKS_FILE, {str(number): i for i, number in self._numbers.items()})


class BoxesSink(Sink):
    """A table of the shown tracks' boxes, a line for each object on each frame.

    Args:
        folder: the video's.
        classes: names and ids of the labels.
    """

    def __init__(self, folder: Path, classes: Classes):
        self.files = {"boxes": BOXES_FILE}
        self._classes = classes
        self._file = LineFile(folder / BOXES_FILE)
        self._write([("frame", "time", "track_id", "category_id", "category", "score", "x", "y", "width", "height")])

    def write(self, frame: FinishedFrame) -> None:
        """See `Sink`."""
        time, scores = round(frame.time, 6), frame.segmented.scores
        ids, names = self._classes.ids, self._classes.names
        self._write(
            (frame.index, time, i, ids[label], names[label], round(scores[i], 6), *frame.boxes[i])
            for i, label in frame.shown.items()
        )

    def _write(self, rows: Iterable[Sequence[Any]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        self._file.write(text.getvalue().encode())

    def close(self, whole: bool) -> None:
        """See `Sink`."""
        self._file.close()

    def abandon(self, error: Exception) -> None:
        """See `Sink`."""
        self._file.close()
