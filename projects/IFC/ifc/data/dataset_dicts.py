# SPDX-License-Identifier: Apache-2.0
"""Data sets in YouTube-VIS's format: their registration, and the dict of each video that detectron2 works with."""

import logging
import os
import time
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.file_io import PathManager

from ..ytvis.drawing import palette_color
from ..ytvis.ground_truth import GroundTruth, read_ground_truth
from ..ytvis.values import brief

logger = logging.getLogger(__name__)


def register_ytvis_instances(name: str, metadata: dict[str, Any], json_file: str, image_root: str) -> None:
    """Register a data set in YTVIS's format under `name`; the json is read when the data set is first used.

    Args:
        name: the name for `DATASETS.TRAIN` and `DATASETS.TEST`.
        metadata: extra metadata, may be empty. What it gives of `thing_classes` and
            `thing_dataset_id_to_contiguous_id` has to agree with the json. These two and `thing_colors` are completed
            when the json is read.
        json_file: the annotation file. It may lack `annotations` (a split to be evaluated elsewhere).
        image_root: the folder that the json's `file_names` are relative to.
    """
    DatasetCatalog.register(name, lambda: load_ytvis_json(json_file, image_root, name))
    MetadataCatalog.get(name).set(json_file=json_file, image_root=image_root, evaluator_type="ytvis", **metadata)


def load_ytvis_json(json_file: str, image_root: str, dataset_name: str | None = None) -> list[dict[str, Any]]:
    """Read a json in YTVIS's format into one dict a video, in the file's order.

    Args:
        json_file: the annotation file.
        image_root: the folder that `file_names` are relative to.
        dataset_name: a registered data set, whose metadata is completed with `thing_classes`,
            `thing_dataset_id_to_contiguous_id` and `thing_colors`. Without it, contiguous ids follow the sorted ids.

    Returns:
        A list of `{"video_id", "file_names" (one path a frame), "height", "width", "length"}`. Where the json has
        annotations, every video also has `"annotations"`: a list, possibly empty, of `{"id", "category_id" (contiguous,
        from 0), "iscrowd", "segmentations", "bboxes"}`. The last two have an entry a frame; a segmentation is
        compressed RLE, or None where the instance is absent.

    Raises:
        FileNotFoundError: the json or the image root does not exist.
        ValueError: the json is malformed or contradicts itself. The message names file, place, finding and expectation.
    """
    start = time.perf_counter()
    ground_truth = _read(json_file, dataset_name)
    if not os.path.isdir(image_root):
        raise FileNotFoundError(f"{image_root}: image folder{_of(dataset_name)} does not exist")
    contiguous_ids = _contiguous_ids(ground_truth, dataset_name)
    records = []
    for video in ground_truth.videos.values():
        if video.file_names is None:
            raise ValueError(f"{json_file}: videos[{video.index}].file_names: found nothing, expected a list of paths")
        record = {
            "video_id": video.video_id,
            "file_names": [os.path.join(image_root, name) for name in video.file_names],
            "height": video.size[0],
            "width": video.size[1],
            "length": video.length,
        }
        if ground_truth.tracks is not None:
            record["annotations"] = [
                {
                    "id": track.annotation_id,
                    "category_id": contiguous_ids[track.category_id],
                    "iscrowd": int(track.is_crowd),
                    "segmentations": track.masks,
                    "bboxes": track.boxes,
                }
                for track in ground_truth.tracks.get(video.video_id, [])
            ]
        records.append(record)
    logger.info(f"Loaded {len(records)} videos from {json_file} in {time.perf_counter() - start:.1f} s")
    return records


def load_ground_truth(dataset_name: str) -> GroundTruth:
    """Read the json of a registered data set, and complete its metadata from it, as loading its dicts would.

    What is loaded of it while this is kept does not read the json again.

    Raises:
        FileNotFoundError, ValueError: as `load_ytvis_json`.
    """
    ground_truth = _read(MetadataCatalog.get(dataset_name).json_file, dataset_name)
    _contiguous_ids(ground_truth, dataset_name)
    return ground_truth


def _read(json_file: str, dataset_name: str | None) -> GroundTruth:
    try:
        return read_ground_truth(PathManager.get_local_path(json_file))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{json_file}: annotation file{_of(dataset_name)} does not exist") from error


def _of(dataset_name: str | None) -> str:
    return f" of data set '{dataset_name}'" if dataset_name else ""


def _contiguous_ids(ground_truth: GroundTruth, dataset_name: str | None) -> dict[int, int]:
    """Category id of the json -> contiguous id; completes the metadata of `dataset_name`, or checks against it."""
    categories = dict(sorted(ground_truth.categories.items()))
    contiguous_ids = {category_id: index for index, category_id in enumerate(categories)}
    if dataset_name is None:
        return contiguous_ids
    metadata = MetadataCatalog.get(dataset_name)
    if metadata.get("thing_classes") is None:
        metadata.thing_classes = list(categories.values())
    if metadata.get("thing_dataset_id_to_contiguous_id") is None:
        metadata.thing_dataset_id_to_contiguous_id = contiguous_ids
    if metadata.get("thing_colors") is None:
        metadata.thing_colors = [palette_color(index) for index in range(len(metadata.thing_classes))]
    registered = list(metadata.thing_classes)
    registered_ids = dict(metadata.thing_dataset_id_to_contiguous_id)
    for category_id, name in categories.items():
        index = registered_ids.get(category_id)
        known = index is not None and 0 <= index < len(registered)
        if not known or _plain(registered[index]) != _plain(name):
            expected = repr(registered[index]) if known else "no such category"
            raise ValueError(
                f"{ground_truth.source}: category {category_id}: name: found {brief(name)}, expected {expected}, "
                f"as data set '{dataset_name}' is registered"
            )
    return registered_ids


def _plain(name: str) -> str:
    """A class name without what differs between copies of the same annotations: capitals, and "_" for a blank."""
    return name.casefold().replace("_", " ")
