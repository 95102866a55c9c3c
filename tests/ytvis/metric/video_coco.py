# SPDX-License-Identifier: Apache-2.0
"""pycocotools' own COCOeval on video, slowly: the oracle that the metric is compared with.

Matching, accumulation and summary are COCOeval's, untouched; a video stands in the place of an image, with the IoU
counted on dense masks, frame by frame.
"""

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

VIDEO_AREA_RANGES = [[0, 1e10], [0, 128**2], [128**2, 256**2], [256**2, 1e10]]


def evaluate_slowly(ground_truth: dict[str, Any], results: list[dict[str, Any]]) -> tuple[np.ndarray, dict[str, float]]:
    """The twelve numbers and AP by category name (None without ground truth)."""
    evaluation = _run(ground_truth, results, None, VIDEO_AREA_RANGES)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.summarize()
    category_ap = {}
    for index, category_id in enumerate(evaluation.params.catIds):
        precision = evaluation.eval["precision"][:, :, index, 0, 2]
        name = next(category["name"] for category in ground_truth["categories"] if category["id"] == category_id)
        category_ap[name] = None if (precision == -1).all() else precision.mean()
    return np.array(evaluation.stats), category_ap


def evaluate_groups_slowly(
    ground_truth: dict[str, Any],
    results: list[dict[str, Any]],
    value: Callable[[np.ndarray], float],
    bounds: list[tuple[float, float]],
) -> list[list[float | None]]:
    """AP, AP50 and AR100 of tracks whose `value` of their masks (T, H, W) lies in each of the bounds; None for none."""
    evaluation = _run(ground_truth, results, value, bounds)
    precision, recall = (evaluation.eval[name] for name in ("precision", "recall"))
    numbers = [(precision[:, :, :, a, 2], precision[0, :, :, a, 2], recall[:, :, a, 2]) for a in range(len(bounds))]
    return [[v[v > -1].mean() if (v > -1).any() else None for v in of_group] for of_group in numbers]


def _run(ground_truth, results, value, bounds):
    """COCOeval after accumulation, with the tracks' mean area, or `value`, in the place of an object's area."""
    sizes = {video["id"]: (video["height"], video["width"]) for video in ground_truth["videos"]}
    categories = ground_truth["categories"]
    annotated = [
        _as_coco(index, track, sizes, track["areas"], track["iscrowd"], value)
        for index, track in enumerate(ground_truth["annotations"])
    ]
    found = [_as_coco(index, track, sizes, None, 0, value) for index, track in enumerate(results)]
    for found_track, track in zip(found, results, strict=True):
        found_track["score"] = track["score"]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = _VideoCOCOeval(_coco(sizes, categories, annotated), _coco(sizes, categories, found), "bbox")
        evaluation.params.areaRng = bounds
        evaluation.params.areaRngLbl = ["all", "small", "medium", "large"][: len(bounds)]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def dense_mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    """(height, width) bool from a segmentation of any kind, without the metric's own code."""
    if segmentation is None:
        return np.zeros((height, width), dtype=bool)
    if isinstance(segmentation, list):
        decoded = mask_utils.decode(mask_utils.frPyObjects(segmentation, height, width))
        return decoded.any(axis=2)
    if isinstance(segmentation["counts"], list):
        values = np.arange(len(segmentation["counts"])) % 2 == 1
        return np.repeat(values, segmentation["counts"]).reshape(width, height).T
    return mask_utils.decode(segmentation).astype(bool)


class _VideoCOCOeval(COCOeval):
    def computeIoU(self, imgId, catId):
        annotated, found = self._gts[imgId, catId], self._dts[imgId, catId]
        if not annotated and not found:
            return []
        order = np.argsort([-track["score"] for track in found], kind="mergesort")
        found = [found[i] for i in order[: self.params.maxDets[-1]]]
        ious = np.zeros((len(found), len(annotated)))
        for d, g in np.ndindex(ious.shape):
            intersection = (found[d]["masks"] & annotated[g]["masks"]).sum()
            union = (found[d]["masks"] | annotated[g]["masks"]).sum()
            ious[d, g] = intersection / union if union else 0.0
        return ious


def _as_coco(index, track, sizes, areas, is_crowd, value):
    masks = np.stack([dense_mask(mask, *sizes[track["video_id"]]) for mask in track["segmentations"]])  # (T, H, W)
    if areas is None:
        areas = masks.sum(axis=(1, 2))
    present = [area for area in areas if area]
    return {
        "id": index + 1,
        "image_id": track["video_id"],
        "category_id": track["category_id"],
        "iscrowd": is_crowd,
        "area": value(masks) if value else np.mean(present) if present else 0.0,
        "masks": masks,
    }


def _coco(sizes, categories, tracks):
    coco = COCO()
    coco.dataset = {"images": [{"id": video_id} for video_id in sizes], "categories": categories, "annotations": tracks}
    coco.createIndex()
    return coco
