# SPDX-License-Identifier: Apache-2.0
"""Each track by itself, on nothing."""

from pathlib import Path

import cv2
import numpy as np

from ..video import FrameSource, Part, VideoWriter
from .files import write_picture
from .frame import FinishedFrame, Sink

CUTOUTS_FOLDER = "cutouts"


def cut_out(frame: FinishedFrame, track_id: int) -> np.ndarray:
    """(H, W, 4) uint8 RGBA of the frame's size: the picture inside of the object's box, of which its mask can be seen.

    The colors around the mask are kept, as a codec mixes those of neighbors.
    """
    crop = frame.crops[track_id]
    picture = np.zeros((*frame.image.shape[:2], 4), np.uint8)
    region = picture[crop.slices]
    region[..., :3] = frame.image[crop.slices]
    region[..., 3] = crop.mask * np.uint8(255)
    return picture


class PngCutouts(Sink):
    """cutouts/TRACK/00000.png, by the number of the frame.

    Args:
        folder: the video's.
    """

    def __init__(self, folder: Path):
        self.files = {"cutouts": CUTOUTS_FOLDER}
        self._folder = folder / CUTOUTS_FOLDER
        self._folder.mkdir()

    def write(self, frame: FinishedFrame) -> None:
        """See `Sink`."""
        for i in frame.shown:
            path = self._folder / str(i) / f"{frame.index:05}.png"
            path.parent.mkdir(exist_ok=True)
            picture = cv2.cvtColor(cut_out(frame, i), cv2.COLOR_RGBA2BGRA)
            write_picture(path, cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())

    def close(self, whole: bool) -> None:
        """See `Sink`."""


class WebmCutouts(Sink):
    """cutouts/TRACK.webm, which begins where the track does. One encoder runs for each track that is not past;
    one that may return is not.

    Args:
        folder: the video's.
        source: where the frames come from.
        part: which of them.
    """

    def __init__(self, folder: Path, source: FrameSource, part: Part):
        self.files = {"cutouts": CUTOUTS_FOLDER}
        self._folder = folder / CUTOUTS_FOLDER
        self._folder.mkdir()
        self._frame_rate, self._time_base = part.frame_rate(source), source.time_base
        self._writers: dict[int, tuple[VideoWriter, float]] = {}
        self._gone: dict[int, float] = {}  # since when a track that may come back is not seen

    def write(self, frame: FinishedFrame) -> None:
        """See `Sink`."""
        for i in frame.shown:
            if i not in self._writers:
                path = self._folder / f"{i}.webm"
                writer = VideoWriter(path, self._frame_rate, time_base=self._time_base, transparent=True)
                self._writers[i] = writer, frame.time
            writer, begin = self._writers[i]
            if i in self._gone:  # players keep this until the next
                writer.write(np.zeros((*frame.image.shape[:2], 4), np.uint8), self._gone.pop(i) - begin)
            writer.write(cut_out(frame, i), frame.time - begin)
        for i in self._writers.keys() - frame.shown.keys():
            self._gone.setdefault(i, frame.time)
        for ended in frame.segmented.ended:
            self._end(ended.instance_id)

    def _end(self, i: int) -> None:
        self._gone.pop(i, None)
        if i in self._writers:
            self._writers.pop(i)[0].__exit__(None, None, None)

    def close(self, whole: bool) -> None:
        """See `Sink`."""
        for i in list(self._writers):
            self._end(i)

    def abandon(self, error: Exception) -> None:
        """See `Sink`."""
        for writer, _ in self._writers.values():
            writer.__exit__(type(error), error, error.__traceback__)
