#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Parameters, FLOPs and activations of a config's network, module by module, counted by fvcore.

Example:
    python tools/analyze_model.py --config-file projects/IFC/configs/base_ytvis.yaml --input-size 360 640

The network (with random weights, on the CPU) is traced on one window of frames. The numbers depend on shapes alone.

- A FLOP is one multiply-add, fvcore's and most papers' unit; a GPU's data sheet counts two. Counted are convolutions,
  linear layers, matrix products, normalizations, resizing, and attention: L · S · (E + V) a head, for L queries and S
  keys of width E and values of width V. What is not counted, element by element arithmetic above all, is listed with
  its number of calls; ReLU, copies and changes of shape are left out even there, as fvcore does.
- Activations are the values that convolutions, linear layers, matrix products and attention put out. Attention
  weights are none of them, because the fused kernels that IFC uses never store them.
- Work done in a module's own methods rather than in its submodules belongs to whoever called it: the product of mask
  weights and pixel features is in the whole alone, as the operator "matmul".

Part of the network runs once a frame, the rest once a window (see `ifc.modeling.network`). Both parts are given, and
what a frame of a long video costs at the config's MODEL.IFC.CLIP_STRIDE, the number of frames between two windows.
"""

import argparse
import math
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis, flop_count_table, parameter_count
from fvcore.nn.jit_handles import generic_activation_jit, get_shape
from torch import Tensor, nn

from ifc.engine import build_model, setup_config
from ifc.modeling import IfcNetwork
from ifc.ytvis.files import write_json

ATTENTION = "aten::scaled_dot_product_attention"
PRODUCT = "aten::matmul"
VIEW = "aten::unflatten"  # costs nothing, which fvcore does not know
SMALLEST_SIDE = 32  # of a frame: one cell of res5


def attention_flops(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
    """Multiply-adds of softmax(Q Kᵀ) V, in fvcore's form of a handle, as operator "attention".

    For queries (…, L, E), keys (…, S, E) and values (…, S, V): L · S · E for Q Kᵀ and L · S · V for the product with
    the values, times the leading dimensions (batch and heads). The softmax is not counted, as fvcore counts none.
    """
    query, key, value = (get_shape(x) for x in inputs[:3])
    return Counter(attention=math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


def product_flops(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Multiply-adds of a matrix product whose leading dimensions are broadcast, (…, L, K) by (…, K, M): one for each of
    the output's elements and each of the K terms of its sum.

    fvcore's own handle does not broadcast.
    """
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
    analysis = FlopCountAnalysis(module, inputs)
    return _traced(analysis.set_op_handle(ATTENTION, attention_flops, PRODUCT, product_flops, VIEW, None))


def count_activations(module: nn.Module, inputs: Tensor | tuple[Tensor, ...]) -> ActivationCountAnalysis:
    """fvcore's count, attention's output included."""
    return _traced(
        ActivationCountAnalysis(module, inputs).set_op_handle(ATTENTION, generic_activation_jit("attention"))
    )


def _traced(analysis):
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with torch.no_grad():
        analysis.total()
    return analysis


class NetworkAnalysis:
    """The counts of a network, in evaluation mode.

    Args:
        network: on the CPU.
        window: T, frames of a window.
        stride: frames between the starts of two windows.
        input_size: (height, width) of a frame.
    """

    def __init__(self, network: IfcNetwork, *, window: int, stride: int, input_size: tuple[int, int]):
        self.window, self.stride, self.input_size = window, stride, input_size
        if not 1 <= stride <= window:
            raise ValueError(f"MODEL.IFC.CLIP_STRIDE: found {stride}, expected 1 to the window's {window} frames")
        self.whole = WindowNetwork(network).eval()
        frames = torch.zeros(window, 3, *input_size)
        self.flops = count_flops(self.whole, frames)
        self.activations = count_activations(self.whole, frames)
        self.parameters = parameter_count(self.whole)  # by module and by parameter; "" is the whole
        self.flops_of_a_frame = int(count_flops(FrameNetwork(network).eval(), frames[:1]).total())

    @property
    def flops_of_a_window(self) -> int:
        """What a window costs beyond its frames, each of which is computed once however many windows hold it."""
        return int(self.flops.total()) - self.window * self.flops_of_a_frame

    def report(self) -> dict[str, Any]:
        """All numbers, ready for json. In "modules", "" is the whole network; a module includes its submodules."""
        flops, activations = self.flops.by_module(), self.activations.by_module()
        return {
            "window": self.window,
            "stride": self.stride,
            "input_size": list(self.input_size),
            "parameters": self.parameters[""],
            "flops": int(self.flops.total()),
            "flops_per_frame": self.flops_of_a_frame,
            "flops_per_window": self.flops_of_a_window,
            "flops_per_frame_of_a_long_video": self.flops_of_a_frame + self.flops_of_a_window / self.stride,
            "activations": int(self.activations.total()),
            "flops_by_operator": {name: int(count) for name, count in self.flops.by_operator().most_common()},
            "operators_without_flops": dict(self.flops.unsupported_ops().most_common()),
            "modules": {
                name: {
                    "parameters": self.parameters[name],
                    "flops": int(flops[name]),
                    "activations": int(activations[name]),
                }
                for name, _ in self.whole.named_modules()
            },
        }

    def text(self, depth: int) -> str:
        """The report for people, with modules down to `depth` levels below the network."""
        report = self.report()
        giga = {key: value / 1e9 for key, value in report.items() if key.startswith("flops_per") or key == "flops"}
        operators = ", ".join(f"{name} {count / 1e9:.4g}" for name, count in report["flops_by_operator"].items())
        uncounted = ", ".join(
            f"{name.removeprefix('aten::')} {calls}" for name, calls in report["operators_without_flops"].items()
        )
        height, width = self.input_size
        return "\n".join(
            [
                flop_count_table(self.flops, max_depth=depth, activations=self.activations, show_param_shapes=False),
                "",
                f"window of {self.window} frames of {height}x{width}, windows start every {self.stride} frames; "
                "1 FLOP is 1 multiply-add",
                f"parameters           {report['parameters'] / 1e6:10.3f} M",
                f"activations          {report['activations'] / 1e6:10.3f} M a window",
                f"FLOPs, all           {giga['flops']:10.3f} G a window with its frames",
                f"  once a frame       {giga['flops_per_frame']:10.3f} G",
                f"  once a window      {giga['flops_per_window']:10.3f} G",
                f"  a long video       {giga['flops_per_frame_of_a_long_video']:10.3f} G a frame",
                f"GFLOPs by operator: {operators}",
                f"operators without FLOPs, and their calls: {uncounted}",
            ]
        )


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    description, _, details = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, metavar="FILE", help="a config of IFC")
    parser.add_argument(
        "--window", type=int, metavar="T", help="frames of a window (default: the config's INPUT.SAMPLING_FRAME_NUM)"
    )
    parser.add_argument(
        "--input-size",
        type=int,
        nargs=2,
        default=(360, 640),
        metavar=("H", "W"),
        help="size of the frames that the network sees (default: 360 640)",
    )
    parser.add_argument("--depth", type=int, default=4, metavar="N", help="levels of modules in the table (default: 4)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers of all modules, too")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="config options, put last")
    return parser


def load_config(args: argparse.Namespace) -> CfgNode:
    """The config that the arguments ask for, for random weights on the CPU.

    Raises:
        OSError, ValueError: for a wrong argument, config file or option.
    """
    if min(args.input_size) < SMALLEST_SIDE:
        height, width = args.input_size
        raise ValueError(f"--input-size: found {height} {width}, expected at least {SMALLEST_SIDE} for each")
    if args.depth < 1:
        raise ValueError(f"--depth: found {args.depth}, expected at least 1")
    if args.json is not None and not args.json.resolve().parent.is_dir():
        raise ValueError(f"--json {args.json}: expected a file in a folder that exists")
    opts = ["MODEL.WEIGHTS", "", "MODEL.DEVICE", "cpu"]
    if args.window is not None:
        opts += ["INPUT.SAMPLING_FRAME_NUM", str(args.window)]
    return setup_config(args.config_file, opts + args.opts)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns the exit status: 0, or 1 after an error, which is written to stderr."""
    args = build_parser().parse_args(argv)
    try:
        cfg = load_config(args)
        analysis = NetworkAnalysis(
            build_model(cfg).detr.cpu(),
            window=cfg.INPUT.SAMPLING_FRAME_NUM,
            stride=cfg.MODEL.IFC.CLIP_STRIDE,
            input_size=tuple(args.input_size),
        )
        print(analysis.text(args.depth))
        if args.json is not None:
            write_json(args.json, {"config_file": args.config_file, "opts": args.opts, **analysis.report()}, indent=2)
    except (OSError, ValueError) as error:
        print(f"analyze_model.py: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
