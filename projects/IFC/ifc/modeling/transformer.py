# SPDX-License-Identifier: Apache-2.0
"""The inter-frame communication transformer: an encoder whose memory tokens carry information between the frames of a
clip (IFC, arXiv 2106.03299, section 3.2), and DETR's decoder over the whole clip."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .dropout import Dropout


@dataclass(frozen=True)
class LayerSettings:
    """What all layers have in common."""

    dim: int  # D, width of the tokens
    num_heads: int  # a divisor of D
    dim_feedforward: int  # width of the feed-forward blocks
    dropout: float  # probability
    pre_norm: bool  # layer norm before each block instead of after it


class MultiheadAttention(nn.Module):
    """Multi-head attention on fused kernels, with the parameters of `torch.nn.MultiheadAttention`.

    Only the output is computed, never the attention weights as a tensor; where they are dropped on a CPU, for which
    torch has no such kernel, they are.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float):
        super().__init__()
        self.num_heads = num_heads
        self.dropout = Dropout(dropout)
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
        attended_keys = None if key_padding is None else ~key_padding[:, None, None, :]
        if self.dropout.drops_by_itself(q):
            scores = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)  # (B, heads, L, S)
            if attended_keys is not None:
                scores = scores.masked_fill(~attended_keys, -torch.inf)
            attended = self.dropout(scores.softmax(-1)) @ v
        else:
            probability = self.dropout.p if self.training else 0.0
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=attended_keys, dropout_p=probability)
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class _Layer(nn.Module):
    """Attentions, then a feed-forward block, each with a residual connection and layer norm.

    Args:
        settings: see `LayerSettings`.
        attentions: the checkpoints' names of the attentions.
    """

    def __init__(self, settings: LayerSettings, attentions: Sequence[str]):
        super().__init__()
        dim = settings.dim
        # In this order, by which optimizers number the parameters in checkpoints.
        for name in attentions:
            self.add_module(name, MultiheadAttention(dim, settings.num_heads, settings.dropout))
        self.linear1 = nn.Linear(dim, settings.dim_feedforward)
        self.linear2 = nn.Linear(settings.dim_feedforward, dim)
        for number in range(1, len(attentions) + 2):
            self.add_module(f"norm{number}", nn.LayerNorm(dim))
        self.dropout = Dropout(settings.dropout)
        self.pre_norm = settings.pre_norm

    def _residual(self, norm: nn.LayerNorm, block: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return x + self.dropout(block(norm(x))) if self.pre_norm else norm(x + self.dropout(block(x)))

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(F.relu(self.linear1(x))))


class EncoderLayer(_Layer):
    """Self-attention and a feed-forward block."""

    def __init__(self, settings: LayerSettings):
        super().__init__(settings, ["self_attn"])

    def forward(self, tokens: Tensor, position: Tensor | None = None, key_padding: Tensor | None = None) -> Tensor:
        """
        Args:
            tokens: (B, L, D).
            position: (B, L, D), added to queries and keys; None for none.
            key_padding: (B, L) bool, True where a token is ignored as a key; None if all count.

        Returns:
            (B, L, D).
        """

        def attend(x: Tensor) -> Tensor:
            placed = x if position is None else x + position
            return self.self_attn(placed, placed, x, key_padding)

        tokens = self._residual(self.norm1, attend, tokens)
        return self._residual(self.norm2, self._feed_forward, tokens)


class DecoderLayer(_Layer):
    """Self-attention among the queries, attention to the clip, and a feed-forward block."""

    def __init__(self, settings: LayerSettings):
        super().__init__(settings, ["self_attn", "multihead_attn"])

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
            return self.self_attn(placed, placed, x)

        def attend_memory(x: Tensor) -> Tensor:
            return self.multihead_attn(x + query_position, placed_memory, memory, key_padding)

        queries = self._residual(self.norm1, attend_queries, queries)
        queries = self._residual(self.norm2, attend_memory, queries)
        return self._residual(self.norm3, self._feed_forward, queries)


class ClipEncoder(nn.Module):
    """Alternates layers that see one frame with its memory tokens, and layers that see the memory tokens of all frames.

    The first frame layer does not depend on the other frames of a clip. `Transformer.encode_frames` runs it, so that
    overlapping windows share it; `forward` is all the rest.
    """

    def __init__(self, settings: LayerSettings, num_layers: int):
        super().__init__()
        self.enc_layers = nn.ModuleList(EncoderLayer(settings) for _ in range(num_layers))
        self.bus_layers = nn.ModuleList(EncoderLayer(settings) for _ in range(num_layers))
        self.out_norm = nn.LayerNorm(settings.dim) if settings.pre_norm else None
        self.bus_norm = nn.LayerNorm(settings.dim) if settings.pre_norm else None

    def forward(
        self, tokens: Tensor, position: Tensor, key_padding: Tensor | None, num_frames: int, num_memory: int
    ) -> Tensor:
        """Everything after the first frame layer, for B clips of `num_frames` consecutive frames.

        Args:
            tokens, position, key_padding: from `Transformer.encode_frames`, with N = B · num_frames.
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
            memory = slots.transpose(1, 2).flatten(0, 1)
            tokens = torch.cat([cells, memory], dim=1)
        return tokens if self.out_norm is None else torch.cat([self.out_norm(cells), self.bus_norm(memory)], dim=1)


class ClipDecoder(nn.Module):
    """DETR's decoder with the tokens of a whole clip as keys."""

    def __init__(self, settings: LayerSettings, num_layers: int):
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(settings) for _ in range(num_layers))
        self.norm = nn.LayerNorm(settings.dim)

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
        queries = torch.zeros_like(query_position).expand(memory.shape[0], -1, -1)
        states = []
        for layer in self.layers:
            queries = layer(queries, query_position, memory, placed_memory, key_padding)
            if self.training or layer is self.layers[-1]:
                states.append(self.norm(queries))
        return states


class Transformer(nn.Module):
    """Encoder and decoder with the memory tokens that they share.

    Args:
        settings: those of all layers.
        enc_layers, dec_layers: how many, at least 1.
        num_memory: M, memory tokens a frame (0 or more).
    """

    def __init__(self, settings: LayerSettings, *, enc_layers: int, dec_layers: int, num_memory: int):
        super().__init__()
        self.dim = settings.dim
        # "bus" is the checkpoints' word for the memory tokens.
        self.memory_bus = nn.Parameter(torch.empty(num_memory, self.dim))
        self.memory_pos = nn.Parameter(torch.empty(num_memory, self.dim))
        self.encoder = ClipEncoder(settings, enc_layers)
        self.clip_decoder = ClipDecoder(settings, dec_layers)
        for parameter in (*self.encoder.parameters(), *self.clip_decoder.parameters()):
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
        tokens, position = _with_memory(cells, self.memory_bus), self.place_tokens(position)
        if padding is not None:
            padding = F.pad(padding.flatten(1), (0, len(self.memory_bus)))  # memory is never padding
        return self.encoder.enc_layers[0](tokens, position, padding), position, padding

    def place_tokens(self, position: Tensor) -> Tensor:
        """The position encodings of a frame's tokens, (N, h·w + M, D), from those of its cells, (N, D, h, w)."""
        return _with_memory(position, self.memory_pos)

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
        tokens = self.encoder(tokens, position, key_padding, num_frames, num_memory)
        keys = (None if x is None else self._clip_keys(x, num_frames) for x in (tokens, position, key_padding))
        states = self.clip_decoder(query_position, *keys)
        return states, tokens[:, : tokens.shape[1] - num_memory]

    def _clip_keys(self, tokens: Tensor, num_frames: int) -> Tensor:
        """(B · T, h·w + M, …) → (B, T·h·w + T·M, …): a clip's cells, frame by frame, then its memory tokens."""
        split = [tokens.shape[1] - len(self.memory_bus), len(self.memory_bus)]
        parts = tokens.unflatten(0, (-1, num_frames)).split(split, dim=2)
        return torch.cat([part.flatten(1, 2) for part in parts], dim=1)


def _with_memory(cells: Tensor, memory: Tensor) -> Tensor:
    """(N, D, h, w), (M, D) → (N, h·w + M, D), of any N where it is traced: len(cells) would be a number there."""
    return torch.cat([cells.flatten(2).transpose(1, 2), memory.expand(cells.shape[0], -1, -1)], dim=1)
