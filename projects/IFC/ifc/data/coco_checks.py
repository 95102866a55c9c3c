# SPDX-License-Identifier: Apache-2.0
"""What detectron2's reader and a COCO evaluation take for granted of a json in COCO's format."""

from collections.abc import Iterable
from typing import Any

from ..ytvis.masks import require_masks
from ..ytvis.values import brief, is_number


def check_image_sizes(records: Iterable[dict[str, Any]]) -> None:
    """Check the height and width of dataset dicts in detectron2's COCO form.

    Raises:
        ValueError: one that is no positive integer. The message names the image's file and the field.
    """
    for record in records:
        for key in ("height", "width"):
            if type(record.get(key)) is not int or record[key] < 1:
                _raise(record["file_name"], key, record.get(key), "a positive integer, of pixels")


def check_ground_truth(content: dict[str, Any], json_file: str) -> None:
    """Check what a COCO evaluation needs of the annotations, which it looks at when all images have been through.

    Args:
        content: of a json that detectron2 has read, in which ids, images and categories fit each other.
        json_file: named in errors.

    Raises:
        ValueError: an annotation that cannot be evaluated. The message names file, annotation and field.
    """
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    for image_id in sizes:
        if type(image_id) is not int:
            _raise(json_file, "images: id", image_id, "an integer")
    for annotation in content.get("annotations") or []:
        if annotation["image_id"] in sizes:  # others are left out, with detectron2's warning
            _check_annotation(annotation, sizes[annotation["image_id"]], json_file)


def _check_annotation(annotation: dict[str, Any], size: tuple[int, int], json_file: str) -> None:
    place = f"{json_file}: annotation {annotation['id']}"
    if type(annotation["id"]) is not int or annotation["id"] < 1:
        # 0 is how the evaluation marks results without an object.
        _raise(place, "id", annotation["id"], "an integer from 1")
    box, area, iscrowd = (annotation.get(key) for key in ("bbox", "area", "iscrowd"))
    if not (isinstance(box, list) and len(box) == 4 and all(map(is_number, box))):
        _raise(place, "bbox", box, "[x, y, width, height]")
    if not is_number(area):
        _raise(place, "area", area, "a number of pixels")
    if iscrowd not in (0, 1):
        _raise(place, "iscrowd", iscrowd, "0 or 1")
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, list):  # polygons without an area are left out, as detectron2 does in training
        segmentation = [part for part in segmentation if not _is_degenerate(part)]
    if not segmentation:
        _raise(place, "segmentation", annotation.get("segmentation"), "a mask")
    require_masks([segmentation], size, f"{place}: segmentation", fill=False)


def _is_degenerate(polygon: Any) -> bool:
    return isinstance(polygon, list) and (len(polygon) < 6 or len(polygon) % 2 != 0)


def _raise(place: str, field: str, found: Any, expected: str) -> None:
    raise ValueError(f"{place}: {field}: found {brief(found)}, expected {expected}")
