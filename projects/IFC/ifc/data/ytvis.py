# SPDX-License-Identifier: Apache-2.0
"""Data sets in YouTube-VIS's json format: json -> dataset dicts, and their registration.

The format is described at https://youtube-vos.org/dataset/vis/: `videos`, `categories`, and `annotations`, one of which
is one instance with a list entry for every frame of its video.
"""

import colorsys
import json
import logging
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.file_io import PathManager

logger = logging.getLogger(__name__)

MAX_COORDINATE = 100_000  # of a polygon, in pixels; drawing one takes memory in proportion to its length


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
    """`num_classes` distinct RGB colours in 0..255: hues a golden ratio apart, so that neighbours differ most."""
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
    if not PathManager.isfile(json_file):
        raise FileNotFoundError(f"{json_file}: annotation file{_of(dataset_name)} does not exist")
    if not PathManager.isdir(image_root):
        raise FileNotFoundError(f"{image_root}: image folder{_of(dataset_name)} does not exist")
    content = _read_json(json_file)
    contiguous_ids = _contiguous_ids(content, json_file, dataset_name)
    records = _video_records(content, json_file, image_root)
    if content.get("annotations") is not None:
        _add_annotations(records, content, json_file, contiguous_ids)
    logger.info(f"Loaded {len(records)} videos from {json_file} in {time.perf_counter() - start:.1f} s")
    return list(records.values())


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
    _check(isinstance(content, dict), json_file, "top level", content, "an object with 'videos' and 'categories'")
    return content


def _check(condition: bool, json_file: str, place: str, found: Any, expected: str) -> None:
    """Raise the one kind of error that a faulty json gives."""
    if not condition:
        shown = repr(found)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        raise ValueError(f"{json_file}: {place}: found {shown}, expected {expected}")


def _objects(content: dict[str, Any], key: str, json_file: str) -> list[dict[str, Any]]:
    """The list of objects with unique integer ids under `key`."""
    objects = content.get(key)
    _check(isinstance(objects, list), json_file, f"'{key}'", objects, "a list")
    ids: set[int] = set()
    for index, item in enumerate(objects):
        _check(isinstance(item, dict), json_file, f"{key}[{index}]", item, "an object")
        item_id = item.get("id")
        _check(type(item_id) is int, json_file, f"{key}[{index}].id", item_id, "an integer")
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
        agrees = known and registered_classes[index] == category["name"]
        _check(agrees, json_file, place, category["name"], f"{expected}, as data set '{dataset_name}' is registered")
    return registered_ids


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
            _check(type(size) is int and size > 0, json_file, f"{place}: {key}", size, "a positive integer")
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
        known_video = isinstance(video_id, int) and video_id in records
        _check(known_video, json_file, f"{place}: video_id", video_id, "the id of one of 'videos'")
        known_category = isinstance(category_id, int) and category_id in listed
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
    fault = find_fault(annotation["segmentations"], height, width)
    if fault is not None:
        frame, message = fault
        raise ValueError(f"{json_file}: {place}: segmentations[{frame}] of video {record['video_id']}: {message}")


def find_fault(segmentations: Sequence[Any], height: int, width: int) -> tuple[int, str] | None:
    """The first fault among segmentations on frames of `height` × `width`: its index and what is wrong, or None.

    A segmentation is a compressed or uncompressed RLE or a list of polygons; None and empty ones are left out.
    """
    compressed = {}  # index -> counts
    for index, segmentation in enumerate(segmentations):
        if segmentation is None or segmentation == []:
            continue
        fault = _form_fault(segmentation, height, width)
        if fault is not None:
            return index, fault
        counts = segmentation["counts"] if isinstance(segmentation, dict) else None
        if isinstance(counts, str | bytes):
            compressed[index] = counts.encode(errors="surrogatepass") if isinstance(counts, str) else counts
    if compressed:
        for index, total in zip(compressed, count_pixels(list(compressed.values())), strict=True):
            if total != height * width:
                found = "counts that are no RLE" if total < 0 else f"counts that add up to {total}"
                return index, f"found an RLE with {found}, expected {height * width}, height times width"
    return None


def _form_fault(segmentation: Any, height: int, width: int) -> str | None:
    """What is wrong with a segmentation, but for the runs of a compressed RLE."""
    if isinstance(segmentation, list):
        return _polygons_fault(segmentation)
    if not isinstance(segmentation, dict):
        return f"found {type(segmentation).__name__}, expected an RLE, polygons or null"
    size = segmentation.get("size")
    if not isinstance(size, list | tuple) or list(size) != [height, width]:
        return f"found an RLE of size {size}, expected [{height}, {width}]"
    counts = segmentation.get("counts")
    if isinstance(counts, str | bytes):
        return None if counts else "found an RLE with empty counts"
    if not isinstance(counts, list):
        return f"found RLE counts of type {type(counts).__name__}, expected a string or a list"
    if not all(type(count) is int and count >= 0 for count in counts):
        return "found an RLE with counts that are not whole numbers"
    if sum(counts) != height * width:
        return f"found an RLE with counts that add up to {sum(counts)}, expected {height * width}, height times width"
    return None


def _polygons_fault(polygons: list[Any]) -> str | None:
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2 != 0:
            return "found a polygon that is no list of x, y, x, y, ...; expected at least three points"
        if not all(isinstance(value, int | float) and abs(value) <= MAX_COORDINATE for value in polygon):
            return f"found a polygon with coordinates that are not numbers of pixels, at most {MAX_COORDINATE}"
    return None


def count_pixels(counts: Sequence[bytes]) -> list[int]:
    """How many pixels, inside and outside of the mask, each compressed RLE (not empty) describes; -1 for what is none.

    pycocotools takes an RLE that ends too early without a word, and leaves the rest of the mask to chance.

    A run is written as a number in groups of five bits, lowest first, a character of 48 + group each, with 32 added to
    all but its last character; a last group of 16 or more makes it negative. From the fourth run on, the number is the
    difference to the run before the previous one (pycocotools' maskApi.c, `rleToString`).
    """
    groups = np.frombuffer(b"".join(counts), dtype=np.uint8) - np.uint8(48)  # other characters end up above 63
    is_last = groups & 32 == 0
    ends = np.cumsum([len(text) for text in counts])
    last = np.flatnonzero(is_last)
    num_lower = np.diff(last, prepend=-1) - 1  # groups of a number before its last one
    if groups.max() > 63 or not is_last[ends - 1].all() or num_lower.max() > 6:
        return [-1] if len(counts) == 1 else [count_pixels([text])[0] for text in counts]

    numbers = (groups[last].astype(np.int64) ^ 16) - 16 << 5 * num_lower
    for step in range(1, num_lower.max() + 1):
        longer = np.flatnonzero(num_lower >= step)
        lower = groups[last[longer] - step].astype(np.int64) & 31
        numbers[longer] += lower << 5 * (num_lower[longer] - step)

    # A run is the sum of every second number up to its own, the first one aside: a number counts once for each run that
    # it is part of.
    number_ends = np.searchsorted(last, ends)
    weights = np.arange(len(numbers))[::-1] // 2 + 1
    totals, start = [], 0
    for end in number_ends.tolist():
        text_numbers = numbers[start:end]
        later = np.dot(text_numbers[1:], weights[len(weights) - (end - start) + 1 :])
        totals.append(int(text_numbers[0] + later))
        start = end
    return totals
