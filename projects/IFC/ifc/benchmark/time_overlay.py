# SPDX-License-Identifier: Apache-2.0
"""Overlays: what drawing adds to decoding and encoding a video. Needs no torch."""

import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from ..video import VideoReader, VideoWriter
from ..video.read_ahead import read_ahead
from ..ytvis.datasets.shapes import render_video
from ..ytvis.drawing import DrawingStyle, DrawnObject, TrackDrawer
from ..ytvis.tracked_video import encode
from .measuring import Report, timed
from .shapes_data import there_and_back

RENDERED_FRAMES = 30
FRAME_RATE = 30
STYLES = {
    "drawing alone": DrawingStyle(),
    "drawing all": DrawingStyle(boxes=True, trails=True, dim_background=True),
}
BASE = "decoding, encoding"

Objects = Sequence[DrawnObject]


def run(args: Namespace) -> Report:
    """Make an overlay of a video with `args.instances` tracks of `args.size`, and parts of that work alone. They take
    turns, and the fastest of `args.repeat` runs counts."""
    with tempfile.TemporaryDirectory() as folder:
        clip, objects = make_clip(Path(folder) / "clip.mp4", tuple(args.size), args.length, args.instances)
        frames = list(VideoReader(clip))
        overlay = Path(folder) / "overlay.mp4"
        works: dict[str, Callable[[], None]] = {
            "decoding": lambda: consume(VideoReader(clip)),
            "encoding": lambda: write(frames, overlay),
            BASE: lambda: write(read_ahead(np.asarray, VideoReader(clip)), overlay),
            "with drawing": lambda: write(drawn(VideoReader(clip), objects), overlay),
        }
        for name, style in STYLES.items():
            works[name] = lambda style=style: consume(map(drawing(args.size, style), zip(frames, objects, strict=True)))
        fastest: Report = {}
        for _ in range(args.repeat):
            for name, work in works.items():
                _, seconds, cpu_seconds = timed(work)
                column = {"frames a second": args.length / seconds, "CPU ms a frame": 1000 * cpu_seconds / args.length}
                fastest[name] = max(column, fastest.get(name, column), key=lambda column: column["frames a second"])
    for column in fastest.values():
        column[f"times {BASE}"] = column["frames a second"] / fastest[BASE]["frames a second"]
    return fastest


def make_clip(path: Path, size: tuple[int, int], length: int, num_instances: int) -> tuple[Path, list[Objects]]:
    """Write a video of moving shapes. Returns its path and the objects of each frame."""
    video = render_video(0, *size, min(length, RENDERED_FRAMES), num_instances=num_instances)
    objects = [
        [DrawnObject(number, f"shape #{number}", encode(mask)) for number, mask in enumerate(masks, 1) if mask.any()]
        for masks in video.masks.swapaxes(0, 1)
    ]
    write(there_and_back(video.frames, length), path)
    return path, list(there_and_back(objects, length))


def drawing(size: tuple[int, int], style: DrawingStyle) -> Callable[[tuple[np.ndarray, Objects]], np.ndarray]:
    """What draws the frames of a video with their objects, in order."""
    drawer = TrackDrawer(*size, style)
    return lambda frame_and_objects: drawer.draw(*frame_and_objects)


def drawn(video: VideoReader, objects: Iterable[Objects]) -> Iterable[np.ndarray]:
    """The drawn frames of a video: a thread decodes and another one draws, beside the caller."""
    return read_ahead(drawing(video.size, DrawingStyle()), zip(video, objects, strict=True))


def write(frames: Iterable[np.ndarray], path: Path) -> None:
    """Encode a video."""
    with VideoWriter(path, FRAME_RATE) as writer:
        consume(map(writer.write, frames))


def consume(items: Iterable) -> None:
    """Go through all items and keep none."""
    for _ in items:
        pass
