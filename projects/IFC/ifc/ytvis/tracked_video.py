# SPDX-License-Identifier: Apache-2.0
"""What all formats are converted through: videos with the tracks of their objects, and YTVIS's json of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from .masks import Rle, to_segmentation


@dataclass(frozen=True)
class NamedTrack:
    """An object through a video of T frames.

    Attributes:
        category: its name.
        masks: T compressed RLEs, None where it is absent.
        object_id: the number that the object has in its own format; the json keeps it, for the way back.
        is_crowd: a region of several objects, or to be ignored.
    """

    category: str
    masks: list[Rle | None]
    object_id: int | None = None
    is_crowd: bool = False


@dataclass(frozen=True)
class TrackedVideo:
    """A video of T frames with its tracks.

    Attributes:
        file_names: T paths, relative to the folder of all frames, with slashes.
        size: (height, width) in pixels.
        annotated: (T,) whether somebody looked for objects on the frame; where not, all masks are None.
    """

    file_names: list[str]
    size: tuple[int, int]
    tracks: list[NamedTrack]
    annotated: list[bool] = field(default_factory=list)


def encode(mask: np.ndarray) -> Rle:
    """Compressed RLE of a mask (H, W) bool."""
    return to_segmentation(mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8)))


def category_ids(names: Iterable[str]) -> dict[str, int]:
    """Ids 1, 2, ... by name."""
    return {name: category_id for category_id, name in enumerate(names, start=1)}


def ytvis_content(
    videos: Sequence[TrackedVideo], categories: Mapping[str, int], description: str, only_annotated: bool = False
) -> dict[str, Any]:
    """YTVIS's json of videos.

    Fields that are not YTVIS's own, which readers pass over: `object_id` of an annotation, and `annotated_frames` of a
    video, the indices of the frames that were annotated, if not all were.

    Args:
        videos: in the order of their ids, 1, 2, ...
        categories: id by name.
        description: of the data set.
        only_annotated: leave out the frames that were not annotated.
    """
    video_entries, annotations = [], []
    for video_id, video in enumerate(videos, start=1):
        kept = [frame for frame, flag in enumerate(video.annotated or [True] * len(video.file_names)) if flag]
        entry = {"id": video_id, "height": video.size[0], "width": video.size[1]}
        if len(kept) < len(video.file_names) and not only_annotated:
            entry["annotated_frames"] = kept
            kept = list(range(len(video.file_names)))
        names = [video.file_names[frame] for frame in kept]
        video_entries.append({**entry, "length": len(names), "file_names": names})
        for track in video.tracks:
            masks = [track.masks[frame] for frame in kept]
            annotation = {
                "id": len(annotations) + 1,
                "video_id": video_id,
                "category_id": categories[track.category],
                "iscrowd": int(track.is_crowd),
                "height": video.size[0],
                "width": video.size[1],
                "length": len(names),
                "segmentations": masks,
                "bboxes": [mask and mask_utils.toBbox(mask).astype(int).tolist() for mask in masks],
                "areas": [mask and int(mask_utils.area(mask)) for mask in masks],
            }
            if track.object_id is not None:
                annotation["object_id"] = track.object_id
            annotations.append(annotation)
    return {
        "info": {"description": description},
        "categories": [{"id": category_id, "name": name} for name, category_id in categories.items()],
        "videos": video_entries,
        "annotations": annotations,
    }
