# SPDX-License-Identifier: Apache-2.0
"""The results of many videos, as `ifc segment` writes them, as one file of results.

What is kept of a video is its name and its size. Its tracks are copied from file to file.
"""

import mmap
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from .faults import FaultLog
from .files import read_json, refuse_input, whole_file, write_json
from .format import Video, read_structure
from .images import natural_order
from .segmented_video import FINISHED, MANIFEST_FILE, PART_SUFFIX, RESULTS_FILE, checked_manifest, read_categories
from .values import brief, expect, is_integer

_DECISIVE = ("start", "end", "every", "results_threshold", "model")  # settings that results depend on
_ENTRY = b'{"video_id": 1, '  # which each line begins with but the first and the last


@dataclass(frozen=True)
class Merged:
    """What became of it.

    Attributes:
        num_videos: that have results.
        num_tracks: of all of them.
        videos_file: which says what video an id is of, where no annotations do.
        remarks: what is not wrong, but may not be meant.
    """

    num_videos: int
    num_tracks: int
    videos_file: Path | None
    remarks: list[str]


@dataclass(frozen=True, slots=True)
class _Segmented:
    """A video that is finished; its `size` is (height, width)."""

    folder: Path
    source: str
    size: tuple[int, int]
    num_frames: int


def merge_results(
    outputs: Sequence[str | os.PathLike],
    results_file: str | os.PathLike,
    annotations: str | os.PathLike | None = None,
    allow_gaps: bool = False,
) -> Merged:
    """Write one file of results, whole or not at all.

    Args:
        outputs: folders of `ifc segment`.
        results_file: to write.
        annotations: a json in YTVIS's format, which has the ids: a video is the one whose frames lie in a folder that
            is called as the input is, without its suffix. Results of videos that it does not list are left out. None to
            number the videos in the natural order of their inputs, and to write such a json, without annotations, too.
        allow_gaps: leave out videos that are not finished, and do without some of `annotations`.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: the first fault found: a video that comes twice, that is missing, that has another size, number of
            frames or classes than in `annotations`, or that was made with other weights or settings than the others.
    """
    folders, remarks = _find_folders(outputs)
    videos, made_by = _read_videos(folders, allow_gaps, remarks)
    threshold = made_by["settings.results_threshold"]
    if threshold:
        remarks.append(f"made with --results-threshold {threshold}: AP lacks the results below it, 0 keeps all")
    if annotations is None:
        by_id = dict(enumerate(sorted(videos, key=lambda video: natural_order(video.source)), start=1))
    else:
        refuse_input(results_file, [annotations])
        by_id = _by_id(videos, made_by["categories"], os.fspath(annotations), allow_gaps, remarks)
    num_tracks = 0
    with whole_file(results_file) as partial, open(partial, "wb") as file:
        for video_id, video in sorted(by_id.items()):
            path = video.folder / RESULTS_FILE
            refuse_input(results_file, [path])
            num_tracks += _copy(path, video_id, file, is_first=not num_tracks)
        file.write(b"\n]\n" if num_tracks else b"[]\n")
    videos_file = None
    if annotations is None:
        videos_file = Path(results_file).with_suffix(".videos.json")
        write_json(videos_file, _as_split(by_id, made_by["categories"]), indent=1)
    return Merged(len(by_id), num_tracks, videos_file, remarks)


def _find_folders(outputs: Sequence[str | os.PathLike]) -> tuple[list[Path], list[str]]:
    """The folder of each video, in natural order, and remarks."""
    folders, remarks = [], []
    for output in map(Path, outputs):
        names = sorted(os.listdir(output), key=natural_order)
        found = [output / name for name in names if (output / name / MANIFEST_FILE).is_file()]
        parts = [folder for folder in found if folder.name.endswith(PART_SUFFIX)]
        if parts:
            remarks.append(f"{_some(parts)}: passed over, as a run is at it or was killed")
        expect(len(found) > len(parts), output, None, f"folders that ifc segment has written, with {MANIFEST_FILE}")
        folders += [folder for folder in found if folder not in parts]
    return folders, remarks


def _read_videos(
    folders: Sequence[Path], allow_gaps: bool, remarks: list[str]
) -> tuple[list[_Segmented], dict[str, Any]]:
    """The videos that are finished, each once, and how all of them were made."""
    finished: dict[str, _Segmented] = {}
    unfinished: dict[str, str] = {}
    first, made_by = "", {}
    for folder in folders:
        name, manifest = f"{folder / MANIFEST_FILE}", checked_manifest(folder)
        source, size = manifest["input"], (manifest["height"], manifest["width"])
        if manifest["status"] != FINISHED:
            unfinished[source] = f"{folder} ({manifest['status']})"
            continue
        if source in finished:
            raise ValueError(
                f"{folder}: found results of {source}, as in {finished[source].folder}, expected one of them"
            )
        num_frames, own = manifest.get("num_frames"), _made_by(manifest, name)
        expect(is_integer(num_frames) and num_frames > 0, f"{name}: num_frames", num_frames, "a number of frames")
        first, made_by = first or name, made_by or own
        for key in sorted(own.keys() | made_by.keys()):
            expected = f"{brief(made_by.get(key))}, as {first} has"
            expect(own.get(key) == made_by.get(key), f"{name}: {key}", own.get(key), expected)
        finished[source] = _Segmented(folder, source, size, num_frames)
    gaps = [text for source, text in unfinished.items() if source not in finished]
    _allow(allow_gaps, gaps, "not finished", remarks)
    expect(finished, folders[0], None, "a video that is finished")
    return list(finished.values()), made_by


def _made_by(manifest: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What results depend on besides the video, by the place in video.json; also each key of the model's config."""
    settings = manifest.get("settings")
    expect(isinstance(settings, Mapping), f"{name}: settings", settings, "an object")
    return {
        "weights_sha256": manifest.get("weights_sha256"),
        "categories": read_categories(manifest.get("categories"), f"{name}: categories"),
        **dict(leaf for key in _DECISIVE for leaf in _leaves(settings.get(key), f"settings.{key}")),
    }


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """The values in objects in objects, with their places."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{place}.{key}")
    else:
        yield place, value


def _by_id(
    videos: Sequence[_Segmented], categories: dict[int, str], annotations: str, allow_gaps: bool, remarks: list[str]
) -> dict[int, _Segmented]:
    """The videos by the ids that annotations give them, checked against these."""
    log = FaultLog()
    structure = read_structure(read_json(annotations), log)
    log.refuse(annotations)
    for id_, name in categories.items():
        expected = f"{brief(name)}, as in {videos[0].folder}"
        found = structure.categories.get(id_)
        expect(found == name, f"{annotations}: category {id_}", found, expected)
    named: dict[str, list[Video]] = defaultdict(list)
    for video in structure.videos:
        named[_folder(video).name].append(video)
    by_id: dict[int, _Segmented] = {}
    strangers = []
    for segmented in videos:
        video = _find(segmented, named, annotations)
        if video is None:
            strangers.append(str(segmented.folder))
            continue
        twice = by_id.setdefault(video.video_id, segmented)
        if twice is not segmented:
            raise ValueError(f"{segmented.folder}, {twice.folder}: found two of {_folder(video)}, expected one")
        found, expected = (segmented.num_frames, *segmented.size), (video.length, *video.size)
        place = f"{segmented.folder}: frames, height, width"
        expect(found == expected, place, found, f"{expected}, as {annotations} has for {_folder(video)}")
    if strangers:
        remarks.append(f"{_some(strangers)}: not in {annotations}, and left out")
    missing = [str(_folder(video)) for video in structure.videos if video.video_id not in by_id]
    _allow(allow_gaps, missing, f"no results, but in {annotations}", remarks)
    return by_id


def _folder(video: Video) -> PurePosixPath:
    """Of a video's frames, by which people know it."""
    return PurePosixPath(video.file_names[0]).parent


def _find(segmented: _Segmented, named: Mapping[str, list[Video]], annotations: str) -> Video | None:
    """The video of the annotations that an input is; where several folders have its name, by the folders above."""
    path = PurePosixPath(Path(segmented.source).as_posix())
    candidates = named.get(path.name) or named.get(path.stem) or []
    if len(candidates) > 1:
        whole = f"/{path}", f"/{path.with_suffix('')}"
        fitting = [video for video in candidates if any(each.endswith(f"/{_folder(video)}") for each in whole)]
        if len(fitting) != 1:
            folders = _some([str(_folder(video)) for video in candidates])
            raise ValueError(f"{annotations}: found {folders} for {segmented.source}, expected one that it ends in")
        return fitting[0]
    return candidates[0] if candidates else None


def _copy(path: Path, video_id: int, file: BinaryIO, is_first: bool) -> int:
    """Append the tracks of a video; how many they are."""
    expect(path.is_file() and path.stat().st_size, path, None, f"{RESULTS_FILE}, which --no-results leaves out")
    num_tracks = 0
    with open(path, "rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = content.find(b"\n") + 1
        while content[place : place + len(_ENTRY)] == _ENTRY:
            end = content.find(b"\n", place)
            file.write(b"[\n" if is_first and not num_tracks else b",\n")
            file.write(b'{"video_id": %d, ' % video_id)
            with memoryview(content) as view:
                file.write(view[place + len(_ENTRY) : end - (content[end - 1 : end] == b",")])
            num_tracks, place = num_tracks + 1, end + 1
        is_whole = content[place:] == b"]\n" if num_tracks else content[:] == b"[]\n"
        expect(is_whole, f"{path}: byte {place}", content[place : place + 20], "what ifc segment writes")
    return num_tracks


def _as_split(by_id: Mapping[int, _Segmented], categories: Mapping[int, str]) -> dict[str, Any]:
    """The videos as annotations without objects, from which results can be checked."""
    videos = [
        {
            "id": video_id,
            "height": video.size[0],
            "width": video.size[1],
            "length": video.num_frames,
            "input": video.source,
        }
        for video_id, video in by_id.items()
    ]
    return {"videos": videos, "categories": [{"id": id_, "name": name} for id_, name in categories.items()]}


def _allow(is_allowed: bool, gaps: Sequence[str], what: str, remarks: list[str]) -> None:
    """Remark what is missing, or raise ValueError."""
    if gaps and not is_allowed:
        raise ValueError(f"{_some(gaps)}: {what} (--allow-gaps does without)")
    if gaps:
        remarks.append(f"{_some(gaps)}: {what}")


def _some(names: Sequence[Any]) -> str:
    """The first of some names, and how many more there are."""
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else str(names[0])
