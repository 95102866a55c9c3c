# SPDX-License-Identifier: Apache-2.0
"""Data sets in YouTube-VIS's json format: json -> dataset dicts, and their registration.

The format is described at https://youtube-vos.org/dataset/vis/: `videos`, `categories`, and `annotations`, one of which
is one instance with a list entry for every frame of its video.
"""

import colorsys
import json
import logging
import os
import reprlib
import time
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.file_io import PathManager

from .clip_masks import find_fault

logger = logging.getLogger(__name__)

MAX_ID = 2**63
MAX_SIDE = 100_000  # of a frame, in pixels
MAX_NUMBER = 1e15  # of a box or an area, so that sums of them stay numbers

_brief = reprlib.Repr()
_brief.maxstring = 80


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


def class_colors(num_classes: int) -> list[list[int]]:
    """`num_classes` distinct RGB colors in 0..255: hues a golden ratio apart, so that neighbors differ most."""
    golden_ratio = 0.618033988749895
    colors = []
    for index in range(num_classes):
        saturation, value = (0.85, 0.65)[index % 2], (1.0, 0.8)[index // 2 % 2]
        rgb = colorsys.hsv_to_rgb(index * golden_ratio % 1.0, saturation, value)
        colors.append([round(255 * channel) for channel in rgb])
    return colors


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
        from 0), "iscrowd", "segmentations", "bboxes"}`. The last two are the json's own lists, an entry a frame; a
        segmentation is compressed RLE, uncompressed RLE or a list of polygons, and null or empty where the instance is
        absent.

    Raises:
        FileNotFoundError: the json or the image root does not exist.
        ValueError: the json is malformed or contradicts itself. The message names file, place, finding and expectation.
    """
    start = time.perf_counter()
    _check_file(json_file, dataset_name)
    if not PathManager.isdir(image_root):
        raise FileNotFoundError(f"{image_root}: image folder{_of(dataset_name)} does not exist")
    content = _read_json(json_file)
    contiguous_ids = _contiguous_ids(content, json_file, dataset_name)
    records = _video_records(content, json_file, image_root)
    if content.get("annotations") is not None:
        _add_annotations(records, content, json_file, contiguous_ids)
    logger.info(f"Loaded {len(records)} videos from {json_file} in {time.perf_counter() - start:.1f} s")
    return list(records.values())


def load_categories(dataset_name: str) -> None:
    """Complete the metadata of the registered data set `dataset_name` from its json, as loading it would.

    Raises:
        FileNotFoundError, ValueError: as `load_ytvis_json`, for what is looked at.
    """
    json_file = MetadataCatalog.get(dataset_name).json_file
    _check_file(json_file, dataset_name)
    _contiguous_ids(_read_json(json_file), json_file, dataset_name)


def _check_file(json_file: str, dataset_name: str | None) -> None:
    if not PathManager.isfile(json_file):
        raise FileNotFoundError(f"{json_file}: annotation file{_of(dataset_name)} does not exist")


def _of(dataset_name: str | None) -> str:
    return f" of data set '{dataset_name}'" if dataset_name else ""


def _read_json(json_file: str) -> dict[str, Any]:
    try:
        with PathManager.open(json_file, "r", encoding="utf-8") as file:
            text = file.read()
        content = json.loads(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{json_file}: not text in UTF-8: {error}") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno} (character {error.pos} of {len(text)})"
        raise ValueError(f"{json_file}: not valid json, or cut off, at {place}: {error.msg}") from error
    except RecursionError as error:
        raise ValueError(f"{json_file}: nested too deeply for a json in YTVIS's format") from error
    except ValueError as error:  # a number of thousands of digits
        raise ValueError(f"{json_file}: not valid json: {error}") from error
    _check(isinstance(content, dict), json_file, "top level", content, "an object with 'videos' and 'categories'")
    return content


def _check(condition: bool, json_file: str, place: str, found: Any, expected: str) -> None:
    """Raise the one kind of error that a faulty json gives."""
    if not condition:
        shown = _brief.repr(found)
        shown = shown if len(shown) <= 120 else shown[:117] + "..."
        raise ValueError(f"{json_file}: {place}: found {shown}, expected {expected}")


def _objects(content: dict[str, Any], key: str, json_file: str) -> list[dict[str, Any]]:
    """The list of objects with unique integer ids under `key`."""
    objects = content.get(key)
    _check(isinstance(objects, list), json_file, f"'{key}'", objects, "a list")
    ids: set[int] = set()
    for index, item in enumerate(objects):
        _check(isinstance(item, dict), json_file, f"{key}[{index}]", item, "an object")
        item_id = item.get("id")
        is_id = type(item_id) is int and abs(item_id) <= MAX_ID
        _check(is_id, json_file, f"{key}[{index}].id", item_id, "an integer of at most 64 bits")
        _check(item_id not in ids, json_file, f"{key}[{index}].id", item_id, "an id that is used once")
        ids.add(item_id)
    return objects


def _contiguous_ids(content: dict[str, Any], json_file: str, dataset_name: str | None) -> dict[int, int]:
    """Category id of the json -> contiguous id; completes the metadata of `dataset_name`, or checks against it."""
    categories = sorted(_objects(content, "categories", json_file), key=lambda category: category["id"])
    _check(len(categories) > 0, json_file, "'categories'", categories, "at least one category")
    for category in categories:
        place = f"category {category['id']}: name"
        _check(isinstance(category.get("name"), str), json_file, place, category.get("name"), "a string")
    names = [category["name"] for category in categories]
    contiguous_ids = {category["id"]: index for index, category in enumerate(categories)}
    if dataset_name is None:
        return contiguous_ids

    metadata = MetadataCatalog.get(dataset_name)
    if metadata.get("thing_classes") is None:
        metadata.thing_classes = names
    if metadata.get("thing_dataset_id_to_contiguous_id") is None:
        metadata.thing_dataset_id_to_contiguous_id = contiguous_ids
    if metadata.get("thing_colors") is None:
        metadata.thing_colors = class_colors(len(metadata.thing_classes))
    registered_classes = list(metadata.thing_classes)
    registered_ids = dict(metadata.thing_dataset_id_to_contiguous_id)
    for category in categories:
        index = registered_ids.get(category["id"])
        known = index is not None and 0 <= index < len(registered_classes)
        expected = repr(registered_classes[index]) if known else "no such category"
        place = f"category {category['id']}: name"
        agrees = known and _plain(registered_classes[index]) == _plain(category["name"])
        _check(agrees, json_file, place, category["name"], f"{expected}, as data set '{dataset_name}' is registered")
    return registered_ids


def _plain(name: str) -> str:
    """A class name without what differs between copies of the same annotations: capitals, and "_" for a blank."""
    return name.casefold().replace("_", " ")


def _video_records(content: dict[str, Any], json_file: str, image_root: str) -> dict[int, dict[str, Any]]:
    """Video id -> dataset dict, without annotations."""
    videos = _objects(content, "videos", json_file)
    _check(len(videos) > 0, json_file, "'videos'", videos, "at least one video (the data set is empty)")
    records = {}
    for video in videos:
        place = f"video {video['id']}"
        names = video.get("file_names")
        _check(isinstance(names, list) and len(names) > 0, json_file, f"{place}: file_names", names, "a list of paths")
        for frame, name in enumerate(names):
            _check(isinstance(name, str), json_file, f"{place}: file_names[{frame}]", name, "a path")
        for key in ("height", "width"):
            size = video.get(key)
            fits = type(size) is int and 0 < size <= MAX_SIDE
            _check(fits, json_file, f"{place}: {key}", size, f"a positive integer of at most {MAX_SIDE} pixels")
        length = video.get("length", len(names))
        _check(length == len(names), json_file, f"{place}: length", length, f"{len(names)}, the number of file_names")
        records[video["id"]] = {
            "video_id": video["id"],
            "file_names": [os.path.join(image_root, name) for name in names],
            "height": video["height"],
            "width": video["width"],
            "length": len(names),
        }
    return records


def _add_annotations(
    records: dict[int, dict[str, Any]], content: dict[str, Any], json_file: str, contiguous_ids: dict[int, int]
) -> None:
    """Give every record in `records` its list of instances."""
    annotations = _objects(content, "annotations", json_file)
    listed = {category["id"] for category in content["categories"]}
    for record in records.values():
        record["annotations"] = []
    for annotation in annotations:
        place = f"annotation {annotation['id']}"
        video_id, category_id = annotation.get("video_id"), annotation.get("category_id")
        known_video = type(video_id) is int and video_id in records
        _check(known_video, json_file, f"{place}: video_id", video_id, "the id of one of 'videos'")
        known_category = type(category_id) is int and category_id in listed
        _check(known_category, json_file, f"{place}: category_id", category_id, "the id of one of 'categories'")
        iscrowd = annotation.get("iscrowd", 0)
        _check(iscrowd in (0, 1), json_file, f"{place}: iscrowd", iscrowd, "0 or 1")
        record = records[video_id]
        _check_frames(annotation, record, json_file, place)
        record["annotations"].append(
            {
                "id": annotation["id"],
                "category_id": contiguous_ids[category_id],
                "iscrowd": int(iscrowd),
                "segmentations": annotation["segmentations"],
                "bboxes": annotation.get("bboxes"),
            }
        )


def _check_frames(annotation: dict[str, Any], record: dict[str, Any], json_file: str, place: str) -> None:
    """Check the annotation's frame-aligned lists against the video's length and size."""
    length, height, width = record["length"], record["height"], record["width"]
    for key in ("segmentations", "bboxes", "areas"):
        entries = annotation.get(key)
        if entries is None and key != "segmentations":
            continue
        _check(isinstance(entries, list), json_file, f"{place}: {key}", entries, "a list with an entry a frame")
        if len(entries) != length:
            expected = f"{length}, an entry for each frame of video {record['video_id']}"
            _check(False, json_file, f"{place}: length of {key}", len(entries), expected)
        for frame, entry in enumerate(entries if key != "segmentations" else ()):
            is_entry, expected = (_is_box, "[x, y, width, height]") if key == "bboxes" else (_is_number, "a number")
            fits = entry is None or is_entry(entry)
            _check(fits, json_file, f"{place}: {key}[{frame}]", entry, f"{expected} or null")
    fault = find_fault(annotation["segmentations"], height, width)
    if fault is not None:
        frame, message = fault
        raise ValueError(f"{json_file}: {place}: segmentations[{frame}] of video {record['video_id']}: {message}")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= MAX_NUMBER


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) in (0, 4) and all(map(_is_number, value))
