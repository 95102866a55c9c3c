# SPDX-License-Identifier: Apache-2.0
"""Results as YouTube-VIS's servers take them: read and checked against the videos and categories of a split."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..faults import FaultLog
from ..files import load_json
from ..format import read_reference
from ..ground_truth import GroundTruth, Key, MaskTrack, mean_area
from ..masks import read_masks
from ..values import brief, is_list, is_number

MAX_SCORE = 1e100  # any scale will do, as long as sums stay numbers

ResultsSource = str | os.PathLike | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ResultTrack(MaskTrack):
    """A track that a method found, and how sure it is of it."""

    score: float


def read_results(source: ResultsSource, ground_truth: GroundTruth) -> dict[Key, list[ResultTrack]]:
    """Read and check a json file of results, or such a list; tracks by (video id, category id), in the file's order.

    Raises:
        OSError: the file cannot be read.
        ValueError: the first fault found, with file and field.
    """
    name, records = load_results(source)
    tracks = defaultdict(list)
    for index, record in enumerate(records):
        log = FaultLog()
        track = read_result(index, record, ground_truth, log)
        log.refuse(name)
        tracks[record["video_id"], record["category_id"]].append(track)
    return dict(tracks)


def load_results(source: ResultsSource) -> tuple[str, Sequence]:
    """The name of a json file of results, for messages, and its list, whose entries are not checked yet.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no json or no list.
    """
    name, data = load_json(source, "results")
    if not is_list(data):
        raise ValueError(f"{name}: found {brief(data)}, expected a list of results")
    return name, data


def read_result(index: int, record: Any, ground_truth: GroundTruth, log: FaultLog) -> ResultTrack | None:
    """One of the results; None, with its faults in `log`, if it has any."""
    place = f"results[{index}]"
    if not isinstance(record, Mapping):
        return log.add("field", place, brief(record), "an object")
    video = read_reference(record, "video_id", ground_truth.videos, place, log)
    read_reference(record, "category_id", ground_truth.categories, place, log)
    score, segmentations = record.get("score"), record.get("segmentations")
    if not is_number(score, MAX_SCORE):
        log.add("field", f"{place}.score", brief(score), "a finite number")
    if video is None:  # without it there is nothing to check masks against
        return None
    if not is_list(segmentations):
        log.add("field", f"{place}.segmentations", brief(segmentations), "a list with an entry a frame")
    elif len(segmentations) != video.length:
        found, expected = f"{len(segmentations)} entries", f"{brief(video.length)}, one for each frame of its video"
        log.add("length", f"{place}.segmentations", found, expected)
    else:
        masks, areas, errors = read_masks(segmentations, video.size)
        for frame, error in errors.items():
            field = f"{place}.segmentations[{frame}]{error.field}"
            log.add(error.kind, field, error.found, error.expected)
    return None if log.faults else ResultTrack(masks, areas, mean_area(areas), float(score))
