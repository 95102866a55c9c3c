# SPDX-License-Identifier: Apache-2.0
"""The network as inference on videos runs it: the same computation, arranged for speed.

Batch norm is folded into the convolutions before it, convolutions run in NHWC memory ("channels last"), and where it is
asked for in bfloat16 and through torch.compile. The network that is trained is left as it is.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from detectron2.layers import FrozenBatchNorm2d
from torch import Tensor, nn

from ..modeling.folding import folded
from ..modeling.network import ClipPrediction, FrameFeatures, IfcNetwork
from ..modeling.normalization import FrameNormalizer
from ..modeling.transformer import MultiheadAttention
from ..precision import fast_precision, float32_products
from ..regions import region
from .settings import InferenceSettings

PRECISIONS = ("auto", "float32", "tf32", "bfloat16")
# torch.compile's modes; those of CUDA_GRAPH_MODES replay CUDA graphs, whose outputs live until the next replay.
CUDA_GRAPH_MODES = ("reduce-overhead", "max-autotune")
COMPILE_MODES = ("default", "max-autotune-no-cudagraphs", *CUDA_GRAPH_MODES)


class InferenceNetwork:
    """An `IfcNetwork` for inference on videos.

    It runs a copy of the network that has weights of its own where they differ, and shares the others: in float32 those
    of the convolutions, which are 105 MB of R-50's 157. The copy is made by the first `prepare`, and again by the first
    one after weights have changed; a compiled one is compiled again then, too.

    Args:
        network: the network.
        normalize: turns frames into the network's input, on its device.
        settings: the precision, in which matrix products and convolutions run by torch's autocast ("auto": bfloat16
            where the device is fast at it, float32 elsewhere; class logits are float32 in either; "tf32": float32, of
            which GPUs that have it multiply in TF32), and the mode of torch.compile.
    """

    def __init__(self, network: IfcNetwork, normalize: FrameNormalizer, settings: InferenceSettings):
        self._source = network
        self._normalize = normalize
        self._precision = settings.precision
        self._compile_mode = settings.compile_mode
        self._weights_seen: tuple | None = None
        self._dtype = torch.float32
        self._network = network
        self._encode: Callable[..., FrameFeatures] = network.encode_frames
        self._predict: Callable[..., ClipPrediction] = network.predict_clips

    @property
    def network(self) -> IfcNetwork:
        """The network that runs: once prepared, the copy."""
        return self._network

    @property
    def is_compiled(self) -> bool:
        """Whether torch.compile is used."""
        return bool(self._compile_mode)

    @property
    def device(self) -> torch.device:
        return self._source.query_embed.weight.device

    @torch.no_grad()
    def prepare(self) -> None:
        """Bring the copy up to date with the network that it is made of. To be called before each video."""
        weights = tuple((x.data_ptr(), x._version) for x in (*self._source.parameters(), *self._source.buffers()))
        if weights == self._weights_seen:
            return
        precision = fast_precision(self.device) if self._precision == "auto" else self._precision
        self._dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self._network = _accelerated_copy(self._source, self._dtype)
        self._encode, self._predict = self._network.encode_frames, self._network.predict_clips
        if self._compile_mode:
            self._encode = torch.compile(self._encode, mode=self._compile_mode, dynamic=True)
            self._predict = torch.compile(self._predict, mode=self._compile_mode, dynamic=True)
        self._weights_seen = weights

    @region("projections")
    def encode_frames(self, frames: Tensor) -> FrameFeatures:
        """The features of uint8 frames (N, 3, H, W) of one video, see `IfcNetwork.encode_frames`."""
        images, num_frames = self._normalize(frames), len(frames)
        if self._compile_mode:
            # Batch sizes are rounded up, by a quarter at most, so that few different shapes are ever recorded.
            images = torch.cat([images, images[-1:].expand(_round_up(num_frames) - num_frames, -1, -1, -1)])
        with self._context():
            features = self._encode(images.contiguous(memory_format=torch.channels_last))
        return (features.clone() if self._compile_mode in CUDA_GRAPH_MODES else features)[:num_frames]

    @region("clip network")
    def predict_clips(self, features: FrameFeatures, num_frames: int) -> ClipPrediction:
        """See `IfcNetwork.predict_clips`."""
        num_clips = len(features) // num_frames
        if self._compile_mode:
            clips = torch.arange(_round_up(num_clips) * num_frames, device=features.tokens.device)
            features = features[clips % len(features)]
        with self._context():
            prediction = self._predict(features, num_frames)
        return prediction[:num_clips]

    @contextmanager
    def _context(self) -> Iterator[None]:
        if self._compile_mode in CUDA_GRAPH_MODES:
            torch.compiler.cudagraph_mark_step_begin()
        autocast = torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._dtype == torch.bfloat16)
        with float32_products(tf32=self._precision == "tf32"), autocast:
            yield


def _accelerated_copy(network: IfcNetwork, dtype: torch.dtype) -> IfcNetwork:
    """The network in evaluation mode, with batch norm folded and the weights of products as they are used: in `dtype`,
    those of convolutions in NHWC memory. All other weights are the network's own."""
    shared = {id(x): x for x in (*network.parameters(), *network.buffers())}
    network = copy.deepcopy(network, memo=shared).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            _fold_batch_norm(layer)
        if isinstance(layer, nn.Conv2d | nn.Linear | MultiheadAttention):
            for name, weight in layer.named_parameters(recurse=False):
                memory_format = torch.channels_last if weight.dim() == 4 else torch.preserve_format
                weight = weight.detach().to(dtype, memory_format=memory_format)
                setattr(layer, name, nn.Parameter(weight, requires_grad=False))
    return network


def _fold_batch_norm(conv: nn.Conv2d) -> None:
    """Fold the batch norm of a detectron2 `Conv2d`, as it is in evaluation mode, into the convolution."""
    norm = getattr(conv, "norm", None)
    if isinstance(norm, FrozenBatchNorm2d | nn.BatchNorm2d):
        conv.weight, conv.bias = (nn.Parameter(x, requires_grad=False) for x in folded(conv, norm))
        conv.norm = None


def _round_up(number: int) -> int:
    """The smallest number that is not below `number` and has three binary digits before its zeros: 1 … 8, 10, 12, 14,
    16, 20, …"""
    step = 1 << max((number - 1).bit_length() - 3, 0)
    return -(-number // step) * step
