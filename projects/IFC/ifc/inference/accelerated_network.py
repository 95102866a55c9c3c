# SPDX-License-Identifier: Apache-2.0
"""The network as inference runs it: the same computation, arranged for speed.

What changes is how, not what: batch norm folded into the convolutions before it, bfloat16 where that is asked for, and
torch.compile. The network that is trained is left as it is.
"""

import copy
from collections.abc import Callable

import torch
from detectron2.layers import FrozenBatchNorm2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..modeling.network import ClipPrediction, FrameFeatures, IfcNetwork
from ..modeling.normalization import FrameNormalizer
from ..modeling.transformer import MultiheadAttention
from ..regions import region

PRECISIONS = ("float32", "bfloat16")
# torch.compile's modes; those of _CUDA_GRAPH_MODES replay CUDA graphs, whose outputs live until the next replay.
_CUDA_GRAPH_MODES = ("reduce-overhead", "max-autotune")
COMPILE_MODES = ("default", "max-autotune-no-cudagraphs", *_CUDA_GRAPH_MODES)


class InferenceNetwork:
    """An `IfcNetwork` for inference alone.

    Where an option needs other weights, a copy is made of the network: by the first `prepare`, and by the first one
    after its weights have changed. (A compiled copy is compiled again then, too.)

    Args:
        network: the network.
        normalize: turns frames into the network's input, on its device.
        precision: "float32" or "bfloat16": matrix products and convolutions by torch's autocast, in either case with
            float32 class logits.
        fold_batch_norm: multiply batch norm's fixed factors into the weights of the convolution before it.
        compile_mode: a mode of torch.compile; "" for not compiling.

    Raises:
        ValueError: if an option has another value.
    """

    def __init__(
        self,
        network: IfcNetwork,
        normalize: FrameNormalizer,
        *,
        precision: str = "float32",
        fold_batch_norm: bool = False,
        compile_mode: str = "",
    ):
        if precision not in PRECISIONS:
            raise ValueError(f"MODEL.IFC.PRECISION: found {precision!r}, expected one of {PRECISIONS}")
        if compile_mode and compile_mode not in COMPILE_MODES:
            raise ValueError(f"MODEL.IFC.COMPILE: found {compile_mode!r}, expected '' or one of {COMPILE_MODES}")
        self._source = network
        self._normalize = normalize
        self._precision = precision
        self._fold_batch_norm = fold_batch_norm
        self._compile_mode = compile_mode
        self._weights_seen: tuple | None = None
        self._network = network
        self._encode: Callable[..., FrameFeatures] = network.encode_frames
        self._predict: Callable[..., ClipPrediction] = network.predict_clips

    @property
    def network(self) -> IfcNetwork:
        """The network that runs: the one that was given, or the copy."""
        return self._network

    @property
    def is_compiled(self) -> bool:
        """Whether torch.compile is used."""
        return bool(self._compile_mode)

    @property
    def device(self) -> torch.device:
        return self._source.query_embed.weight.device

    def prepare(self) -> None:
        """Bring the copy up to date with the network that it is made of. To be called before each video."""
        weights = tuple((x.data_ptr(), x._version) for x in (*self._source.parameters(), *self._source.buffers()))
        if weights == self._weights_seen:
            return
        self._network = self._source
        if self._fold_batch_norm or self._precision != "float32":
            self._network = copy.deepcopy(self._source).eval().requires_grad_(False)
            if self._fold_batch_norm:
                fold_batch_norm(self._network)
            if self._precision == "bfloat16":
                _cast_products(self._network, torch.bfloat16)
        if self._compile_mode:
            self._encode = torch.compile(self._network.encode_frames, mode=self._compile_mode, dynamic=True)
            self._predict = torch.compile(self._network.predict_clips, mode=self._compile_mode, dynamic=True)
        self._weights_seen = weights

    @region("projections")
    def encode_frames(self, frames: Tensor) -> FrameFeatures:
        """The features of uint8 frames (N, 3, H, W) of one video, see `IfcNetwork.encode_frames`."""
        images = self._normalize(frames)
        if not self._compile_mode:
            with self._autocast():
                return self._network.encode_frames(images)
        num_frames = len(images)
        # Batch sizes are rounded up to powers of two, so that few different shapes are ever compiled or recorded.
        images = torch.cat([images, images[-1:].expand(_round_up(num_frames) - num_frames, -1, -1, -1)])
        with self._compiled():
            features = self._encode(images)
        return (features.clone() if self._compile_mode in _CUDA_GRAPH_MODES else features)[:num_frames]

    @region("clip network")
    def predict_clips(self, features: FrameFeatures, num_frames: int) -> ClipPrediction:
        """See `IfcNetwork.predict_clips`."""
        if not self._compile_mode:
            with self._autocast():
                return self._network.predict_clips(features, num_frames)
        num_clips = len(features) // num_frames
        clips = torch.arange(_round_up(num_clips) * num_frames, device=features.tokens.device)
        with self._compiled():
            prediction = self._predict(features[clips % len(features)], num_frames)
        return ClipPrediction(prediction.pred_logits[:num_clips], prediction.pred_masks[:num_clips])

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._precision == "bfloat16")

    def _compiled(self) -> torch.autocast:
        if self._compile_mode in _CUDA_GRAPH_MODES:
            torch.compiler.cudagraph_mark_step_begin()
        return self._autocast()


def fold_batch_norm(module: nn.Module) -> None:
    """Fold the batch norms of detectron2's `Conv2d` layers, as they are in evaluation mode, into the convolutions."""
    for conv in module.modules():
        norm = getattr(conv, "norm", None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, FrozenBatchNorm2d | nn.BatchNorm2d):
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            conv.norm = None


def _cast_products(module: nn.Module, dtype: torch.dtype) -> None:
    """Convert the weights of convolutions and matrix products once, which autocast would do at every call."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | MultiheadAttention):
            for parameter in layer.parameters(recurse=False):
                parameter.data = parameter.data.to(dtype)


def _round_up(number: int) -> int:
    """The smallest power of two that is not below `number`."""
    return 1 << (number - 1).bit_length()
