# SPDX-License-Identifier: Apache-2.0
"""Parameters, FLOPs and activations of a network, module by module, counted by fvcore on one window of frames."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

import detectron2  # noqa: F401 - before fvcore, so that ifc silences what they script
import torch
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis, flop_count_table, parameter_count
from fvcore.nn.jit_analysis import JitModelAnalysis
from fvcore.nn.jit_handles import generic_activation_jit, get_shape
from torch import Tensor, nn

from ..engine import build_model, setup_config
from ..modeling import IfcNetwork

ATTENTION = "aten::scaled_dot_product_attention"
PRODUCT = "aten::matmul"
VIEW = "aten::unflatten"  # costs nothing, which fvcore does not know
SMALLEST_SIDE = 32  # of a frame: one cell of res5
_Analysis = TypeVar("_Analysis", bound=JitModelAnalysis)


def attention_flops(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
    """Multiply-adds of softmax(Q Kᵀ) V, in fvcore's form of a handle, as operator "attention".

    For queries (…, L, E), keys (…, S, E) and values (…, S, V): L · S · E for Q Kᵀ and L · S · V for the product with
    the values, times the leading dimensions (batch and heads). The softmax is not counted, as fvcore counts none.
    """
    query, key, value = (get_shape(x) for x in inputs[:3])
    return Counter(attention=math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


def product_flops(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Multiply-adds of a matrix product (…, L, K) by (…, K, M) whose leading dimensions are broadcast, which fvcore's
    own handle does not do: K for each of the output's elements."""
    return math.prod(get_shape(outputs[0])) * get_shape(inputs[0])[-1]


class WindowNetwork(nn.Module):
    """The whole network on one window, as a module that can be traced. Submodules have their state-dict names."""

    def __init__(self, network: IfcNetwork):
        super().__init__()
        self.detr = network

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """(T, 3, H, W) → class logits (1, Q, C + 1) and mask logits (1, Q, T, H / 8, W / 8)."""
        prediction = self.detr.predict_clips(self.detr.encode_frames(frames), num_frames=frames.shape[0])
        return prediction.pred_logits, prediction.pred_masks


class FrameNetwork(WindowNetwork):
    """The part of the network that runs once a frame."""

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 3, H, W) → what a window needs of the frames, see `FrameFeatures`."""
        features = self.detr.encode_frames(frames)
        return features.tokens, features.lateral4, features.lateral3


def count_flops(module: nn.Module, inputs: Tensor | tuple[Tensor, ...]) -> FlopCountAnalysis:
    """fvcore's count, with what it does not know of IFC."""
    handles = ATTENTION, attention_flops, PRODUCT, product_flops, VIEW, None
    return _traced(FlopCountAnalysis(module, inputs).set_op_handle(*handles))


def count_activations(module: nn.Module, inputs: Tensor | tuple[Tensor, ...]) -> ActivationCountAnalysis:
    """fvcore's count, attention's output included."""
    handles = ATTENTION, generic_activation_jit("attention")
    return _traced(ActivationCountAnalysis(module, inputs).set_op_handle(*handles))


def _traced(analysis: _Analysis) -> _Analysis:
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with torch.no_grad():
        analysis.total()
    return analysis


def analyze_config(
    config_file: str, window: int | None, input_size: tuple[int, int], opts: Sequence[str]
) -> "NetworkAnalysis":
    """The analysis of a config's network, with random weights.

    Args:
        window: frames of a window; None for the config's.

    Raises:
        OSError, ValueError: for a wrong config file, option or size.
    """
    if min(input_size) < SMALLEST_SIDE:
        found = "{} {}".format(*input_size)
        raise ValueError(f"--input-size: found {found}, expected at least {SMALLEST_SIDE} for each")
    on_top = [] if window is None else ["INPUT.SAMPLING_FRAME_NUM", str(window)]
    cfg = setup_config(config_file, ["MODEL.WEIGHTS", "", "MODEL.DEVICE", "cpu", *on_top, *opts])
    window, stride = cfg.INPUT.SAMPLING_FRAME_NUM, cfg.MODEL.IFC.CLIP_STRIDE
    return NetworkAnalysis(build_model(cfg).detr.cpu(), window=window, stride=stride, input_size=input_size)


class NetworkAnalysis:
    """The counts of a network, in evaluation mode.

    Args:
        network: on the CPU.
        window: T, frames of a window.
        stride: frames between the starts of two windows.
        input_size: (height, width) of a frame.
    """

    def __init__(self, network: IfcNetwork, *, window: int, stride: int, input_size: tuple[int, int]):
        self.window, self.stride, self.input_size = window, stride, tuple(input_size)
        self.whole = WindowNetwork(network).eval()
        frames = torch.zeros(window, 3, *input_size)
        self.flops = count_flops(self.whole, frames)
        self.activations = count_activations(self.whole, frames)
        self.flops_of_a_frame = int(count_flops(FrameNetwork(network).eval(), frames[:1]).total())

    def report(self) -> dict[str, Any]:
        """All numbers, ready for json. In "modules", "" is the whole network; a module includes its submodules. A
        window costs what it does beyond its frames, each of which is computed once however many windows hold it."""
        parameters, flops = parameter_count(self.whole), self.flops.by_module()
        activations = self.activations.by_module()
        modules = {
            name: {"parameters": parameters[name], "flops": int(flops[name]), "activations": int(activations[name])}
            for name, _ in self.whole.named_modules()
        }
        flops_of_a_window = modules[""]["flops"] - self.window * self.flops_of_a_frame
        return {
            "window": self.window,
            "stride": self.stride,
            "input_size": list(self.input_size),
            **modules[""],
            "flops_per_frame": self.flops_of_a_frame,
            "flops_per_window": flops_of_a_window,
            "flops_per_frame_of_a_long_video": self.flops_of_a_frame + flops_of_a_window / self.stride,
            "flops_by_operator": {name: int(count) for name, count in self.flops.by_operator().most_common()},
            "operators_without_flops": dict(self.flops.unsupported_ops().most_common()),
            "modules": modules,
        }

    def text(self, report: dict[str, Any], depth: int) -> str:
        """A report for people, with modules down to `depth` levels below the network."""
        operators = ", ".join(f"{name} {count / 1e9:.4g}" for name, count in report["flops_by_operator"].items())
        uncounted = ", ".join(f"{name[6:]} {calls}" for name, calls in report["operators_without_flops"].items())
        height, width = self.input_size
        return f"""\
{flop_count_table(self.flops, max_depth=depth, activations=self.activations, show_param_shapes=False)}

window of {self.window} frames of {height}x{width}, windows start every {self.stride} frames; 1 FLOP is 1 multiply-add
parameters           {report["parameters"] / 1e6:10.3f} M
activations          {report["activations"] / 1e6:10.3f} M a window
FLOPs, all           {report["flops"] / 1e9:10.3f} G a window with its frames
  once a frame       {report["flops_per_frame"] / 1e9:10.3f} G
  once a window      {report["flops_per_window"] / 1e9:10.3f} G
  a long video       {report["flops_per_frame_of_a_long_video"] / 1e9:10.3f} G a frame
GFLOPs by operator: {operators}
operators without FLOPs, and their calls: {uncounted}"""
