# SPDX-License-Identifier: Apache-2.0
"""detectron2's backbone together with the padding masks of its features."""

from collections.abc import Sequence

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from torch import Tensor, nn

FEATURES = ("res3", "res4", "res5")  # what the transformer and the mask head read


def padding_mask(
    image_sizes: Sequence[tuple[int, int]], stride: int, grid_size: tuple[int, int], device: torch.device
) -> Tensor | None:
    """Which cells of a feature grid hold padding alone.

    Args:
        image_sizes: (height, width) of each of the N frames before padding, in pixels.
        stride: pixels a cell.
        grid_size: (h, w) of the padded grid.

    Returns:
        (N, h, w) bool, True outside ceil(height / stride) × ceil(width / stride); None if nothing is padded.
    """
    valid = [(-(-height // stride), -(-width // stride)) for height, width in image_sizes]
    if all(size == tuple(grid_size) for size in valid):
        return None
    valid_heights, valid_widths = torch.tensor(valid, device=device).unbind(1)  # (N,) each
    rows = torch.arange(grid_size[0], device=device) >= valid_heights[:, None]  # (N, h)
    columns = torch.arange(grid_size[1], device=device) >= valid_widths[:, None]  # (N, w)
    return rows[:, :, None] | columns[:, None, :]


class MaskedBackbone(nn.Module):
    """A detectron2 backbone that also tells which cells of its coarsest feature are padding.

    The features keep the backbone's names, channels and strides; see `output_shape`.
    """

    def __init__(self, backbone: Backbone):
        super().__init__()
        shapes = backbone.output_shape()
        missing = [name for name in FEATURES if name not in shapes]
        if missing:
            raise ValueError(f"MODEL.RESNETS.OUT_FEATURES: expected {list(FEATURES)} in it, found {sorted(shapes)}")
        self.backbone = backbone

    def output_shape(self) -> dict[str, ShapeSpec]:
        return self.backbone.output_shape()

    def forward(
        self, images: Tensor, image_sizes: Sequence[tuple[int, int]] | None = None
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """
        Args:
            images: (N, 3, H, W) normalized frames, zero-padded.
            image_sizes: (height, width) of each frame before padding; None if nothing is padded.

        Returns:
            features: name → (N, C_l, ceil(H / stride_l), ceil(W / stride_l)).
            padding: (N, h, w) bool for res5, True where a cell is padding; None if nothing is padded.
        """
        features = self.backbone(images)
        if image_sizes is None:
            return features, None
        stride = self.output_shape()["res5"].stride
        padding = padding_mask(image_sizes, stride, features["res5"].shape[-2:], images.device)
        return features, padding
