# SPDX-License-Identifier: Apache-2.0
"""YTVIS's json, read to be written as label maps: pictures in which a pixel's value is the number of its object."""

import os
from dataclasses import dataclass
from pathlib import PurePosixPath

from ..faults import FaultLog
from ..files import read_json
from ..format import Video, annotation_log, read_structure
from ..ground_truth import AnnotatedTrack, read_annotation
from ..values import expect


@dataclass(frozen=True)
class ReadVideo:
    """A video of T frames of a json, to be written in another format.

    Attributes:
        place: where it stands.
        folder: of its frames, relative to the folder of all frames.
        stems: (T,) names of its frames without folder and ending.
        size: (height, width) in pixels.
        written: indices of the frames that get annotations.
        tracks: of its objects, each with the place in the json, and the `object_id` there.
    """

    place: str
    folder: str
    stems: list[str]
    size: tuple[int, int]
    written: list[int]
    tracks: list[tuple[str, object, AnnotatedTrack]]


def read_ytvis(json_file: str | os.PathLike) -> tuple[list[ReadVideo], dict[int, str]]:
    """The videos of a json in YTVIS's format, and the names of its categories by id.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such json, or its frames' paths cannot be folders and names in another place.
    """
    log = FaultLog()
    structure = read_structure(read_json(json_file), log)
    log.refuse(str(json_file))
    videos: dict[str, ReadVideo] = {}
    for video in (_read_video(video, str(json_file)) for video in structure.videos):
        if video.folder in videos:
            expected = f"another folder than {videos[video.folder].place}"
            raise ValueError(f"{video.place}: found frames in {video.folder}, expected {expected}")
        videos[video.folder] = video
    return list(videos.values()), structure.categories


def _read_video(video: Video, json_file: str) -> ReadVideo:
    place = f"{json_file}: videos[{video.index}]"
    stems, folders = [], set()
    for frame, name in enumerate(video.file_names):
        path, own_place = PurePosixPath(name), f"{place}.file_names[{frame}]"
        fits = _is_encodable(name) and not path.is_absolute() and ".." not in path.parts and len(path.parts) > 1
        expect(fits, own_place, name, "FOLDER/FRAME, relative")
        expect(path.stem not in stems[-1:], own_place, name, "another name than the frame before")
        folders.add(str(path.parent))
        stems.append(path.stem)
    if len(folders) > 1 or len(set(stems)) < len(stems):
        found = f"{len(folders)} folders, {len(set(stems))} names"
        raise ValueError(f"{place}.file_names: found {found}, expected 1 and {len(stems)}")
    written = video.entry.get("annotated_frames", list(range(len(stems))))
    fits = isinstance(written, list) and all(type(frame) is int and 0 <= frame < len(stems) for frame in written)
    expect(fits, f"{place}.annotated_frames", written, f"indices of the {len(stems)} frames")
    tracks = []
    for index, entry in video.annotations:
        log = annotation_log(entry)
        track = read_annotation(video, index, entry, log)
        log.refuse(json_file)
        tracks.append((f"{json_file}: annotations[{index}]", entry.get("object_id"), track))
    return ReadVideo(place, folders.pop(), stems, video.size, sorted(set(written)), tracks)


def _is_encodable(name: str) -> bool:
    """Whether a name can be that of a file, and with the same folders on every system."""
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return b"\0" not in encoded and b"\\" not in encoded
