# SPDX-License-Identifier: Apache-2.0
"""The inter-frame communication transformer: an encoder whose memory tokens carry information between the frames of a
clip (IFC, arXiv 2106.03299, section 3.2), and DETR's decoder over the whole clip."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MultiheadAttention(nn.Module):
    """Multi-head attention on fused kernels, with the parameters of `torch.nn.MultiheadAttention`.

    Only the output is computed, never the attention weights as a tensor.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float):
        super().__init__()
        if dim % num_heads:
            raise ValueError(
                f"MODEL.IFC.NHEADS: found {num_heads}, expected a divisor of MODEL.IFC.HIDDEN_DIM, which is {dim}"
            )
        self.num_heads = num_heads
        self.dropout = dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))  # rows: query, key, value
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, key_padding: Tensor | None = None) -> Tensor:
        """
        Args:
            query: (B, L, D).
            key, value: (B, S, D). Where `key` is `query`, their projections are one matrix product.
            key_padding: (B, S) bool, True where a key is to be ignored; None if all count.

        Returns:
            (B, L, D).
        """
        dim = query.shape[-1]
        if key is query:
            q, k = F.linear(query, self.in_proj_weight[: 2 * dim], self.in_proj_bias[: 2 * dim]).chunk(2, dim=-1)
        else:
            q = F.linear(query, self.in_proj_weight[:dim], self.in_proj_bias[:dim])
            k = F.linear(key, self.in_proj_weight[dim : 2 * dim], self.in_proj_bias[dim : 2 * dim])
        v = F.linear(value, self.in_proj_weight[2 * dim :], self.in_proj_bias[2 * dim :])
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (q, k, v))  # (B, heads, ·, D / heads)
        attended = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=None if key_padding is None else ~key_padding[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward block, each with a residual connection and layer norm."""

    def __init__(self, dim: int, num_heads: int, dim_feedforward: int, dropout: float, pre_norm: bool):
        super().__init__()
        self.self_attn = MultiheadAttention(dim, num_heads, dropout)
        self.linear1 = nn.Linear(dim, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.pre_norm = pre_norm

    def _attend(self, tokens: Tensor, position: Tensor | None, key_padding: Tensor | None) -> Tensor:
        placed = tokens if position is None else tokens + position
        return self.dropout(self.self_attn(placed, placed, tokens, key_padding))

    def _feed_forward(self, tokens: Tensor) -> Tensor:
        return self.dropout(self.linear2(self.dropout(F.relu(self.linear1(tokens)))))

    def forward(self, tokens: Tensor, position: Tensor | None = None, key_padding: Tensor | None = None) -> Tensor:
        """
        Args:
            tokens: (B, L, D).
            position: (B, L, D), added to queries and keys; None for none.
            key_padding: (B, L) bool, True where a token is ignored as a key; None if all count.

        Returns:
            (B, L, D).
        """
        if self.pre_norm:
            tokens = tokens + self._attend(self.norm1(tokens), position, key_padding)
            return tokens + self._feed_forward(self.norm2(tokens))
        tokens = self.norm1(tokens + self._attend(tokens, position, key_padding))
        return self.norm2(tokens + self._feed_forward(tokens))


class DecoderLayer(nn.Module):
    """Self-attention among the queries, attention to the clip, and a feed-forward block."""

    def __init__(self, dim: int, num_heads: int, dim_feedforward: int, dropout: float, pre_norm: bool):
        super().__init__()
        self.self_attn = MultiheadAttention(dim, num_heads, dropout)
        self.multihead_attn = MultiheadAttention(dim, num_heads, dropout)
        self.linear1 = nn.Linear(dim, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.pre_norm = pre_norm

    def forward(
        self, queries: Tensor, query_position: Tensor, memory: Tensor, placed_memory: Tensor, key_padding: Tensor | None
    ) -> Tensor:
        """
        Args:
            queries: (B, Q, D).
            query_position: (B, Q, D) or broadcastable, added to the queries wherever they attend.
            memory: (B, S, D), the values.
            placed_memory: (B, S, D), the keys: memory plus its position.
            key_padding: (B, S) bool, True where a key is ignored; None if all count.

        Returns:
            (B, Q, D).
        """

        def attend_queries(x: Tensor) -> Tensor:
            placed = x + query_position
            return self.dropout(self.self_attn(placed, placed, x))

        def attend_memory(x: Tensor) -> Tensor:
            return self.dropout(self.multihead_attn(x + query_position, placed_memory, memory, key_padding))

        def feed_forward(x: Tensor) -> Tensor:
            return self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x)))))

        blocks = ((attend_queries, self.norm1), (attend_memory, self.norm2), (feed_forward, self.norm3))
        for block, norm in blocks:
            queries = queries + block(norm(queries)) if self.pre_norm else norm(queries + block(queries))
        return queries


class ClipEncoder(nn.Module):
    """Alternates layers that see one frame with its memory tokens, and layers that see the memory tokens of all frames.

    The first frame layer does not depend on the other frames of a clip. `forward_frames` is that layer, so that
    overlapping windows share it; `forward_clips` is all the rest.
    """

    def __init__(self, dim: int, num_heads: int, dim_feedforward: int, dropout: float, pre_norm: bool, num_layers: int):
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"MODEL.IFC.ENC_LAYERS: found {num_layers}, expected at least 1")
        layer = (dim, num_heads, dim_feedforward, dropout, pre_norm)
        self.enc_layers = nn.ModuleList(EncoderLayer(*layer) for _ in range(num_layers))
        self.bus_layers = nn.ModuleList(EncoderLayer(*layer) for _ in range(num_layers))
        self.out_norm = nn.LayerNorm(dim) if pre_norm else None
        self.bus_norm = nn.LayerNorm(dim) if pre_norm else None

    def forward_frames(self, tokens: Tensor, position: Tensor, key_padding: Tensor | None) -> Tensor:
        """The first layer over each of N frames alone.

        Args:
            tokens, position: (N, h·w + M, D), a frame's cells and then its memory tokens.
            key_padding: (N, h·w + M) bool, True where a cell is padding; None if nothing is.

        Returns:
            (N, h·w + M, D).
        """
        return self.enc_layers[0](tokens, position, key_padding)

    def forward_clips(
        self, tokens: Tensor, position: Tensor, key_padding: Tensor | None, num_frames: int, num_memory: int
    ) -> Tensor:
        """Everything after the first frame layer, for B clips of `num_frames` consecutive frames.

        Args:
            tokens, position, key_padding: as in `forward_frames`, with N = B · num_frames.
            num_memory: M, the memory tokens at the end of each frame.

        Returns:
            (N, h·w + M, D).
        """
        num_cells = tokens.shape[1] - num_memory
        for i, bus_layer in enumerate(self.bus_layers):
            if i > 0:
                tokens = self.enc_layers[i](tokens, position, key_padding)
            cells, memory = tokens.split([num_cells, num_memory], dim=1)
            slots = memory.unflatten(0, (-1, num_frames)).transpose(1, 2)  # (B, M, T, D)
            slots = bus_layer(slots.flatten(0, 1)).unflatten(0, slots.shape[:2])
            tokens = torch.cat([cells, slots.transpose(1, 2).flatten(0, 1)], dim=1)
        if self.out_norm is not None and self.bus_norm is not None:
            cells, memory = tokens.split([num_cells, num_memory], dim=1)
            tokens = torch.cat([self.out_norm(cells), self.bus_norm(memory)], dim=1)
        return tokens


class ClipDecoder(nn.Module):
    """DETR's decoder with the tokens of a whole clip as keys."""

    def __init__(self, dim: int, num_heads: int, dim_feedforward: int, dropout: float, pre_norm: bool, num_layers: int):
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"MODEL.IFC.DEC_LAYERS: found {num_layers}, expected at least 1")
        self.layers = nn.ModuleList(
            DecoderLayer(dim, num_heads, dim_feedforward, dropout, pre_norm) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(
        self, query_position: Tensor, memory: Tensor, memory_position: Tensor, key_padding: Tensor | None
    ) -> list[Tensor]:
        """
        Args:
            query_position: (Q, D); the queries themselves start at zero.
            memory, memory_position: (B, S, D).
            key_padding: (B, S) bool, True where a key is ignored; None if all count.

        Returns:
            The normalized (B, Q, D) state after each layer; in evaluation mode the last alone.
        """
        placed_memory = memory + memory_position
        queries = torch.zeros_like(query_position).expand(len(memory), -1, -1)
        states = []
        for layer in self.layers:
            queries = layer(queries, query_position, memory, placed_memory, key_padding)
            if self.training or layer is self.layers[-1]:
                states.append(self.norm(queries))
        return states


class Transformer(nn.Module):
    """Encoder and decoder with the memory tokens that they share.

    Args:
        num_memory: M, memory tokens a frame (0 or more).
        other arguments: as the configuration keys of the same names.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_heads: int,
        dim_feedforward: int,
        dropout: float,
        pre_norm: bool,
        enc_layers: int,
        dec_layers: int,
        num_memory: int,
    ):
        super().__init__()
        self.dim = dim
        layer = (dim, num_heads, dim_feedforward, dropout, pre_norm)
        # "bus" is the checkpoints' word for the memory tokens.
        self.memory_bus = nn.Parameter(torch.empty(num_memory, dim))
        self.memory_pos = nn.Parameter(torch.empty(num_memory, dim))
        self.encoder = ClipEncoder(*layer, num_layers=enc_layers)
        self.clip_decoder = ClipDecoder(*layer, num_layers=dec_layers)
        for module in (self.encoder, self.clip_decoder):
            for parameter in module.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
        if num_memory > 0:
            for memory in (self.memory_bus, self.memory_pos):
                nn.init.kaiming_normal_(memory, mode="fan_out", nonlinearity="relu")

    def encode_frames(
        self, cells: Tensor, position: Tensor, padding: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """What depends on one frame alone.

        Args:
            cells, position: (N, D, h, w).
            padding: (N, h, w) bool, True where a cell is padding; None if nothing is.

        Returns:
            tokens (N, h·w + M, D), position (N, h·w + M, D), key_padding (N, h·w + M) or None.
        """
        num_frames, num_memory = len(cells), len(self.memory_bus)
        memory = self.memory_bus.expand(num_frames, -1, -1)
        memory_position = self.memory_pos.expand(num_frames, -1, -1)
        tokens = torch.cat([cells.flatten(2).transpose(1, 2), memory], dim=1)
        position = torch.cat([position.flatten(2).transpose(1, 2), memory_position], dim=1)
        key_padding = None if padding is None else F.pad(padding.flatten(1), (0, num_memory))  # memory is never padding
        return self.encoder.forward_frames(tokens, position, key_padding), position, key_padding

    def forward_clips(
        self, tokens: Tensor, position: Tensor, key_padding: Tensor | None, query_position: Tensor, num_frames: int
    ) -> tuple[list[Tensor], Tensor]:
        """What depends on the clip.

        Args:
            tokens, position, key_padding: of N = B · num_frames frames, from `encode_frames`.
            query_position: (Q, D).

        Returns:
            states: the decoder's (B, Q, D), one a layer (the last alone in evaluation mode).
            cells: (N, h·w, D), the encoded frames.
        """
        num_memory = len(self.memory_bus)
        tokens = self.encoder.forward_clips(tokens, position, key_padding, num_frames, num_memory)
        states = self.clip_decoder(
            query_position,
            *(self._clip_keys(x, num_frames) for x in (tokens, position)),
            None if key_padding is None else self._clip_keys(key_padding, num_frames),
        )
        return states, tokens[:, : tokens.shape[1] - num_memory]

    def _clip_keys(self, tokens: Tensor, num_frames: int) -> Tensor:
        """(B · T, h·w + M, …) → (B, T·h·w + T·M, …): a clip's cells, frame by frame, then its memory tokens."""
        split = [tokens.shape[1] - len(self.memory_bus), len(self.memory_bus)]
        parts = tokens.unflatten(0, (-1, num_frames)).split(split, dim=2)
        return torch.cat([part.flatten(1, 2) for part in parts], dim=1)
