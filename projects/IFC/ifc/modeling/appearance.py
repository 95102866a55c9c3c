# SPDX-License-Identifier: Apache-2.0
"""What tells an instance from others of its class, however long it was out of sight."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .mask_head import MLP


class AppearanceHead(nn.Module):
    """From a query, and what its mask covers, to an embedding that is near those of the same instance in other clips.

    (Embeddings of queries that a contrastive loss trains are IDOL's, arXiv 2207.10661, those of pixels under the
    predicted masks beside them VISAGE's, arXiv 2312.04885.)

    Args:
        dim: D, width of queries and pixels.
        out_dim: E.
        pools: look at the pixels, too.

    Attributes:
        is_optional: where weights are used as they are and do not have this head, the network may do without.
    """

    def __init__(self, dim: int, out_dim: int, pools: bool = False, is_optional: bool = False):
        super().__init__()
        self.is_optional = is_optional
        self.norm = nn.LayerNorm(dim) if pools else None
        self.mlp = MLP(2 * dim if pools else dim, out_dim, 3)

    def forward(self, queries: Tensor, masks: Tensor, pixels: Tensor) -> Tensor:
        """
        Args:
            queries: (B, Q, D), the decoder's last states.
            masks: (B, Q, T, h₃, w₃) logits, to which no gradient goes: they are not to fit the embedding.
            pixels: (B, T, D, h₃, w₃).

        Returns:
            (B, Q, E), of length 1.
        """
        if self.norm is not None:
            weights = masks.detach().sigmoid().transpose(1, 2).flatten(3)  # (B, T, Q, h₃·w₃)
            sums = (weights @ pixels.flatten(3).transpose(2, 3)).sum(1)  # (B, Q, D)
            means = sums / weights.sum((1, 3)).clamp(min=1)[..., None]
            queries = torch.cat([queries, self.norm(means)], dim=2)
        return F.normalize(self.mlp(queries), dim=2)
