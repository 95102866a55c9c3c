# SPDX-License-Identifier: Apache-2.0
"""From a clip's annotated frames to what its queries are trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from detectron2.structures import Instances
from torch import Tensor


@dataclass(frozen=True)
class ClipTarget:
    """The N instances of one clip of T frames.

    Attributes:
        labels: (N,) int64 classes.
        masks: (N, T, H / MASK_STRIDE, W / MASK_STRIDE) float in [0, 1], for the losses.
        match_masks: (N, T, H / MATCH_STRIDE, W / MATCH_STRIDE) float in [0, 1], for the matching.
    """

    labels: Tensor
    masks: Tensor
    match_masks: Tensor


def resize_masks(masks: Tensor, stride: int) -> Tensor:
    """(N, T, H, W) float masks → (N, T, ceil(H / stride), ceil(W / stride)), bilinear and not binarized again."""
    size = [-(-length // stride) for length in masks.shape[-2:]]
    if not len(masks):
        return masks.new_zeros((0, masks.shape[1], *size))
    return F.interpolate(masks, size=size, mode="bilinear", align_corners=False)


def instances_of(frames: Sequence[Instances]) -> Tensor:
    """int64 (N,), ascending: the rows of `frames` (see `clip_target`) of the instances that are present in any."""
    return (torch.stack([frame.gt_ids for frame in frames]) != -1).any(dim=0).nonzero()[:, 0]


def clip_target(
    frames: Sequence[Instances], padded_size: tuple[int, int], mask_stride: int, match_stride: int, device: torch.device
) -> ClipTarget:
    """The target of one clip.

    Args:
        frames: the T frames' instances, an instance keeping its row through all of them, with `gt_classes` (N,),
            `gt_ids` (N,), -1 where the instance is absent, and `gt_masks` (N, h, w).
        padded_size: (H, W) of the batch's largest frame, to which masks are zero-padded.
        mask_stride, match_stride: strides of the masks in the losses and in the matching.
        device: where the target goes.

    Returns:
        Without the instances that are absent from every frame; the class is that of any frame that holds the instance.
    """
    ids = torch.stack([frame.gt_ids for frame in frames])  # (T, N), on the CPU as the loader made them
    classes = torch.stack([frame.gt_classes for frame in frames])
    present = ids != -1
    kept = instances_of(frames)
    frame_holding = present.int().argmax(dim=0)  # the first frame that holds the instance
    labels = classes.gather(0, frame_holding[None])[0, kept].to(device, non_blocking=True)
    masks = torch.zeros((len(kept), len(frames), *padded_size), device=device)
    for t, frame in enumerate(frames):
        height, width = frame.image_size
        masks[:, t, :height, :width] = frame.gt_masks.tensor[kept].to(device, non_blocking=True)
    resized = resize_masks(masks, mask_stride)
    return ClipTarget(
        labels=labels,
        masks=resized,
        match_masks=resized if match_stride == mask_stride else resize_masks(masks, match_stride),
    )
