# SPDX-License-Identifier: Apache-2.0
"""YTVIS's json, read to be written as label maps: pictures in which a pixel's value is the number of its object."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from ..faults import FaultLog
from ..files import read_json
from ..format import Video, read_structure
from ..masks import require_masks
from ..values import brief


@dataclass(frozen=True)
class ReadVideo:
    """A video of T frames of a json, to be written in another format.

    Attributes:
        folder: of its frames, relative to the folder of all frames.
        stems: (T,) names of its frames without folder and ending.
        size: (height, width) in pixels.
        written: indices of the frames that get annotations.
        annotations: (place in the json, entry), checked to have T segmentations.
    """

    folder: str
    stems: list[str]
    size: tuple[int, int]
    written: list[int]
    annotations: list[tuple[str, dict[str, Any]]]


def read_ytvis(json_file: str | os.PathLike) -> tuple[list[ReadVideo], dict[int, str]]:
    """The videos of a json in YTVIS's format, and the names of its categories by id.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such json, or its frames' paths cannot be folders and names in another place.
    """
    log = FaultLog()
    structure = read_structure(read_json(json_file), log)
    log.refuse(str(json_file))
    videos, places = [], {}
    for video in structure.videos:
        read = _read_video(video, json_file)
        place = f"{json_file}: videos[{video.index}]"
        if read.folder in places:
            raise ValueError(
                f"{place}: found frames in {read.folder}, expected another folder than {places[read.folder]}"
            )
        places[read.folder] = f"videos[{video.index}]"
        videos.append(read)
    return videos, structure.categories


def _read_video(video: Video, json_file: str | os.PathLike) -> ReadVideo:
    place = f"{json_file}: videos[{video.index}].file_names"
    stems, folders = [], set()
    for frame, name in enumerate(video.file_names):
        path = PurePosixPath(name) if isinstance(name, str) and _is_encodable(name) else None
        if path is None or path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
            raise ValueError(f"{place}[{frame}]: found {brief(name)}, expected FOLDER/FRAME, relative")
        if path.stem in stems[-1:]:
            raise ValueError(f"{place}[{frame}]: found {brief(name)}, expected another name than the frame before")
        folders.add(str(path.parent))
        stems.append(path.stem)
    if len(folders) > 1 or len(set(stems)) < len(stems):
        raise ValueError(f"{place}: found {len(folders)} folders, {len(set(stems))} names, expected 1 and {len(stems)}")
    annotations = []
    for index, annotation in video.annotations:
        own = f"{json_file}: annotations[{index}]"
        segmentations = annotation.get("segmentations")
        if not isinstance(segmentations, list) or len(segmentations) != len(stems):
            found = f"{len(segmentations)} entries" if isinstance(segmentations, list) else brief(segmentations)
            raise ValueError(f"{own}.segmentations: found {found}, expected a list of {len(stems)}, one a frame")
        annotations.append((own, annotation))
    written = video.entry.get("annotated_frames", list(range(len(stems))))
    if not isinstance(written, list) or not all(type(frame) is int and 0 <= frame < len(stems) for frame in written):
        expected = f"indices of the {len(stems)} frames"
        raise ValueError(
            f"{json_file}: videos[{video.index}].annotated_frames: found {brief(written)}, expected {expected}"
        )
    return ReadVideo(folders.pop(), stems, video.size, sorted(set(written)), annotations)


def _is_encodable(name: str) -> bool:
    """Whether a name can be that of a file, and with the same folders on every system."""
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return b"\0" not in encoded and b"\\" not in encoded


def decode(segmentation: Any, size: tuple[int, int], place: str) -> np.ndarray | None:
    """The mask (H, W) bool of a json's segmentation; None for null and for an empty list.

    Raises:
        ValueError: it is malformed or of another size. The message begins with `place`.
    """
    (rle,) = require_masks([segmentation], size, place)
    return None if rle is None else mask_utils.decode(rle).astype(bool)


def label_map(video: ReadVideo, numbers: Sequence[int], frame: int, dtype: type) -> tuple[np.ndarray, int]:
    """The objects of a frame in one picture. Where they overlap, the one that the json lists later is in front.

    Args:
        video: the video.
        numbers: of each of its annotations.
        frame: index of the frame.
        dtype: of the numbers.

    Returns:
        the picture (H, W), 0 where there is no object, and how many pixels belong to more than one.
    """
    labels = np.zeros(video.size, dtype=dtype)
    overlap = np.zeros(video.size, dtype=bool)
    for number, (place, annotation) in zip(numbers, video.annotations, strict=True):
        mask = decode(annotation["segmentations"][frame], video.size, f"{place}.segmentations[{frame}]")
        if mask is not None:
            overlap |= mask & (labels != 0) & (labels != number)
            labels[mask] = number
    return labels, int(overlap.sum())
