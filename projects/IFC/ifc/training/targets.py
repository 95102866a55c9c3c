# SPDX-License-Identifier: Apache-2.0
"""From the annotated frames of a batch of clips to what the queries are trained on."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from detectron2.structures import Instances
from torch import Tensor


@dataclass(frozen=True)
class BatchTarget:
    """The N instances of a batch of clips of T frames, one clip's after the other's.

    Attributes:
        counts: how many instances each clip has.
        labels: (N,) int64 classes.
        masks: (N, T, H / MASK_STRIDE, W / MASK_STRIDE) float in [0, 1], for the losses.
        match_masks: (N, T, H / MATCH_STRIDE, W / MATCH_STRIDE) float in [0, 1], for the matching.
        identities: (N,) int64, equal where an instance is the same in two clips. The losses of one clip do without.
    """

    counts: list[int]
    labels: Tensor
    masks: Tensor
    match_masks: Tensor
    identities: Tensor | None = None


def resize_masks(masks: Tensor, stride: int) -> Tensor:
    """(N, T, H, W) masks → (N, T, ceil(H / stride), ceil(W / stride)) float, bilinear and not binarized again."""
    size = [-(-length // stride) for length in masks.shape[-2:]]
    if not len(masks):
        return torch.zeros((0, masks.shape[1], *size), device=masks.device)
    frames = masks.split(1, dim=1)  # of which one at a time is float at full size
    return torch.cat([F.interpolate(x.float(), size=size, mode="bilinear", align_corners=False) for x in frames], dim=1)


def instances_of(frames: Sequence[Instances]) -> Tensor:
    """int64 (N,), ascending: the rows of `frames` (see `batch_target`) of the instances that are present in any."""
    return (torch.stack([frame.gt_ids for frame in frames]) != -1).any(dim=0).nonzero()[:, 0]


def batch_target(
    clips: Sequence[Sequence[Instances]],
    padded_size: tuple[int, int],
    mask_stride: int,
    match_stride: int,
    device: torch.device,
    identities: Sequence[Sequence[Hashable]] | None = None,
) -> BatchTarget:
    """The target of a batch, which goes to the device as one tensor of masks and one of classes.

    Args:
        clips: for each clip the instances of its T frames, an instance keeping its row through all of them, with
            `gt_classes` (N,), `gt_ids` (N,), -1 where the instance is absent, and `gt_masks` (N, h, w).
        padded_size: (H, W) of the batch's largest frame, to which masks are zero-padded.
        mask_stride, match_stride: strides of the masks in the losses and in the matching.
        device: where the target goes.
        identities: for each clip what its N instances are known by in all clips.

    Returns:
        Without the instances that are absent from every frame; the class is that of any frame that holds the instance.
    """
    rows_of_clips = [instances_of(frames) for frames in clips]
    counts = [len(rows) for rows in rows_of_clips]
    is_pinned = device.type == "cuda"  # memory from which a GPU copies while the host goes on
    labels = torch.empty(sum(counts), dtype=torch.int64, pin_memory=is_pinned)
    masks = torch.zeros((sum(counts), len(clips[0]), *padded_size), dtype=torch.bool, pin_memory=is_pinned)
    parts = zip(clips, rows_of_clips, labels.split(counts), masks.split(counts), strict=True)
    for frames, rows, clip_labels, clip_masks in parts:
        present = torch.stack([frame.gt_ids for frame in frames]) != -1
        frame_holding = present.int().argmax(dim=0, keepdim=True)  # the first frame that holds the instance
        classes = torch.stack([frame.gt_classes for frame in frames])
        clip_labels.copy_(classes.gather(0, frame_holding)[0, rows])
        for t, frame in enumerate(frames):
            height, width = frame.image_size
            clip_masks[:, t, :height, :width] = frame.gt_masks.tensor[rows]
    labels, masks = labels.to(device, non_blocking=True), masks.to(device, non_blocking=True)
    resized = resize_masks(masks, mask_stride)
    match_masks = resized if match_stride == mask_stride else resize_masks(masks, match_stride)
    numbers = None if identities is None else _numbers(identities, rows_of_clips).to(device, non_blocking=True)
    return BatchTarget(counts, labels, resized, match_masks, numbers)


def _numbers(identities: Sequence[Sequence[Hashable]], rows_of_clips: Sequence[Tensor]) -> Tensor:
    """int64, one for each row of the clips in turn: equal identities have equal numbers."""
    numbers: dict[Hashable, int] = {}
    kept = [of_clip[row] for of_clip, rows in zip(identities, rows_of_clips, strict=True) for row in rows.tolist()]
    return torch.tensor([numbers.setdefault(identity, len(numbers)) for identity in kept], dtype=torch.int64)
