# SPDX-License-Identifier: Apache-2.0
"""From pixels to the network's input."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..regions import region


class FrameNormalizer(nn.Module):
    """Subtracts a mean and divides by a deviation, one a channel.

    Args:
        mean, std: one value a channel, in the channel order of the frames.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    @region("normalization")
    def forward(self, frames: Tensor) -> Tensor:
        """uint8 (…, 3, h, w) on any device → float32 on the module's."""
        return (frames.to(self.mean.device, non_blocking=True) - self.mean) / self.std


def stacked(frames: Sequence[Tensor], device: torch.device) -> Tensor:
    """(N, 3, h, w), where the frames lie; for a GPU in pinned memory, of which it copies while the host goes on."""
    like, is_pinned = frames[0], device.type == "cuda" and frames[0].device.type == "cpu"
    batch = torch.empty((len(frames), *like.shape), dtype=like.dtype, device=like.device, pin_memory=is_pinned)
    return torch.stack(tuple(frames), out=batch)
