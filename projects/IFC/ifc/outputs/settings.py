# SPDX-License-Identifier: Apache-2.0
"""What is written of a video, and of which part of it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from ..video import Part
from ..ytvis.drawing import DrawingStyle


@dataclass(frozen=True)
class SegmentSettings:
    """How `segment_videos` runs.

    Attributes:
        part: which frames are read.
        frame_rate: frames a second of what has no clock: folders of frames (None: 10), and raw frames.
        raw_size: (height, width) of raw frames on the standard input.
        decoder: of video files, see `VideoReader`.
        threshold: smallest score of a track that is shown: drawn, cut out, and in masks and tables.
        results_threshold: smallest score of a track in results.json; 0 for all that the model gives, as an evaluation
            wants them.
        overlay: write overlay.mp4.
        results: write results.json.
        masks: write masks/00000.png, ...
        cutouts: "webm" for cutouts/TRACK.webm, "png" for cutouts/TRACK/00000.png, None for neither.
        boxes: write boxes.csv.
        style: how the overlay is drawn.
        overwrite: do again what is finished.
    """

    part: Part = field(default_factory=Part)
    frame_rate: float | None = None
    raw_size: tuple[int, int] | None = None
    decoder: str = "cpu"
    threshold: float = 0.3
    results_threshold: float = 0.05
    overlay: bool = True
    results: bool = True
    masks: bool = False
    cutouts: str | None = None
    boxes: bool = False
    style: DrawingStyle = field(default_factory=DrawingStyle)
    overwrite: bool = False

    def as_json(self) -> dict[str, Any]:
        """All of them that change what is written."""
        settings = asdict(self)
        del settings["overwrite"], settings["decoder"]
        part = settings.pop("part")
        return {**part, **settings, "raw_size": self.raw_size and list(self.raw_size)}
