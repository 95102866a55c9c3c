# SPDX-License-Identifier: Apache-2.0
"""The two networks that are exported: tensors in, tensors out.

A program runs the frame network once a frame, or on many at once, keeps what it gives, and runs the clip network on
the frames of each window. Any number of frames, of clips and of frames a clip, and any size of frames of more than 32
pixels a side will do. What "cells" are: the grid of tokens at stride 32 that the frames' features make.
"""

import torch
from torch import Tensor, nn

from ..modeling.network import FrameFeatures, IfcNetwork
from ..modeling.normalization import FrameNormalizer
from ..modeling.position_encoding import sine_position


class FrameNetwork(nn.Module):
    """What depends on one frame alone: normalization, backbone, projections, first encoder layer."""

    def __init__(self, network: IfcNetwork, normalize: FrameNormalizer):
        super().__init__()
        self.network, self.normalize = network, normalize

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """
        Args:
            frames: (N, 3, H, W) uint8, in the order of channels of the config's INPUT.FORMAT.

        Returns:
            cells (N, h, w, D), memory (N, M, D), lateral4 (N, D, h₄, w₄), lateral3 (N, D, h₃, w₃); the sizes are H and
            W divided by 32, 16 and 8, rounded up.
        """
        features = self.network.encode_frames(self.normalize(frames))
        height, width = features.grid_size
        cells, memory = features.tokens.tensor_split([height * width], dim=1)
        return cells.unflatten(1, (height, width)), memory, features.lateral4, features.lateral3


class ClipNetwork(nn.Module):
    """What depends on a clip: encoder, decoder, mask head."""

    def __init__(self, network: IfcNetwork):
        super().__init__()
        self.network = network

    def forward(
        self, cells: Tensor, memory: Tensor, lateral4: Tensor, lateral3: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """
        Args:
            cells (B, T, h, w, D), memory (B, T, M, D), lateral4 (B, T, D, h₄, w₄), lateral3 (B, T, D, h₃, w₃): of B
                clips of T frames, from the frame network.

        Returns:
            pred_logits (B, Q, C + 1), pred_masks (B, Q, T, h₃, w₃), embeddings (B, Q, E), see `ClipPrediction`.
        """
        _, num_frames, *grid_size, dim = cells.shape
        tokens = torch.cat([cells.flatten(2, 3), memory], dim=2).flatten(0, 1)
        valid = torch.ones((1, *grid_size), dtype=torch.bool, device=cells.device)
        position = self.network.transformer.place_tokens(sine_position(valid, dim)).expand(tokens.shape[0], -1, -1)
        laterals = lateral4.flatten(0, 1), lateral3.flatten(0, 1)
        features = FrameFeatures(tokens, position, None, *laterals, tuple(grid_size))
        prediction = self.network.predict_clips(features, num_frames)
        return prediction.pred_logits, prediction.pred_masks, prediction.embeddings
