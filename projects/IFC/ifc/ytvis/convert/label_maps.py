# SPDX-License-Identifier: Apache-2.0
"""Label maps: a picture for each annotated frame, in which a pixel's value is the number of its object."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from ..images import read_image
from ..tracked_video import Rle, encode
from .from_ytvis import ReadVideo

Each = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""How a function is applied to videos, in order: `map`, or `map_videos` with several processes."""


def read_label_maps(
    folder: Path,
    file_names: Sequence[str],
    size: tuple[int, int],
    modes: tuple[str, ...],
    is_object: Callable[[int, Path], bool],
) -> tuple[dict[int, list[Rle | None]], list[bool]]:
    """The objects of a video with a PNG for each annotated frame, named as the frame is.

    Args:
        folder: of the PNGs.
        file_names: of the T frames.
        size: of the frames, (height, width).
        modes: Pillow's names of the pixel formats that are expected.
        is_object: whether a value in a PNG is the number of an object; may raise ValueError.

    Returns:
        T masks by number of the object, in ascending order, and on which of the T frames there is a PNG.

    Raises:
        ValueError: there is no PNG, or one that has no frame, is damaged or of another kind.
    """
    frames = {PurePosixPath(name).stem: frame for frame, name in enumerate(file_names)}
    masks: dict[int, list[Rle | None]] = {}
    annotated = [False] * len(file_names)
    for path in sorted(path for path in folder.glob("*") if path.suffix.lower() == ".png"):
        if path.stem not in frames:
            raise ValueError(f"{path}: found no frame {path.stem}, expected one for each PNG")
        frame = frames[path.stem]
        annotated[frame] = True
        pixels = read_image(path, modes, size)
        for number in np.flatnonzero(np.bincount(pixels.ravel(), minlength=1)).tolist():
            if is_object(number, path):
                masks.setdefault(number, [None] * len(file_names))[frame] = encode(pixels == number)
    if not any(annotated):
        raise ValueError(f"{folder}: found no PNG, expected one for each annotated frame")
    return dict(sorted(masks.items())), annotated


def write_label_maps(
    folder: Path, video: ReadVideo, numbers: Sequence[int], dtype: type, palette: bytes | None = None
) -> list[int]:
    """Write a PNG for each annotated frame of a video. Where objects overlap, the one that is listed later is in front.

    Args:
        folder: for the PNGs, made if missing.
        video: the video.
        numbers: of each of its tracks.
        dtype: of the pixels.
        palette: the colors that the numbers stand for.

    Returns:
        on each frame, how many pixels belong to several objects.
    """
    folder.mkdir(parents=True, exist_ok=True)
    overlaps = []
    for frame in video.written:
        labels, overlap = np.zeros(video.size, dtype), np.zeros(video.size, bool)
        for number, (_, _, track) in zip(numbers, video.tracks, strict=True):
            if track.masks[frame] is not None:
                mask = mask_utils.decode(track.masks[frame]).astype(bool)
                overlap |= mask & (labels != 0) & (labels != number)
                labels[mask] = number
        picture = Image.fromarray(labels)
        if palette is not None:
            picture.putpalette(palette)
        picture.save(folder / f"{video.stems[frame]}.png")
        overlaps.append(int(overlap.sum()))
    return overlaps


def overlap_remarks(overlaps: Iterable[Sequence[int]]) -> list[str]:
    """What to say of pixels that belong to several objects, from their number on each frame of each video."""
    frames = [pixels for video in overlaps for pixels in video if pixels]
    if not frames:
        return []
    text = f"{sum(frames)} pixels of {len(frames)} frames belong to several objects; the one listed last is written"
    return [f"{text}, as a label map holds one"]
