# SPDX-License-Identifier: Apache-2.0
"""Dropout whose masks are made fast on a CPU, too."""

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """torch's dropout. On a CPU, where torch takes a random number of 64 bits for each value, 16 bits decide."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.drops_by_itself(x):
            return super().forward(x)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        kept = bits[: x.numel()].view(x.shape) >= round(self.p * 2**16) - 2**15
        return torch.where(kept, x * (1 / (1 - self.p)), 0)

    def drops_by_itself(self, x: Tensor) -> bool:
        """Whether values are dropped, and not by torch: not on a GPU nor in what torch.compile compiles."""
        return self.training and self.p > 0 and x.device.type == "cpu" and not torch.compiler.is_compiling()
