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
from collections.abc import Sequence

from ifc.cli.program import command_line, new_file, one_clear_error, positive


@one_clear_error()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with the arguments `argv` (default: those of the command line)."""
    parser = command_line(__doc__)
    add = parser.add_argument
    add("--config-file", required=True, metavar="FILE", help="a config of IFC")
    add("--window", type=int, metavar="T", help="frames of a window (default: the config's INPUT.SAMPLING_FRAME_NUM)")
    size = {"type": positive, "nargs": 2, "default": (360, 640), "metavar": ("H", "W")}
    add("--input-size", **size, help="size of the frames that the network sees (default: 360 640)")
    add("--depth", type=positive, default=4, metavar="N", help="levels of modules in the table (default: %(default)s)")
    add("--json", type=new_file, metavar="FILE", help="write the numbers of all modules, too")
    add("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="config options, put last")
    args = parser.parse_args(argv)

    # Torch, which --help can do without.
    from ifc.benchmark.analysis import analyze_config
    from ifc.ytvis.files import write_json

    analysis = analyze_config(args.config_file, args.window, args.input_size, args.opts)
    report = analysis.report()
    print(analysis.text(report, args.depth))
    if args.json is not None:
        write_json(args.json, {"config_file": args.config_file, "opts": args.opts, **report}, indent=2)


if __name__ == "__main__":
    main()
