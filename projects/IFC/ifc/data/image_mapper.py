# SPDX-License-Identifier: Apache-2.0
"""An image's dataset dict -> a pseudo-clip to train on, or the image to test; and images beside videos."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from detectron2.config import CfgNode, configurable
from pycocotools import mask as mask_api

from ..regions import region
from ..ytvis.masks import Rle, require_masks
from .augmentation import transform_masks
from .clip_masks import run_length_masks
from .mapper import ClipMapper, Identity, YTVISDatasetMapper, augment, frame_instances, read_frame, to_tensor
from .motion import Motion, camera_path, object_path, warp

PSEUDO_CLIPS = ("independent", "smooth")


class CocoClipDatasetMapper(ClipMapper):
    """Turns an image's dataset dict (detectron2's COCO form) into a pseudo-clip to train on, or into an image to test.

    Training: T frames of the image, augmented independently or in smooth motion. The keys are those of
    `YTVISDatasetMapper`, with "image_id" and "file_name" in place of "video_id" and "length".

    Testing: {"image": uint8 (3, h, w), "image_id", "file_name", "height", "width"}. A tensor, not a list, is an image.

    Attributes:
        sources: dataset dicts of the images that objects are pasted from. Set by whoever has them, before the first
            clip, if `copy_paste` is not 0.
    """

    @configurable
    def __init__(self, is_train: bool, *, motion: Motion | None = None, copy_paste: float = 0.0, **clip: Any) -> None:
        """
        Args:
            is_train: give a clip with its instances to train on, or what is to be tested.
            motion: how much smooth clips move; None: the frames are augmented independently.
            copy_paste: the probability that a smooth clip gets objects of another image, which move on their own.
            clip: the arguments of `ClipMapper`.
        """
        super().__init__(is_train, **clip)
        self.motion = motion
        self.copy_paste = copy_paste
        self.sources: Sequence[dict[str, Any]] = ()

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        motion = Motion(*cfg.INPUT.MOTION) if cfg.INPUT.PSEUDO_CLIP == "smooth" else None
        return super().from_config(cfg, is_train) | {"motion": motion, "copy_paste": cfg.INPUT.COPY_PASTE}

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        sample = {key: record[key] for key in ("image_id", "file_name", "height", "width")}
        if not self.is_train:
            augmentations, size = self.augmentation.for_clip(), (record["height"], record["width"])
            image = self._read_frame(record["file_name"], size, augmentations)
            sample["image"] = to_tensor(augment(augmentations, image)[0])
            return sample
        pasted: list[tuple[int, Identity]] = []
        if self.motion is None:
            frames, stacks, classes = self._independent_clip(record)
        else:
            frames, stacks, classes = self._smooth_clip(record)
            if self.copy_paste and np.random.uniform() < self.copy_paste:
                pasted = self._paste(frames, stacks)
            frames = [augment(self.augmentation.colors, frame)[0] for frame in frames]
        sample["image"] = [to_tensor(frame) for frame in frames]
        sample["identities"] = [("image", record["file_name"], number) for number in range(len(classes))]
        sample["identities"] += [identity for _, identity in pasted]
        classes = classes + [label for label, _ in pasted]
        rows = range(len(classes))
        sample["instances"] = [frame_instances(rows, stack, classes, self.num_classes) for stack in stacks]
        sample["file_names"] = [record["file_name"]] * self.num_frames
        return sample

    def _independent_clip(self, record: dict[str, Any]) -> "Clip":
        augmentations, size = self.augmentation.for_clip(), (record["height"], record["width"])
        image = self._read_frame(record["file_name"], size, augmentations)
        classes, rles = read_instances(record)
        masks = run_length_masks(rles, size)
        clip = [augment(augmentations, image) for _ in range(self.num_frames)]
        return [frame for frame, _ in clip], [transform_masks(transforms, masks) for _, transforms in clip], classes

    def _smooth_clip(self, record: dict[str, Any]) -> "Clip":
        size = (record["height"], record["width"])
        matrices, out_size = camera_path(self.augmentation, self.motion, size, self.num_frames)
        classes, rles = read_instances(record)
        return *self._moving(record, rles, matrices, out_size), classes

    def _paste(self, frames: list[np.ndarray], stacks: list[np.ndarray]) -> list[tuple[int, Identity]]:
        """Paste some objects of a random image onto a clip, in place.

        They hide what is below: a mask loses the pixels that they take.

        Args:
            frames: T × (h, w, 3).
            stacks: T × (N, h, w), which get the pasted objects' masks in rows of their own.

        Returns:
            The class and the identity of each of these rows.
        """
        record = self.sources[np.random.randint(len(self.sources))]
        classes, rles = read_instances(record)
        if not classes:
            return []
        chosen = np.random.permutation(len(classes))[: np.random.randint(1, len(classes) + 1)].tolist()
        rles, size = [rles[index] for index in chosen], frames[0].shape[:2]
        x, y, width, height = mask_api.toBbox(mask_api.merge(rles))
        scale = min(size) / min(record["height"], record["width"])
        matrices = object_path(self.motion, np.array([x + width / 2, y + height / 2]), scale, size, self.num_frames)
        for t, (image, objects) in enumerate(zip(*self._moving(record, rles, matrices, size), strict=True)):
            cover = np.bitwise_or.reduce(objects, axis=0)
            cv2.copyTo(image, cover, frames[t])
            x, y, width, height = cv2.boundingRect(cover)
            box = np.s_[..., y : y + height, x : x + width]
            stacks[t][box] &= 1 - cover[box]
            stacks[t] = np.concatenate([stacks[t], objects])
        return [(classes[index], ("image", record["file_name"], index)) for index in chosen]

    @region("augmentation")
    def _moving(
        self, record: dict[str, Any], rles: list[Rle], matrices: np.ndarray, size: tuple[int, int]
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """T × (h, w, 3) and T × (N, h, w): an image and its N masks under T matrices."""
        image_size = (record["height"], record["width"])
        image = read_frame(record["file_name"], self.image_format, image_size)
        return warp(image, run_length_masks(rles, image_size), matrices, size)


Clip = tuple[list[np.ndarray], list[np.ndarray], list[int]]  # T × (h, w, 3), T × (N, h, w), the N instances' classes


@region("record")
def read_instances(record: dict[str, Any]) -> tuple[list[int], list[Rle]]:
    """The classes and masks of an image's instances, without crowds and empty masks."""
    annotations = [annotation for annotation in record["annotations"] if not annotation.get("iscrowd", 0)]
    segmentations = [annotation["segmentation"] for annotation in annotations]
    size = (record["height"], record["width"])
    rles = require_masks(segmentations, size, f"{record['file_name']}: segmentation")
    kept = [(annotation["category_id"], rle) for annotation, rle in zip(annotations, rles, strict=True) if rle]
    return [label for label, _ in kept], [rle for _, rle in kept]


class MixedDatasetMapper:
    """Makes training clips of videos and of images, for data sets of both kinds that are trained on together."""

    def __init__(self, cfg: CfgNode) -> None:
        self.videos = YTVISDatasetMapper(cfg, is_train=True)
        self.images = CocoClipDatasetMapper(cfg, is_train=True)

    @property
    def sources(self) -> Sequence[dict[str, Any]]:
        """Those of `CocoClipDatasetMapper`."""
        return self.images.sources

    @sources.setter
    def sources(self, records: Sequence[dict[str, Any]]) -> None:
        self.images.sources = records

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        return (self.videos if "file_names" in record else self.images)(record)
