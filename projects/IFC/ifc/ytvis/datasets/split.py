# SPDX-License-Identifier: Apache-2.0
"""Splits a data set in YTVIS's format by video into a part to train on and a part to validate on.

The classes are balanced: each should have the same share of its tracks in the validation part as there is of videos,
but a track at least if it has two videos. From a choice by chance on, a video of one part is swapped for one of the
other as long as that lowers the sum, over the classes, of the squared numbers of tracks that are too many or too few,
divided by the class's number of tracks. Chance comes from a hash of the seed and the videos' ids, so that a split
depends on nothing else: not on the order in the json, the machine, or any version.
"""

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..faults import FaultLog
from ..files import file_hash, read_json, whole_file, write_json
from ..format import Structure, read_structure
from ..values import brief

WEIGHT_SCALE = 100_000  # of the classes' weights, in whole numbers
MAX_PASSES = 100  # over all videos; a few are enough


@dataclass(frozen=True)
class Dataset:
    """A data set that can be split.

    Attributes:
        content: the json's.
        structure: the same, by video.
        source: the json's path.
    """

    content: dict[str, Any]
    structure: Structure
    source: str

    @property
    def folders(self) -> dict[int, str]:
        """The folder of each video's frames, by id: the name that people know the video by."""
        return {video.video_id: str(PurePosixPath(video.file_names[0]).parent) for video in self.structure.videos}

    @cached_property
    def sha256(self) -> str:
        """Of the json's bytes."""
        return file_hash(self.source)

    def tracks(self) -> dict[int, Counter[int]]:
        """By video id, the number of tracks of each category.

        Raises:
            ValueError: the split has no annotations.
        """
        if not self.structure.has_annotations:
            raise ValueError(f"{self.source}: annotations: found none, expected those that the classes are counted by")
        return {
            video.video_id: Counter(annotation["category_id"] for _, annotation in video.annotations)
            for video in self.structure.videos
        }


def read_dataset(json_file: str | os.PathLike) -> Dataset:
    """Read a json in YTVIS's format whose ids are in order.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no json, or has faults of ids or fields; the first one is named.
    """
    content = read_json(json_file)
    log = FaultLog()
    structure = read_structure(content, log)
    log.refuse(str(json_file))
    return Dataset(content, structure, str(json_file))


def choose_videos(tracks: Mapping[int, Mapping[int, int]], num_val: int, seed: int) -> set[int]:
    """The videos to validate on.

    Args:
        tracks: by video id, the number of tracks of each category.
        num_val: how many videos are chosen; the number is met exactly.
        seed: every seed gives another choice.

    Raises:
        ValueError: one of the parts would be empty.
    """
    if not 0 < num_val < len(tracks):
        raise ValueError(f"validation videos: found {num_val}, expected 1 to {len(tracks) - 1} of {len(tracks)} videos")
    order = sorted(tracks, key=lambda video_id: hashlib.sha256(f"{seed}:{video_id}".encode()).digest())
    categories = sorted({category for counts in tracks.values() for category in counts})
    counts = np.array([[tracks[video_id].get(category, 0) for category in categories] for video_id in order])
    counts = counts.reshape(len(order), len(categories)).astype(np.int64)
    val, train = np.arange(num_val), np.arange(num_val, len(order))
    # All in whole numbers, as rounding may differ from machine to machine: tracks are counted in units of 1 / videos.
    totals, num_videos = counts.sum(axis=0), len(order)
    in_several = (counts > 0).sum(axis=0) > 1
    wanted = np.where(in_several, np.maximum(num_val * totals, num_videos), num_val * totals)
    surplus = num_videos * counts[val].sum(axis=0) - wanted
    weights = np.maximum(WEIGHT_SCALE // np.maximum(totals, 1), 1)
    for _ in range(MAX_PASSES):
        has_changed = False
        for place, video in enumerate(val):
            gain = counts[train] - counts[video]  # (train videos, categories), of tracks by a swap
            change = ((2 * surplus + num_videos * gain) * gain) @ weights
            best = int(change.argmin())
            if change[best] < 0:
                surplus += num_videos * gain[best]
                val[place], train[best] = train[best], video
                has_changed = True
        if not has_changed:
            break
    return {order[video] for video in val}


def balance(dataset: Dataset, val: set[int]) -> dict[str, tuple[int, int]]:
    """Tracks of each category, by name, in the part to train on and in the part to validate on."""
    parts: tuple[Counter[int], Counter[int]] = (Counter(), Counter())
    for video_id, counts in dataset.tracks().items():
        parts[video_id in val].update(counts)
    categories = sorted(dataset.structure.categories.items())
    return {name: (parts[0][category_id], parts[1][category_id]) for category_id, name in categories}


def part_content(dataset: Dataset, video_ids: set[int]) -> dict[str, Any]:
    """The json of some of the videos, with their annotations if there are any; everything else stays as it is."""
    content = dataset.content | {"videos": [v for v in dataset.content["videos"] if v["id"] in video_ids]}
    if dataset.structure.has_annotations:
        content["annotations"] = [entry for entry in content["annotations"] if entry["video_id"] in video_ids]
    return content


def split_record(dataset: Dataset, val: set[int], options: Mapping[str, Any]) -> dict[str, Any]:
    """What is written beside a split, so that it can be made again and cited: source, options and videos."""
    listed = [{"id": video_id, "folder": folder} for video_id, folder in sorted(dataset.folders.items())]
    return {
        "source": os.path.basename(dataset.source),
        "source_sha256": dataset.sha256,
        **options,
        "train": [video for video in listed if video["id"] not in val],
        "val": [video for video in listed if video["id"] in val],
    }


def read_split_record(path: str | os.PathLike, dataset: Dataset) -> tuple[set[int], bool]:
    """The videos to validate on, as listed in a record.

    Returns:
        their ids, and whether the data set is the very file that the record was made of.

    Raises:
        OSError: the record cannot be read.
        ValueError: it is no record of a split, or not of this data set.
    """
    record = read_json(path)
    if not isinstance(record, dict):
        raise ValueError(f"{path}: found {brief(record)}, expected the record of a split")
    parts = {key: _listed_videos(record.get(key), f"{path}: {key}", dataset) for key in ("train", "val")}
    both = parts["train"] & parts["val"]
    if both:
        raise ValueError(f"{path}: found video {min(both)} in train and in val, expected it in one of them")
    missing = set(dataset.folders) - parts["train"] - parts["val"]
    if missing:
        found = f"{len(missing)} of {len(dataset.folders)} videos in neither train nor val, such as {min(missing)}"
        raise ValueError(f"{path}: found {found}, expected each video of {dataset.source}")
    return parts["val"], record.get("source_sha256") == dataset.sha256


def _listed_videos(listed: Any, place: str, dataset: Dataset) -> set[int]:
    if not isinstance(listed, list):
        raise ValueError(f"{place}: found {brief(listed)}, expected a list of videos")
    folders = dataset.folders
    ids = set()
    for index, entry in enumerate(listed):
        video_id = entry.get("id") if isinstance(entry, dict) else entry
        if type(video_id) is not int or video_id not in folders:
            raise ValueError(f"{place}[{index}]: found {brief(entry)}, expected a video of {dataset.source}")
        if video_id in ids:
            raise ValueError(f"{place}[{index}]: found video {video_id} a second time, expected it once")
        if isinstance(entry, dict) and entry.get("folder", folders[video_id]) != folders[video_id]:
            found = f"video {video_id} in folder {brief(entry['folder'])}"
            raise ValueError(f"{place}[{index}]: found {found}, expected {brief(folders[video_id])}, as the json says")
        ids.add(video_id)
    return ids


def write_split(folder: Path, dataset: Dataset, val: set[int], options: Mapping[str, Any]) -> None:
    """Write train.json, val.json and split.json, or none of them: parts of two splits may share videos.

    Raises:
        OSError: one cannot be written.
        ValueError: the data set has a number that json does not know.
    """
    contents = {
        "train": part_content(dataset, set(dataset.folders) - val),
        "val": part_content(dataset, val),
        "split": split_record(dataset, val, options),
    }
    with contextlib.ExitStack() as stack:
        for name, content in contents.items():
            style = {"indent": 1} if name == "split" else {"separators": (",", ":")}
            try:
                write_json(stack.enter_context(whole_file(folder / f"{name}.json")), content, **style)
            except ValueError:
                found = "a number that is not finite (`ifc data check` tells where)"
                raise ValueError(f"{dataset.source}: found {found}, expected those that json knows") from None


def select_long(json_file: str | os.PathLike, short_file: str | os.PathLike) -> dict[str, Any]:
    """The part of a split whose videos another split does not have; videos are told apart by their frames' folders.

    Raises:
        OSError: a file cannot be read.
        ValueError: one is no split, or they have no videos in common, or no others.
    """
    dataset, short = read_dataset(json_file), read_dataset(short_file)
    short_folders = set(short.folders.values())
    long_ids = {video_id for video_id, folder in dataset.folders.items() if folder not in short_folders}
    if not 0 < len(long_ids) < len(dataset.folders):
        which = "all" if not long_ids else "none"
        found = f"{which} of its {len(dataset.folders)} videos in {short_file}"
        raise ValueError(f"{json_file}: found {found}, expected some")
    return part_content(dataset, long_ids)
