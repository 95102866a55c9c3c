# SPDX-License-Identifier: Apache-2.0
"""Dataset dict -> the clip, video or image that the model takes. Only the frames that are used are decoded."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import transforms as T
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.file_io import PathManager

from ..regions import region
from ..ytvis.images import read_rgb
from .augmentation import ClipAugmentation, build_augmentation, transform_masks
from .clip_masks import RunLengthMasks, run_length_masks
from .lazy_frames import LazyFrames

# Of an instance among those of all data: "video" or "image", the first or only file, and its number there.
Identity = tuple[str, str, int]


class ClipMapper:
    """What the mappers of videos and of images have in common: their settings."""

    @configurable
    def __init__(
        self,
        is_train: bool,
        *,
        augmentation: ClipAugmentation,
        image_format: str,
        num_classes: int,
        num_frames: int,
        reduced_decode: bool = False,
    ) -> None:
        """
        Args:
            is_train: give a clip with its instances to train on, or what is to be tested, whole and without.
            augmentation: for all frames of a clip or video.
            image_format: "RGB" or "BGR", the order of the channels.
            num_classes: C; also the class of an instance on frames that lack it.
            num_frames: T, frames of a training clip.
            reduced_decode: decode JPEGs no larger than their augmented frames need.
        """
        self.is_train = is_train
        self.augmentation = augmentation
        self.image_format = image_format
        self.num_classes = num_classes
        self.num_frames = num_frames
        self.reduced_decode = reduced_decode

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        return {
            "is_train": is_train,
            "augmentation": build_augmentation(cfg, is_train),
            "image_format": cfg.INPUT.FORMAT,
            "num_classes": cfg.MODEL.IFC.NUM_CLASSES,
            "num_frames": cfg.INPUT.SAMPLING_FRAME_NUM,
            "reduced_decode": is_train and cfg.INPUT.REDUCED_DECODE,
        }

    def _read_frame(self, file_name: str, size: tuple[int, int], augmentations: T.AugmentationList) -> np.ndarray:
        reduction = self.augmentation.reduction(augmentations, size) if self.reduced_decode else 1
        return read_frame(file_name, self.image_format, size, reduction)


class YTVISDatasetMapper(ClipMapper):
    """Turns a video's dataset dict (see `load_ytvis_json`) into a training clip, or into the whole video.

    Training: {"image": T × uint8 (3, h, w), "instances": T × `Instances`, "video_id", "file_names" (of the clip's
    frames), "height", "width" (of the files), "length", "identities"}. An instance that is annotated on any of the T
    frames has the same row on all of them: `gt_classes` (N,), `gt_ids` (N,), `gt_masks` (`BitMasks`), `gt_boxes` (the
    masks' bounds). On frames without it, the row has class `num_classes`, id -1 and an empty mask. Frames may differ in
    size. "identities" has an `Identity` for each of the N rows, the same in every clip of the video.

    Testing: the same without "instances", "image" and "file_names" holding all frames; "image" is `LazyFrames`, which
    takes no memory, however long the video is.
    """

    @configurable
    def __init__(self, is_train: bool, *, frame_range: int, shuffle: bool = False, **clip: Any) -> None:
        """
        Args:
            is_train: sample a clip with its instances, or take the whole video without.
            frame_range: a clip's frames lie within ± this many frames of its reference frame.
            shuffle: leave a clip's frames in random order instead of sorted.
            clip: the arguments of `ClipMapper`.
        """
        super().__init__(is_train, **clip)
        self.frame_range = frame_range
        self.shuffle = shuffle

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        sampling = {"frame_range": cfg.INPUT.SAMPLING_FRAME_RANGE, "shuffle": cfg.INPUT.SAMPLING_FRAME_SHUFFLE}
        return super().from_config(cfg, is_train) | sampling

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        return self._clip(record) if self.is_train else self._video(record)

    def _clip(self, record: dict[str, Any]) -> dict[str, Any]:
        frames = sample_frames(record["length"], self.num_frames, self.frame_range, self.shuffle)
        names, size = record["file_names"], (record["height"], record["width"])
        augmentations = self.augmentation.for_clip()
        tracks, classes, masks = read_tracks(record, set(frames))
        decoded: dict[int, np.ndarray] = {}
        images, instances = [], []
        for index, t in enumerate(frames):
            if t not in decoded:
                decoded[t] = self._read_frame(names[t], size, augmentations)
            image, transforms = augment(augmentations, decoded[t])
            images.append(to_tensor(image))
            rows, shown = masks[t]
            instances.append(frame_instances(rows, transform_masks(transforms, shown), classes, self.num_classes))
            if t not in frames[index + 1 :]:
                del decoded[t]  # the next frame takes its memory
        identities = [("video", names[0], track) for track in tracks]
        return _sample(record, images, [names[t] for t in frames]) | {"instances": instances, "identities": identities}

    def _video(self, record: dict[str, Any]) -> dict[str, Any]:
        read = partial(self._read_test_frame, size=(record["height"], record["width"]))
        return _sample(record, LazyFrames(record["file_names"], read), record["file_names"])

    def _read_test_frame(self, file_name: str, size: tuple[int, int]) -> torch.Tensor:
        augmentations = self.augmentation.for_clip()
        image, _ = augment(augmentations, self._read_frame(file_name, size, augmentations))
        return to_tensor(image)


def _sample(record: dict[str, Any], image: Sequence[torch.Tensor], file_names: Sequence[str]) -> dict[str, Any]:
    fields = {name: record[name] for name in ("video_id", "height", "width", "length")}
    return {"image": image, "file_names": list(file_names), **fields}


def sample_frames(length: int, num_frames: int, frame_range: int, shuffle: bool = False) -> list[int]:
    """Draw a training clip from a video of `length` frames, with numpy's global generator.

    A reference frame is drawn uniformly, `num_frames` - 1 others within ± `frame_range` of it, with replacement and
    without the reference frame itself. Where there is no other frame, the reference frame is repeated.

    Returns:
        The frames' indices, sorted or, with `shuffle`, in random order.
    """
    reference = int(np.random.randint(length))
    first, last = max(0, reference - frame_range), min(length - 1, reference + frame_range)
    if first == last:
        return [reference] * num_frames
    others = np.random.randint(first, last, size=num_frames - 1)
    others += others >= reference  # skip the reference frame
    frames = sorted([reference, *others.tolist()])
    if shuffle:
        np.random.shuffle(frames)
    return frames


@region("JPEG decode")
def read_frame(file_name: str, image_format: str, size: tuple[int, int], reduction: int = 1) -> np.ndarray:
    """`ytvis.images.read_rgb` of any path that detectron2's PathManager knows."""
    return read_rgb(PathManager.get_local_path(file_name), size, order=image_format, reduction=reduction)


@region("record")
def read_tracks(
    record: dict[str, Any], frames: set[int]
) -> tuple[list[int], list[int], dict[int, tuple[list[int], RunLengthMasks]]]:
    """The instances of a video, crowds left out, that are on any of some frames.

    Args:
        record: a video's dataset dict.
        frames: indices.

    Returns:
        The N instances' numbers among all of the video and their classes, and for each frame the rows, of N, that are
        present on it and their masks.
    """
    tracks = [track for track in record["annotations"] if not track["iscrowd"]]
    by_track = [{t: track["segmentations"][t] for t in frames} for track in tracks]
    shown = [index for index, segmentations in enumerate(by_track) if any(segmentations.values())]
    rows = {t: [row for row, index in enumerate(shown) if by_track[index][t]] for t in frames}
    segmentations = [by_track[shown[row]][t] for t in frames for row in rows[t]]
    all_masks = run_length_masks(segmentations, (record["height"], record["width"]))
    masks, first = {}, 0
    for t in frames:
        masks[t] = rows[t], all_masks.part(first, first + len(rows[t]))
        first += len(rows[t])
    return shown, [tracks[index]["category_id"] for index in shown], masks


@region("masks")
def frame_instances(rows: Sequence[int], stack: np.ndarray, classes: Sequence[int], num_classes: int) -> Instances:
    """The instances of a clip on one of its frames, after augmentation.

    Args:
        rows: rows of the instances that the frame's annotations have; their number is n.
        stack: (n, h, w) uint8, their masks, 0 or 1.
        classes: the class of every instance of the clip; their number is N.
        num_classes: the class of an absent instance.

    Returns:
        `Instances` of size (h, w) with `gt_classes` (N,) int64, `gt_ids` (N,) int64, `gt_masks` (N, h, w) and
        `gt_boxes` (N, 4). The id is the row's number. Instances that are not annotated, or whose mask is empty after
        the augmentation, have class `num_classes`, id -1, an empty mask and a box of zeros.
    """
    size = stack.shape[1:]
    if len(rows) < len(classes):
        shown, stack = stack, np.zeros((len(classes), *size), dtype=np.uint8)
        stack[rows] = shown
    boxes = np.zeros((len(classes), 4), dtype=np.float32)
    for row in rows:
        x, y, box_width, box_height = cv2.boundingRect(stack[row])  # all 0 for an empty mask
        boxes[row] = (x, y, x + box_width, y + box_height)
    present = boxes[:, 2] > 0
    instances = Instances(size)
    instances.gt_classes = torch.from_numpy(np.where(present, np.asarray(classes, dtype=np.int64), num_classes))
    instances.gt_ids = torch.from_numpy(np.where(present, np.arange(len(classes)), -1))
    instances.gt_masks = BitMasks(torch.from_numpy(stack.view(np.bool_)))
    instances.gt_boxes = Boxes(torch.from_numpy(boxes))
    return instances


@region("augmentation")
def augment(augmentations: T.AugmentationList, image: np.ndarray) -> tuple[np.ndarray, T.TransformList]:
    frame = T.AugInput(image)
    transforms = augmentations(frame)
    return frame.image, transforms


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) -> (3, H, W)."""
    planes = np.empty((3, *image.shape[:2]), dtype=np.uint8)
    if image.strides[1] < 0:  # a flip is a view, which NumPy copies slowly
        image = cv2.flip(np.ascontiguousarray(image[:, ::-1]), 1)
    cv2.split(np.ascontiguousarray(image), list(planes))
    return torch.from_numpy(planes)
