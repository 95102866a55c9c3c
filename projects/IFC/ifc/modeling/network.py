# SPDX-License-Identifier: Apache-2.0
"""Backbone, transformer and mask head together: frames → class logits and mask logits.

The computation is split where a video engine wants it split: `encode_frames` depends on one frame alone and is done
once a frame; `predict_clips` depends on the clip and is done once a window.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from detectron2.modeling import Backbone
from torch import Tensor, nn

from ..regions import region
from .appearance import AppearanceHead
from .folding import fold_frozen_batch_norm
from .mask_head import MLP, MaskHead
from .position_encoding import sine_position
from .transformer import Transformer


@dataclass(frozen=True)
class FrameFeatures:
    """What the network knows of N frames, each on its own. `features[a:b]` are those of some of the frames, as views;
    `features[index]`, with an int64 tensor of frames in any order, copies.

    Attributes:
        tokens: (N, h·w + M, D): res5 cells and memory tokens after the encoder's first frame layer.
        position: (N, h·w + M, D): their position encodings; None of an exported network, which makes them again.
        key_padding: (N, h·w + M) bool, True where a cell is padding; None if nothing is.
        lateral4: (N, D, h₄, w₄): res4, projected for the mask head.
        lateral3: (N, D, h₃, w₃): res3, projected for the mask head.
        grid_size: (h, w) of the res5 grid.
    """

    tokens: Tensor
    position: Tensor | None
    key_padding: Tensor | None
    lateral4: Tensor
    lateral3: Tensor
    grid_size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, frames: slice | Tensor) -> "FrameFeatures":
        return self._map(lambda x: x[frames])

    def clone(self) -> "FrameFeatures":
        """A copy in memory of its own."""
        return self._map(Tensor.clone)

    @staticmethod
    def cat(parts: Sequence["FrameFeatures"]) -> "FrameFeatures":
        """The frames of `parts`, one after the other. All must come from frames of one padded size."""
        if len(parts) == 1:
            return parts[0]
        joined = {f.name: [getattr(part, f.name) for part in parts] for f in fields(FrameFeatures)}
        return FrameFeatures(**{k: torch.cat(v) if isinstance(v[0], Tensor) else v[0] for k, v in joined.items()})

    def _map(self, function: Callable[[Tensor], Tensor]) -> "FrameFeatures":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return FrameFeatures(**{k: function(v) if isinstance(v, Tensor) else v for k, v in values.items()})


@dataclass(frozen=True)
class ClipPrediction:
    """What the network says of B clips of T frames.

    Attributes:
        pred_logits: (B, Q, C + 1); the last class is "no object".
        pred_masks: (B, Q, T, h₃, w₃) logits, at the stride of res3 (8).
        embeddings: (B, Q, E), what tells a query's instance from others, see `IfcNetwork.embed`. None of a network that
            was exported without them.
    """

    pred_logits: Tensor
    pred_masks: Tensor
    embeddings: Tensor | None = None

    def __getitem__(self, clips: slice) -> "ClipPrediction":
        """Those of some of the clips, as views."""
        embeddings = None if self.embeddings is None else self.embeddings[clips]
        return ClipPrediction(self.pred_logits[clips], self.pred_masks[clips], embeddings)


@dataclass(frozen=True)
class LayerPredictions:
    """What each of L decoder layers says of B clips of T frames: their masks not yet made.

    Attributes:
        pred_logits: (L, B, Q, C + 1), as in `ClipPrediction`.
        mask_weights: (L, B, Q, D): a mask logit is the dot product of a query's weights and a pixel's features.
        pixels: (B, T, D, h₃, w₃).
        queries: (L, B, Q, D), the decoder's normalized states, of which logits and weights are made. Losses do without.
    """

    pred_logits: Tensor
    mask_weights: Tensor
    pixels: Tensor
    queries: Tensor | None = None

    def last(self) -> "LayerPredictions":
        """Those of the last layer alone."""
        queries = None if self.queries is None else self.queries[-1:]
        return LayerPredictions(self.pred_logits[-1:], self.mask_weights[-1:], self.pixels, queries)

    def to(self, dtype: torch.dtype) -> "LayerPredictions":
        """With all numbers in a format."""
        return LayerPredictions(*(getattr(self, f.name).to(dtype) for f in fields(self)))

    def clip_prediction(self) -> ClipPrediction:
        """That of the last layer, without embeddings."""
        # Frame by frame, as pixels lie in memory: over a whole clip, the product would copy them.
        masks = self.mask_weights[-1][:, None] @ self.pixels.flatten(3)  # (B, T, Q, h₃·w₃)
        return ClipPrediction(self.pred_logits[-1], masks.unflatten(3, self.pixels.shape[-2:]).transpose(1, 2))


class IfcNetwork(nn.Module):
    """The whole network.

    Args:
        backbone: a detectron2 backbone with features res3, res4, res5.
        transformer: encoder and decoder, of width D.
        num_classes: C, "no object" not counted.
        num_queries: Q.
        appearance: makes the queries' embeddings, see `embed`; None: the decoder's states serve.
    """

    def __init__(
        self,
        backbone: Backbone,
        transformer: Transformer,
        *,
        num_classes: int,
        num_queries: int,
        appearance: AppearanceHead | None = None,
    ):
        super().__init__()
        shapes, dim = backbone.output_shape(), transformer.dim
        if not {"res3", "res4", "res5"} <= shapes.keys():
            raise ValueError(f"MODEL.RESNETS.OUT_FEATURES: expected res3, res4, res5 in it, found {sorted(shapes)}")
        fold_frozen_batch_norm(backbone)
        self.backbone = nn.ModuleList([nn.ModuleDict({"backbone": backbone})])  # the checkpoints' name
        self.input_proj = nn.Conv2d(shapes["res5"].channels, dim, 1)
        self.transformer = transformer
        self.query_embed = nn.Embedding(num_queries, dim)
        self.class_embed = MLP(dim, num_classes + 1, 2)
        self.mask_head = MaskHead(dim, shapes["res4"].channels, shapes["res3"].channels)
        self.appearance = appearance

    def forward(
        self, images: Tensor, image_sizes: Sequence[tuple[int, int]] | None, num_frames: int
    ) -> LayerPredictions:
        """`encode_frames`, then `predict_layers`."""
        return self.predict_layers(self.encode_frames(images, image_sizes), num_frames)

    def encode_frames(self, images: Tensor, image_sizes: Sequence[tuple[int, int]] | None = None) -> FrameFeatures:
        """
        Args:
            images: (N, 3, H, W), normalized and zero-padded. In the memory format that they have the convolutions run.
            image_sizes: (height, width) of each frame before padding; None if nothing is padded.
        """
        with region("backbone"):
            backbone = self.backbone[0]["backbone"]
            features = backbone(images)
        cells = self.input_proj(features["res5"])  # (N, D, h, w)
        grid_size = tuple(cells.shape[-2:])
        stride = backbone.output_shape()["res5"].stride
        padding = None if image_sizes is None else padding_mask(image_sizes, stride, grid_size, cells.device)
        # Without padding every frame has the same position encoding: computed once, expanded as a view.
        valid = torch.ones((1, *grid_size), dtype=torch.bool, device=cells.device) if padding is None else ~padding
        position = sine_position(valid, cells.shape[1]).to(cells.dtype).expand(cells.shape[0], -1, -1, -1)
        tokens, position, key_padding = self.transformer.encode_frames(cells, position, padding)
        return FrameFeatures(
            tokens=tokens,
            position=position,
            key_padding=key_padding,
            lateral4=self.mask_head.adapter1(features["res4"]),
            lateral3=self.mask_head.adapter2(features["res3"]),
            grid_size=grid_size,
        )

    def predict_clips(self, features: FrameFeatures, num_frames: int) -> ClipPrediction:
        """The last decoder layer's prediction for the B = len(features) / num_frames clips of consecutive frames."""
        layers = self.predict_layers(features, num_frames)
        prediction = layers.clip_prediction()
        embeddings = self.embed(layers, prediction.pred_masks)
        return ClipPrediction(prediction.pred_logits, prediction.pred_masks, embeddings)

    def embed(self, layers: LayerPredictions, masks: Tensor) -> Tensor:
        """What tells the instance of each query from others, whatever window it is seen in: the higher the cosine of
        two embeddings, the more likely they are of one object.

        Args:
            layers: with queries. The last layer's count.
            masks: (B, Q, T, h₃, w₃), that layer's mask logits.

        Returns:
            (B, Q, E), of any length: those of `appearance`, else the decoder's last states (MinVIS, arXiv 2208.02245).
        """
        queries = layers.queries[-1]
        return queries if self.appearance is None else self.appearance(queries, masks, layers.pixels)

    def predict_layers(self, features: FrameFeatures, num_frames: int) -> LayerPredictions:
        """Of the same clips, what all decoder layers say in training mode, the last alone in evaluation mode."""
        states, cells = self.transformer.forward_clips(
            features.tokens, features.position, features.key_padding, self.query_embed.weight, num_frames
        )
        cells = cells.transpose(1, 2).unflatten(2, features.grid_size)  # (B·T, D, h, w)
        pixels = self.mask_head.pixel_features(cells, features.lateral4, features.lateral3)
        states = torch.stack(states)  # (L, B, Q, D)
        return LayerPredictions(
            self.class_embed(states),
            self.mask_head.convert_to_weight(states),
            pixels.unflatten(0, (-1, num_frames)),
            states,
        )


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
    valid_heights, valid_widths = torch.tensor(valid).to(device, non_blocking=True).unbind(1)  # (N,) each
    rows = torch.arange(grid_size[0], device=device) >= valid_heights[:, None]  # (N, h)
    columns = torch.arange(grid_size[1], device=device) >= valid_widths[:, None]  # (N, w)
    return rows[:, :, None] | columns[:, None, :]
