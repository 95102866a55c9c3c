# SPDX-License-Identifier: Apache-2.0
"""Named splits of known training data, so that numbers on them can be compared from paper to paper.

The instances of the official validation videos are not public. These splits hold training videos back, by a rule that
needs nothing but the name of a video's folder: a video is held back if the SHA-256 of "ifc-dev:" and that name, as a
number, leaves less than 15 when divided by 100. A video that YouTube-VIS 2019, 2021 and 2022 have in common is therefore
held back in all of them or in none. A name stands for its rule forever: another rule gets another name.
"""

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath

from .split import Dataset

PERCENT = 15  # of the videos, about
FOLDER = "ifc-dev"  # of a data set, where its named split is looked for


@dataclass(frozen=True)
class DevSplit:
    """What a name stands for.

    Attributes:
        source: the json that it is made of.
        num_videos: how many videos that has.
    """

    source: str
    num_videos: int


DEV_SPLITS = {
    "ifc-dev-2019": DevSplit("YouTube-VIS 2019's train.json", 2238),
    "ifc-dev-2021": DevSplit("YouTube-VIS 2021's train.json", 2985),
    "ifc-dev-2022": DevSplit("YouTube-VIS 2022's train.json", 2985),
    "ifc-dev-ovis": DevSplit("OVIS's annotations_train.json", 607),
}


def is_held_back(folder: str) -> bool:
    """Whether the video whose frames lie in a folder of this name is one to validate on."""
    return int(hashlib.sha256(f"ifc-dev:{folder}".encode()).hexdigest(), 16) % 100 < PERCENT


def named_videos(name: str, dataset: Dataset) -> set[int]:
    """The videos to validate on, by id, of the split that is called `name`.

    Raises:
        ValueError: there is no such split, or `dataset` is not what it is made of.
    """
    if name not in DEV_SPLITS:
        raise ValueError(f"found {name!r}, expected one of {', '.join(DEV_SPLITS)}")
    expected, found = DEV_SPLITS[name], len(dataset.folders)
    if found != expected.num_videos:
        raise ValueError(
            f"{dataset.source}: found {found} videos, expected the {expected.num_videos} of {expected.source}, of which "
            f"{name} is made"
        )
    return {video_id for video_id, path in dataset.folders.items() if is_held_back(PurePosixPath(path).name)}
