# SPDX-License-Identifier: Apache-2.0
"""Masks of the boxes and polygons that annotation programs draw."""

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

import numpy as np
from pycocotools import mask as mask_utils

from ..images import video_frames
from ..masks import fill_polygons, to_segmentation
from ..tracked_video import Rle, encode
from ..values import brief


def box_mask(left: float, top: float, right: float, bottom: float, size: tuple[int, int]) -> Rle | None:
    """The pixels whose centers lie in a box, with edges in pixels from the frame's corner; None if there are none."""
    (first_row, last_row), (first_column, last_column) = (
        (min(max(math.ceil(edge - 0.5), 0), extent) for edge in edges)
        for edges, extent in (((top, bottom), size[0]), ((left, right), size[1]))
    )
    if first_row >= last_row or first_column >= last_column:
        return None
    mask = np.zeros(size, dtype=bool)
    mask[first_row:last_row, first_column:last_column] = True
    return encode(mask)


def rotated_box_mask(
    box: Sequence[float], degrees: float, pivot: tuple[float, float], size: tuple[int, int], place: str
) -> Rle | None:
    """The mask of a box (left, top, right, bottom) that is turned clockwise around `pivot` (x, y).

    Raises:
        ValueError: as for `polygon_mask`.
    """
    if degrees % 360 == 0:
        return box_mask(*box, size)
    left, top, right, bottom = box
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    points = []
    for x, y in ((left, top), (right, top), (right, bottom), (left, bottom)):
        x, y = x - pivot[0], y - pivot[1]
        points += [float(pivot[0] + cosine * x - sine * y), float(pivot[1] + sine * x + cosine * y)]
    return polygon_mask(points, size, place)


def polygon_mask(points: Sequence[float], size: tuple[int, int], place: str) -> Rle | None:
    """The mask of a polygon x, y, x, y, ... of 3 points or more, as COCO fills it; None if it has no pixel.

    Raises:
        ValueError: it is far out of the frame, or its outline is longer than that of any real one. The message begins
            with `place`.
    """
    try:
        rle = fill_polygons([list(points)], size)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    if mask_utils.area(rle) == 0:
        return None
    return to_segmentation(rle)


def find_frames(
    image_root: str | os.PathLike, candidates: Iterable[str], place: str, used: dict[str, str]
) -> tuple[list[str], tuple[int, int]]:
    """The frames of a video that is known by one of several names.

    Args:
        image_root: the folder that has a folder for each video.
        candidates: names that the folder may have; the first that exists is taken.
        place: of the video, for the error.
        used: the folders that other videos have, by name, with those videos' places; the found one is added.

    Returns:
        the paths of the frames, relative to `image_root`, and their size (height, width).

    Raises:
        ValueError: there is no such folder, no frame in it, or another video has it.
    """
    names = [name for name in dict.fromkeys(candidates) if name != ".." and PurePosixPath(name).name == name]
    found = next((name for name in names if os.path.isdir(os.path.join(image_root, name))), None)
    if found is None:
        expected = " or ".join(map(brief, names)) or "one named by its video"
        raise ValueError(f"{place}: found no folder of its frames in {image_root}, expected {expected}")
    if found in used:
        raise ValueError(f"{place}: found the frames of {used[found]}, {found}, expected a folder of its own")
    used[found] = place
    return video_frames(image_root, found)
