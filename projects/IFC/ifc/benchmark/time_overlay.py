# SPDX-License-Identifier: Apache-2.0
"""Overlays: what drawing adds to decoding and encoding a video, which have a thread each beside it. Needs no torch."""

import itertools
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

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
EVERYTHING = DrawingStyle(boxes=True, trails=True, dim_background=True)
BASE = "decoding, encoding"

Item = TypeVar("Item")
Objects = Sequence[DrawnObject]


def run(args: Namespace) -> Report:
    """Make an overlay of a video with `args.instances` tracks of `args.size`, and parts of that work alone. They take
    turns, and the fastest of `args.repeat` runs counts."""
    size = tuple(args.size)
    with tempfile.TemporaryDirectory() as folder:
        clip, objects = make_clip(Path(folder) / "clip.mp4", size, args.length, args.instances)
        frames = list(VideoReader(clip))
        overlay = Path(folder) / "overlay.mp4"
        works: dict[str, Callable[[], None]] = {
            "decoding": lambda: consume(VideoReader(clip)),
            "encoding": lambda: write(frames, overlay),
            BASE: lambda: write(ahead(VideoReader(clip)), overlay),
            "with drawing": lambda: write(drawn(ahead(zip(VideoReader(clip), objects, strict=True)), size), overlay),
            "drawing alone": lambda: consume(drawn(zip(frames, objects, strict=True), size)),
            "drawing all": lambda: consume(drawn(zip(frames, objects, strict=True), size, EVERYTHING)),
        }
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


def drawn(
    items: Iterable[tuple[np.ndarray, Objects]], size: tuple[int, int], style: DrawingStyle | None = None
) -> Iterator[np.ndarray]:
    """The frames of a video of `size` (height, width), each with its objects drawn."""
    drawer = TrackDrawer(*size, style or DrawingStyle())
    return itertools.starmap(drawer.draw, items)


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The items, made by a thread beside the caller."""
    return read_ahead(lambda item: item, items)


def write(frames: Iterable[np.ndarray], path: Path) -> None:
    """Encode a video."""
    with VideoWriter(path, FRAME_RATE) as writer:
        consume(map(writer.write, frames))


def consume(items: Iterable) -> None:
    """Go through all items and keep none."""
    for _ in items:
        pass
