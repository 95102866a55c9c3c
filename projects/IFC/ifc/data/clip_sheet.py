# SPDX-License-Identifier: Apache-2.0
"""A picture of training clips."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from pycocotools import mask as mask_api

from ..ytvis.reports.pictures import draw_objects
from .loaders import build_train_loader

GAP = 4  # pixels between two frames


def draw_clips(cfg: CfgNode, num_clips: int, width: int) -> tuple[np.ndarray, int, int]:
    """Draw the first clips that training would see, a clip a row, each frame augmented and with its masks.

    Args:
        width: of a frame, in pixels.

    Returns:
        The picture, (height, width, 3) uint8 RGB, and its numbers of rows and columns.
    """
    clips = itertools.islice(itertools.chain.from_iterable(build_train_loader(cfg)), num_clips)
    names = MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).get("thing_classes") or range(cfg.MODEL.IFC.NUM_CLASSES)
    labels = [*map(str, names), ""]
    rows = [_draw(clip, labels, width, cfg.INPUT.FORMAT) for clip in clips]
    height = max(frame.shape[0] for row in rows for frame in row)
    sheet = np.full((len(rows), height + GAP, len(rows[0]), width + GAP, 3), 255, dtype=np.uint8)
    for row, column in np.ndindex(len(rows), len(rows[0])):
        frame = rows[row][column]
        sheet[row, : frame.shape[0], column, :width] = frame
    sheet = sheet.reshape(-1, sheet.shape[2] * sheet.shape[3], 3)
    return sheet[:-GAP, :-GAP], len(rows), len(rows[0])


def _draw(clip: dict[str, Any], labels: Sequence[str], width: int, image_format: str) -> list[np.ndarray]:
    """The T frames of a clip, (h, width, 3) uint8 RGB each."""
    classes = np.min([frame.gt_classes.numpy() for frame in clip["instances"]], axis=0)  # an absent one's is the last
    drawn = []
    for image, instances in zip(clip["image"], clip["instances"], strict=True):
        pixels = image.permute(1, 2, 0).numpy()[..., :: 1 if image_format == "RGB" else -1]
        masks = [np.asfortranarray(mask, dtype=np.uint8) for mask in instances.gt_masks.tensor.numpy()]
        shown = [mask_api.encode(mask) if mask.any() else None for mask in masks]
        drawn.append(draw_objects(pixels, shown, [labels[label] for label in classes], width=width))
    return drawn
