# SPDX-License-Identifier: Apache-2.0
"""Sine encoding of a cell's place in its frame (DETR, arXiv 2005.12872, appendix A.4)."""

import math

import torch
from torch import Tensor


def sine_position(valid: Tensor, dim: int, temperature: float = 10000.0) -> Tensor:
    """Encode each cell's row and column as fractions of the valid area.

    Args:
        valid: (N, h, w) bool, False where a cell is padding.
        dim: number of features, a multiple of 4: the first half encodes y, the second x.
        temperature: base of the geometric series of wavelengths.

    Returns:
        (N, dim, h, w) float32. With a = 2π · count / (total + 1e-6), count being the valid cells up to and including
        this one along the axis: feature 2i of an axis is sin(a / temperature^(4i/dim)), feature 2i + 1 its cosine.
    """
    y = valid.cumsum(1, dtype=torch.float32)  # (N, h, w)
    x = valid.cumsum(2, dtype=torch.float32)
    y = 2 * math.pi * y / (y[:, -1:, :] + 1e-6)
    x = 2 * math.pi * x / (x[:, :, -1:] + 1e-6)
    exponents = torch.arange(dim // 4, dtype=torch.float32, device=valid.device) * (4 / dim)
    wavelengths = temperature**exponents  # (dim / 4,)
    angles = torch.stack([y, x], dim=1)[:, :, None] / wavelengths[:, None, None]  # (N, 2, dim / 4, h, w)
    return torch.stack([angles.sin(), angles.cos()], dim=3).flatten(1, 3)  # (N, dim, h, w)
