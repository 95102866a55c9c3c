# SPDX-License-Identifier: Apache-2.0
"""Augmentations of a clip: what detectron2's do for one image, with choices that hold for all frames of a clip."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from PIL import Image

RESIZE_STYLES = ("choice", "range", "choice_by_clip", "range_by_clip")
FLIP_STYLES = ("none", "horizontal", "vertical", "flip_by_clip")
CROP_TYPES = ("relative_range", "relative", "absolute", "absolute_range")
PHOTOMETRIC = {"brightness": T.RandomBrightness, "contrast": T.RandomContrast, "saturation": T.RandomSaturation}
EXTRA_AUGMENTATIONS = (*PHOTOMETRIC, "rotation")


class ClipAugmentation:
    """Draws the augmentations of clips: crop, resize of the shortest edge, flip, then colours and rotation.

    `for_clip()` is called once a clip; what it returns is applied to each frame in turn. A style that ends in
    "_by_clip" is drawn by `for_clip()`, everything else anew for each frame, all from numpy's global generator.
    """

    def __init__(
        self,
        *,
        min_sizes: Sequence[int],
        max_size: int,
        resize_style: str = "choice",
        flip: str = "none",
        crop: tuple[str, Sequence[float]] | None = None,
        extra: Sequence[str] = (),
    ) -> None:
        """
        Args:
            min_sizes: lengths of the shortest edge in pixels, to choose from, or (smallest, largest) for a range.
                0 leaves a frame as it is.
            max_size: limit of the longest edge in pixels.
            resize_style: one of `RESIZE_STYLES`.
            flip: one of `FLIP_STYLES`; "flip_by_clip" is horizontal. The probability is 0.5.
            crop: (type, size) of detectron2's `RandomCrop`, or None.
            extra: any of `EXTRA_AUGMENTATIONS`; they are applied in that order.

        Raises:
            ValueError: a value that does not exist or does not fit the others; the message names the config key.
        """
        min_sizes = tuple(min_sizes)
        _check_member("INPUT.MIN_SIZE_TRAIN_SAMPLING", resize_style, RESIZE_STYLES)
        _check_member("INPUT.RANDOM_FLIP", flip, FLIP_STYLES)
        for name in extra:
            _check_member("INPUT.AUGMENTATIONS", name, EXTRA_AUGMENTATIONS)
        if not min_sizes or any(size < 0 for size in min_sizes):
            raise ValueError(f"INPUT.MIN_SIZE_TRAIN or MIN_SIZE_TEST: found {min_sizes}, expected 0 or more pixels")
        if resize_style.startswith("range") and (len(min_sizes) != 2 or min_sizes[0] > min_sizes[1]):
            raise ValueError(
                f"INPUT.MIN_SIZE_TRAIN: found {min_sizes}, expected (smallest, largest) for '{resize_style}'"
            )
        if max_size < 1:
            raise ValueError(f"INPUT.MAX_SIZE_TRAIN or MAX_SIZE_TEST: found {max_size}, expected at least 1 pixel")
        self.min_sizes = min_sizes
        self.max_size = max_size
        self.resize_style = resize_style
        self.flip = flip
        self.crop = None if crop is None else _random_crop(*crop)
        self.extra = [_extra_augmentation(name) for name in EXTRA_AUGMENTATIONS if name in extra]

    def for_clip(self) -> T.AugmentationList:
        """The augmentations for all frames of one clip."""
        augmentations = [] if self.crop is None else [self.crop]
        augmentations.append(self._resize())
        if self.flip in ("horizontal", "vertical"):
            vertical = self.flip == "vertical"
            augmentations.append(T.RandomFlip(horizontal=not vertical, vertical=vertical))
        elif self.flip == "flip_by_clip" and np.random.uniform() < 0.5:
            augmentations.append(T.RandomFlip(prob=1.0))
        return T.AugmentationList(augmentations + self.extra)

    def _resize(self) -> T.ResizeShortestEdge:
        style = self.resize_style.removesuffix("_by_clip")
        if style == self.resize_style:
            return T.ResizeShortestEdge(self.min_sizes, self.max_size, style)
        if style == "range":
            size = int(np.random.randint(self.min_sizes[0], self.min_sizes[1] + 1))
        else:
            size = int(np.random.choice(self.min_sizes))
        return T.ResizeShortestEdge([size], self.max_size, "choice")


def build_augmentation(cfg: CfgNode, is_train: bool) -> ClipAugmentation:
    """The augmentations that `cfg.INPUT` asks for; in testing the resize alone."""
    if not is_train:
        return ClipAugmentation(min_sizes=[cfg.INPUT.MIN_SIZE_TEST], max_size=cfg.INPUT.MAX_SIZE_TEST)
    return ClipAugmentation(
        min_sizes=cfg.INPUT.MIN_SIZE_TRAIN,
        max_size=cfg.INPUT.MAX_SIZE_TRAIN,
        resize_style=cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING,
        flip=cfg.INPUT.RANDOM_FLIP,
        crop=(cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE) if cfg.INPUT.CROP.ENABLED else None,
        extra=cfg.INPUT.AUGMENTATIONS,
    )


def _check_member(key: str, value: Any, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{key}: found {value!r}, expected one of {', '.join(map(repr, allowed))}")


def _random_crop(crop_type: str, size: Sequence[float]) -> T.RandomCrop:
    _check_member("INPUT.CROP.TYPE", crop_type, CROP_TYPES)
    relative = crop_type.startswith("relative")
    fits = len(size) == 2 and all(0 < edge <= 1 if relative else edge >= 1 and edge == int(edge) for edge in size)
    if not fits or (crop_type == "absolute_range" and size[0] > size[1]):
        expected = "two fractions in (0, 1]" if relative else "two whole numbers of pixels, for a range in order"
        raise ValueError(f"INPUT.CROP.SIZE: found {size}, expected {expected} for '{crop_type}'")
    return T.RandomCrop(crop_type, tuple(size) if relative else tuple(int(edge) for edge in size))


def _extra_augmentation(name: str) -> T.Augmentation:
    if name == "rotation":
        return T.RandomRotation([-15, 15], expand=False, center=[(0.4, 0.4), (0.6, 0.6)])
    return PHOTOMETRIC[name](0.9, 1.1)


def transform_masks(transforms: T.TransformList, masks: np.ndarray) -> np.ndarray:
    """Apply an image's transforms to all its masks at once.

    Crops, nearest-neighbour resizes and flips only pick rows and columns. Any run of them is carried out as one gather,
    with the result of `transforms.apply_segmentation` on each mask alone.

    Args:
        transforms: what was applied to the image.
        masks: (N, H, W) uint8.

    Returns:
        (N, h, w) uint8.
    """
    rows, cols = np.arange(masks.shape[1]), np.arange(masks.shape[2])
    for transform in _flat(transforms):
        if isinstance(transform, T.NoOpTransform | T.BlendTransform):
            continue
        if isinstance(transform, T.CropTransform):
            rows = rows[transform.y0 : transform.y0 + transform.h]
            cols = cols[transform.x0 : transform.x0 + transform.w]
        elif isinstance(transform, T.ResizeTransform):
            rows = _resize_nearest(rows, transform.new_h)
            cols = _resize_nearest(cols, transform.new_w)
        elif isinstance(transform, T.HFlipTransform):
            cols = cols[::-1]
        elif isinstance(transform, T.VFlipTransform):
            rows = rows[::-1]
        else:
            masks = _pick(masks, rows, cols)
            if len(masks):
                masks = np.stack([transform.apply_segmentation(mask) for mask in masks])
            rows, cols = np.arange(masks.shape[1]), np.arange(masks.shape[2])
    return _pick(masks, rows, cols)


def _flat(transforms: T.TransformList) -> list[T.Transform]:
    flat = []
    for transform in transforms.transforms:
        flat.extend(_flat(transform) if isinstance(transform, T.TransformList) else [transform])
    return flat


def _resize_nearest(indices: np.ndarray, size: int) -> np.ndarray:
    """Resize a line of indices as Pillow, and so detectron2's `ResizeTransform`, resizes each line of a mask."""
    line = Image.fromarray(indices[np.newaxis].astype(np.int32))
    return np.asarray(line.resize((size, 1), Image.NEAREST))[0]


def _pick(masks: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """`masks[:, rows][:, :, cols]`, faster: decoded masks lie column by column in memory, so columns come first."""
    picked = np.empty((len(masks), len(rows), len(cols)), dtype=masks.dtype)
    for row, mask in enumerate(masks):
        columns = mask.T.take(cols, axis=0)  # (w, H)
        picked[row] = cv2.transpose(columns).take(rows, axis=0)
    return picked
