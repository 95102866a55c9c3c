# SPDX-License-Identifier: Apache-2.0
"""Augmentations of a clip: what detectron2's do for one image, with choices that hold for all frames of a clip."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from PIL import Image

from ..regions import region
from .clip_masks import RunLengthMasks

RESIZE_STYLES = ("choice", "range", "choice_by_clip", "range_by_clip")
FLIP_STYLES = ("none", "horizontal", "vertical", "flip_by_clip")
CROP_TYPES = ("relative_range", "relative", "absolute", "absolute_range")
PHOTOMETRIC = {"brightness": T.RandomBrightness, "contrast": T.RandomContrast, "saturation": T.RandomSaturation}
EXTRA_AUGMENTATIONS = (*PHOTOMETRIC, "rotation")
REDUCTIONS = (1, 2, 4, 8)  # of a JPEG's sides, that can be had by decoding less of it


class ClipAugmentation:
    """Draws the augmentations of clips: crop, resize of the shortest edge, flip, then colors and rotation.

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
        fast_resize: bool = False,
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
            fast_resize: resize with `FastResizeTransform`, not with Pillow, whose every bit evaluation keeps to.
        """
        self.min_sizes = tuple(min_sizes)
        self.max_size = max_size
        self.resize_style = resize_style
        self.resize = FastResizeShortestEdge if fast_resize else T.ResizeShortestEdge
        self.flip = flip
        self.crop = None if crop is None else _random_crop(*crop)
        self.extra = [_extra_augmentation(name) for name in EXTRA_AUGMENTATIONS if name in extra]
        self.colors = T.AugmentationList([_extra_augmentation(name) for name in PHOTOMETRIC if name in extra])

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

    def draw_view(self, size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """For all frames that show an image of `size`, (height, width), in smooth motion: crop, resize and flip.

        Returns:
            (height, width) of the crop, (height, width) to resize it to, and for x and y -1 to flip, or 1.
        """
        view = size if self.crop is None else self.crop.get_crop_size(size)
        resize = self._resize().get_transform(np.broadcast_to(np.uint8(0), view))
        out_size = (resize.new_h, resize.new_w) if isinstance(resize, T.ResizeTransform) else view
        sign = 1 if self.flip == "none" else int(np.random.choice([-1, 1]))
        return view, out_size, (1, sign) if self.flip == "vertical" else (sign, 1)

    def reduction(self, augmentations: T.AugmentationList, size: tuple[int, int]) -> int:
        """The largest of `REDUCTIONS` that leaves frames of `size` large enough for what `for_clip` gave."""
        edges = next(a for a in augmentations.augs if isinstance(a, T.ResizeShortestEdge)).short_edge_length
        return max((r for r in REDUCTIONS if 0 not in edges and min(size) // r >= max(edges)), default=1)

    def _resize(self) -> T.ResizeShortestEdge:
        style = self.resize_style.removesuffix("_by_clip")
        if style == self.resize_style:
            return self.resize(self.min_sizes, self.max_size, style)
        if style == "range":
            size = int(np.random.randint(self.min_sizes[0], self.min_sizes[1] + 1))
        else:
            size = int(np.random.choice(self.min_sizes))
        return self.resize([size], self.max_size, "choice")


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
        fast_resize=True,
    )


def _random_crop(crop_type: str, size: Sequence[float]) -> T.RandomCrop:
    return T.RandomCrop(crop_type, tuple(size) if crop_type.startswith("relative") else tuple(map(int, size)))


def _extra_augmentation(name: str) -> T.Augmentation:
    if name == "rotation":
        return T.RandomRotation([-15, 15], expand=False, center=[(0.4, 0.4), (0.6, 0.6)])
    return PHOTOMETRIC[name](0.9, 1.1)


class FastResizeTransform(T.ResizeTransform):
    """detectron2's resize, whose bilinear form is computed by torch: the same but for rounding, in a third of the time.

    torch follows Pillow's fixed-point arithmetic; where the two round differently, a pixel differs by 1 of 255.
    """

    def apply_image(self, img: np.ndarray, interp: int | None = None) -> np.ndarray:
        """(h, w, 3) uint8 -> (new_h, new_w, 3) uint8."""
        method = self.interp if interp is None else interp
        if img.shape[:2] == (self.new_h, self.new_w):
            return img
        if method != Image.BILINEAR or img.dtype != np.uint8 or img.shape[2:] != (3,):
            return super().apply_image(img, interp)
        if min(img.strides) < 0 or not img.flags.writeable:  # a flipped one, one of Pillow's: torch takes neither
            img = img.copy()
        pixels = torch.from_numpy(img)[None].permute(0, 3, 1, 2)  # in this order torch knows it for channels last
        size = (self.new_h, self.new_w)
        resized = torch.nn.functional.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
        return resized[0].permute(1, 2, 0).numpy()


class FastResizeShortestEdge(T.ResizeShortestEdge):
    """detectron2's resize of the shortest edge, with `FastResizeTransform`."""

    def get_transform(self, image: np.ndarray) -> T.Transform:
        resize = super().get_transform(image)
        if not isinstance(resize, T.ResizeTransform):
            return resize
        return FastResizeTransform(resize.h, resize.w, resize.new_h, resize.new_w, resize.interp)


@region("masks")
def transform_masks(transforms: T.TransformList, masks: RunLengthMasks) -> np.ndarray:
    """Apply an image's transforms to all its masks at once.

    Crops, nearest-neighbor resizes and flips only pick rows and columns. Any run of them is carried out as one pick,
    with the result of `transforms.apply_segmentation` on each mask alone. Pixels that the first such run leaves out are
    never decoded.

    Args:
        transforms: what was applied to the image.
        masks: N masks of H × W.

    Returns:
        (N, h, w) uint8, 0 or 1.
    """
    pick: Callable[[np.ndarray, np.ndarray], np.ndarray] = masks.pick
    rows, cols = (np.arange(length) for length in masks.size)
    for transform in _flat(transforms):
        if isinstance(transform, T.NoOpTransform | T.BlendTransform):
            continue
        if isinstance(transform, T.CropTransform):
            rows = rows[transform.y0 : transform.y0 + transform.h]
            cols = cols[transform.x0 : transform.x0 + transform.w]
        elif isinstance(transform, T.ResizeTransform):
            rows = rows[_nearest(len(rows), transform.new_h)]
            cols = cols[_nearest(len(cols), transform.new_w)]
        elif isinstance(transform, T.HFlipTransform):
            cols = cols[::-1]
        elif isinstance(transform, T.VFlipTransform):
            rows = rows[::-1]
        else:
            stack = pick(rows, cols)
            if len(stack):
                stack = np.stack([transform.apply_segmentation(mask) for mask in stack])
            pick = functools.partial(_pick, stack)
            rows, cols = (np.arange(length) for length in stack.shape[1:])
    return pick(rows, cols)


def _flat(transforms: T.TransformList) -> list[T.Transform]:
    flat = []
    for transform in transforms.transforms:
        flat.extend(_flat(transform) if isinstance(transform, T.TransformList) else [transform])
    return flat


@functools.lru_cache(maxsize=64)
def _nearest(length: int, size: int) -> np.ndarray:
    """(size,) which pixels of a line Pillow, and so detectron2's `ResizeTransform`, takes for a mask's resized line."""
    line = Image.fromarray(np.arange(length, dtype=np.int32)[np.newaxis])
    return np.asarray(line.resize((size, 1), Image.NEAREST))[0]


def _pick(masks: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    return masks[:, rows][:, :, cols]
