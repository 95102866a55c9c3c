# SPDX-License-Identifier: Apache-2.0
"""A split of the data set on disk: frames, and annotations in YouTube-VIS's and in COCO's format."""

import contextlib
import json
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from ...files import whole_file, whole_folder, write_json
from ...parallel import map_videos
from ...tracked_video import NamedTrack, TrackedVideo, encode, ytvis_content
from .objects import CATEGORIES
from .rendering import ShapesVideo, check_at_least, check_scenario, check_video_arguments, render_video
from .scenarios import PLAIN

FRAMES = "JPEGImages"  # folder of the frames in that of a split
JPEG_QUALITY = 90


def _split_paths(root: str | os.PathLike, split: str) -> tuple[Path, Path, Path]:
    """The folder of a split, and its annotations in YouTube-VIS's and in COCO's format; its name is checked."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", split) or split.startswith("coco_"):
        raise ValueError(
            f"split: found {split!r}, expected a name of letters, digits, '_', '-' and '.' that begins with a letter "
            "or a digit, and not with 'coco_'"
        )
    return Path(root, split), Path(root, f"{split}.json"), Path(root, f"coco_{split}.json")


def write_ytvis(
    root: str | os.PathLike,
    split: str,
    num_videos: int,
    *,
    seed: int,
    image_size: tuple[int, int] = (128, 192),
    length: int = 24,
    num_instances: int | tuple[int, int] = (1, 5),
    scenario: str = PLAIN,
    absence: tuple[int, int] | None = None,
    num_workers: int = 1,
    overwrite: bool = False,
    show_progress: bool = False,
) -> Path:
    """Make a split on disk, in YouTube-VIS's format.

    Frames go to `<root>/<split>/JPEGImages/<video>/<frame>.jpg`, annotations to `<root>/<split>.json`. Both appear
    under these names only when everything is written.

    Args:
        root: folder of the data set; made if missing.
        split: name of the split.
        num_videos: how many videos; they are the seed's first ones, so splits that must not share any need
            different seeds.
        seed, length, num_instances, scenario, absence: as for `render_video`.
        image_size: (height, width) of the frames in pixels.
        num_workers: number of processes that render; 1 works in this process. It does not change the result.
        overwrite: replace a split of that name, and remove the COCO annotations made from it.
        show_progress: show a progress bar on stderr.

    Returns:
        The path of the annotation file.

    Raises:
        ValueError: if an argument is out of range.
        FileExistsError: if the split exists and `overwrite` is False.
    """
    paths = folder, ytvis_json, coco_json = _split_paths(root, split)
    check_at_least("num_videos", num_videos, 1)
    check_at_least("num_workers", num_workers, 1)
    instance_range = check_video_arguments(seed, *image_size, length, num_instances)
    check_scenario(scenario, absence, length, instance_range)
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        raise FileExistsError(f"{existing[0]} exists already; ask for overwriting to replace split {split!r}")

    with whole_folder(folder, replace=overwrite) as unfinished:
        images = unfinished / FRAMES
        images.mkdir()
        options = {"num_instances": instance_range, "scenario": scenario, "absence": absence}
        write = partial(_write_video, images, partial(render_video, seed, *image_size, length, **options))
        bar, one_thread = split if show_progress else None, partial(cv2.setNumThreads, 1)
        with contextlib.closing(map_videos(write, range(num_videos), num_workers, bar, one_thread)) as videos:
            content = _content(list(videos), {"seed": seed} | ({} if scenario == PLAIN else {"scenario": scenario}))
        # The annotation file goes first and comes last: where it is, the frames it names are there.
        ytvis_json.unlink(missing_ok=True)
        coco_json.unlink(missing_ok=True)
    with whole_file(ytvis_json) as unfinished:
        unfinished.write_text(json.dumps(content, separators=(",", ":")), encoding="ascii")
    return ytvis_json


def _write_video(images: Path, render: Callable[..., ShapesVideo], video_index: int) -> TrackedVideo:
    """Render one video and write its frames below `images`."""
    video = render(video_index=video_index)
    folder = f"{video_index:05d}"
    (images / folder).mkdir()
    file_names = [f"{folder}/{frame:05d}.jpg" for frame in range(len(video.frames))]
    for file_name, frame in zip(file_names, video.frames, strict=True):
        encoded, content = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not encoded:
            raise RuntimeError(f"{images / file_name}: OpenCV could not encode the frame as JPEG")
        (images / file_name).write_bytes(content)
    names = list(CATEGORIES.values())
    tracks = [
        NamedTrack(names[class_id], [encode(mask) if mask.any() else None for mask in masks])
        for masks, class_id in zip(video.masks, video.class_ids, strict=True)
    ]
    return TrackedVideo(file_names, video.frames.shape[1:3], tracks)


def _content(videos: list[TrackedVideo], settings: dict[str, Any]) -> dict[str, Any]:
    """What the annotation file holds."""
    content = ytvis_content(videos, {name: number for number, name in CATEGORIES.items()}, "")
    content["info"] = {"description": "Synthetic videos of moving shapes", **settings}
    content["categories"] = [category | {"supercategory": "shape"} for category in content["categories"]]
    return content


def write_coco(root: str | os.PathLike, split: str, *, frame_stride: int = 1, overwrite: bool = False) -> Path:
    """Describe frames of a split that `write_ytvis` made as images, in COCO's format.

    Args:
        root, split: as for `write_ytvis`.
        frame_stride: take each video's frames 0, frame_stride, 2 * frame_stride, ...
        overwrite: replace an existing file.

    Returns:
        The path of the file, `<root>/coco_<split>.json`. Its file names are relative to the split's JPEGImages.

    Raises:
        ValueError: if an argument is out of range.
        FileNotFoundError: if there is no such split.
        FileExistsError: if the file exists and `overwrite` is False.
    """
    _, ytvis_json, coco_json = _split_paths(root, split)
    check_at_least("frame_stride", frame_stride, 1)
    if not ytvis_json.is_file():
        raise FileNotFoundError(f"{ytvis_json}: no such file, expected the annotations of split {split!r}")
    if coco_json.exists() and not overwrite:
        raise FileExistsError(f"{coco_json} exists already; ask for overwriting to replace it")
    content = _coco_content(json.loads(ytvis_json.read_text(encoding="ascii")), frame_stride)
    write_json(coco_json, content, separators=(",", ":"))
    return coco_json


def _coco_content(ytvis: dict[str, Any], frame_stride: int) -> dict[str, Any]:
    """Turn the content of a YouTube-VIS annotation file into that of a COCO one."""
    images: list[dict[str, Any]] = []
    image_ids: dict[tuple[int, int], int] = {}  # (video id, frame) -> image id
    for video in ytvis["videos"]:
        size = {"height": video["height"], "width": video["width"]}
        for frame in range(0, video["length"], frame_stride):
            image_ids[video["id"], frame] = image_id = len(images) + 1
            images.append({"id": image_id, "file_name": video["file_names"][frame], **size})
    annotations: list[dict[str, Any]] = []
    for track in ytvis["annotations"]:
        for frame in range(0, track["length"], frame_stride):
            if track["segmentations"][frame] is not None:
                annotation = {
                    "id": len(annotations) + 1,
                    "image_id": image_ids[track["video_id"], frame],
                    "category_id": track["category_id"],
                    "iscrowd": track["iscrowd"],
                    "segmentation": track["segmentations"][frame],
                    "bbox": track["bboxes"][frame],
                    "area": track["areas"][frame],
                }
                annotations.append(annotation)
    about = {key: ytvis[key] for key in ("info", "categories")}
    return about | {"images": images, "annotations": annotations}
