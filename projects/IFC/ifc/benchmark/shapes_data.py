# SPDX-License-Identifier: Apache-2.0
"""Videos and annotations of any size, of a few rendered shapes. Needs no torch."""

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..ytvis.datasets.shapes import render_video, write_ytvis
from ..ytvis.files import write_json

RENDERED_FRAMES = 12  # of a video, which are shown there and back again and again: every part is as hard as every other
FRAMES = Path("train") / "JPEGImages"
INSTANCES = 3  # of a rendered video: more would hide one another

Item = TypeVar("Item")
Content = dict[str, Any]


def there_and_back(items: Sequence[Item], length: int) -> Iterator[Item]:
    """The items forwards and backwards, again and again, `length` of them."""
    return itertools.islice(itertools.cycle([*items, *items[-2:0:-1]]), length)


def moving_shapes(length: int, size: tuple[int, int], num_instances: int, rendered: int) -> Iterator[np.ndarray]:
    """`length` RGB frames of `size` (height, width), of which the first `rendered` differ."""
    return there_and_back(render_video(0, *size, min(length, rendered), num_instances=num_instances).frames, length)


def render_content(folder: Path, num_videos: int, size: tuple[int, int], length: int = RENDERED_FRAMES) -> Content:
    """Render videos of shapes: what YouTube-VIS's json would hold. The frames are in `folder` / `FRAMES`."""
    shape = {"image_size": size, "length": min(length, RENDERED_FRAMES), "num_instances": INSTANCES}
    return json.loads(write_ytvis(folder, "train", num_videos, seed=0, num_workers=2, **shape).read_text())


def stretched(content: Content, num_videos: int, num_tracks: int, length: int, num_categories: int) -> Content:
    """As many videos of `length` frames, tracks and categories, made of those of `content`, used again and again."""
    videos = [
        video | {"id": number + 1, "length": length, "file_names": list(there_and_back(video["file_names"], length))}
        for number, video in zip(range(num_videos), itertools.cycle(content["videos"]), strict=False)
    ]
    tracks = []
    for number, track in zip(range(num_tracks), itertools.cycle(content["annotations"]), strict=False):
        lists = {key: list(there_and_back(track[key], length)) for key in ("segmentations", "bboxes", "areas")}
        ids = {"id": number + 1, "video_id": number % num_videos + 1, "category_id": number % num_categories + 1}
        tracks.append(track | ids | lists | {"length": length})
    categories = [{"id": number, "name": f"category {number}"} for number in range(1, num_categories + 1)]
    return {"videos": videos, "categories": categories, "annotations": tracks}


def write_dataset(
    folder: Path, num_videos: int, size: tuple[int, int], length: int, num_instances: int, num_categories: int
) -> tuple[str, str]:
    """Write a data set of videos with so many instances each. Returns its json file and the folder of its frames."""
    content = render_content(folder, num_videos, size, length)
    json_file = folder / "dataset.json"
    write_json(json_file, stretched(content, num_videos, num_videos * num_instances, length, num_categories))
    return str(json_file), str(folder / FRAMES)
