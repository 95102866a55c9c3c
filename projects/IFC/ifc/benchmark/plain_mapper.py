# SPDX-License-Identifier: Apache-2.0
"""The rival of the training mapper: clips as they are usually made, frame by frame and mask by mask."""

import copy
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.data.detection_utils import annotations_to_instances, read_image, transform_instance_annotations
from detectron2.structures import BoxMode, Instances

from ..data.augmentation import build_augmentation
from ..data.mapper import sample_frames
from ..regions import region


class PlainMapper:
    """`YTVISDatasetMapper`'s training clips: each record is copied deeply, each frame made with detectron2's functions
    for images, which read with Pillow and decode and warp each mask alone."""

    def __init__(self, cfg: CfgNode) -> None:
        given = cfg.INPUT
        self.sampling = given.SAMPLING_FRAME_NUM, given.SAMPLING_FRAME_RANGE, given.SAMPLING_FRAME_SHUFFLE
        self.image_format, self.num_classes = given.FORMAT, cfg.MODEL.IFC.NUM_CLASSES
        self.augmentation = build_augmentation(cfg, is_train=True)
        self.augmentation.resize = T.ResizeShortestEdge

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        with region("record"):
            record = copy.deepcopy(record)
        frames = sample_frames(record["length"], *self.sampling)
        tracks = [track for track in record["annotations"] if any(track["segmentations"][frame] for frame in frames)]
        augmentations = self.augmentation.for_clip()
        sample: dict[str, Any] = {"image": [], "instances": []}
        for frame in frames:
            with region("JPEG decode"):
                image = read_image(record["file_names"][frame], self.image_format)
            with region("augmentation"):
                augmented = T.AugInput(image)
                transforms = augmentations(augmented)
            with region("masks"):
                annotations = [_as_annotation(track, frame, image.shape[:2]) for track in tracks]
                sample["instances"].append(self._instances(annotations, transforms, augmented.image.shape[:2]))
            sample["image"].append(torch.as_tensor(np.ascontiguousarray(augmented.image.transpose(2, 0, 1))))
        return sample

    def _instances(self, annotations: list[dict], transforms: T.TransformList, size: tuple[int, int]) -> Instances:
        annotations = [transform_instance_annotations(annotation, transforms, size) for annotation in annotations]
        instances = annotations_to_instances(annotations, size, mask_format="bitmask")
        instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
        present = instances.gt_boxes.nonempty()
        instances.gt_classes[~present] = self.num_classes
        instances.gt_ids = torch.where(present, torch.arange(len(instances)), -1)
        return instances


def _as_annotation(track: dict[str, Any], frame: int, size: tuple[int, int]) -> dict[str, Any]:
    """A track on one frame as an annotation of an image, in detectron2's form."""
    segmentation = track["segmentations"][frame]
    if not segmentation:
        segmentation = mask_util.frPyObjects({"size": list(size), "counts": [size[0] * size[1]]}, *size)
    annotation = {"category_id": track["category_id"], "segmentation": segmentation}
    return annotation | {"bbox": track["bboxes"][frame] or [0, 0, 0, 0], "bbox_mode": BoxMode.XYWH_ABS}
