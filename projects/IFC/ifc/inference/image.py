# SPDX-License-Identifier: Apache-2.0
"""Inference on an image: a clip of one frame → detectron2's Instances."""

import torch
import torch.nn.functional as F
from detectron2.structures import Boxes, Instances
from torch import Tensor


def mask_bounds(masks: Tensor) -> Tensor:
    """Bounding boxes of masks.

    Args:
        masks: (N, H, W) bool.

    Returns:
        (N, 4) float32, x1, y1, x2, y2 with x2 and y2 exclusive; zeros for an empty mask.
    """
    bounds = []
    for occupied in (masks.any(1), masks.any(2)):  # columns (N, W), rows (N, H)
        occupied = occupied.to(torch.uint8)
        # argmax finds the first of equal values.
        bounds += [occupied.argmax(1), occupied.shape[1] - occupied.flip(1).argmax(1)]
    x1, x2, y1, y2 = bounds
    return torch.stack([x1, y1, x2, y2], 1).float() * masks.flatten(1).any(1, keepdim=True)


def infer_image(
    pred_logits: Tensor,
    pred_masks: Tensor,
    padded_size: tuple[int, int],
    image_size: tuple[int, int],
    output_size: tuple[int, int],
) -> Instances:
    """The instances of one image.

    Args:
        pred_logits: (Q, C + 1) class logits, "no object" last.
        pred_masks: (Q, h, w) mask logits.
        padded_size: (height, width) of the batch that the network saw.
        image_size: (height, width) of the image in it, without the padding.
        output_size: (height, width) of the result.

    Returns:
        Instances of size `output_size`, in the order of the queries, with `pred_boxes`, `pred_masks` (N, H, W) bool,
        `scores` and `pred_classes`: the queries whose most probable class is not "no object" and whose box is not
        empty.
    """
    probs = pred_logits.float().softmax(-1)
    valid = torch.nonzero(probs.argmax(-1) != probs.shape[-1] - 1)[:, 0]
    scores, classes = probs[valid].max(-1)

    masks = _resize(pred_masks[valid].float(), padded_size) > 0
    masks = masks[:, : image_size[0], : image_size[1]]
    boxes = Boxes(mask_bounds(masks))
    boxes.scale(output_size[1] / image_size[1], output_size[0] / image_size[0])
    boxes.clip(output_size)

    keep = torch.nonzero(boxes.nonempty())[:, 0]
    return Instances(
        output_size,
        pred_boxes=boxes[keep],
        pred_masks=_resize(masks[keep].float(), output_size) > 0.5,
        scores=scores[keep],
        pred_classes=classes[keep],
    )


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, h, w) → (N, *size), bilinearly."""
    return F.interpolate(x[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
