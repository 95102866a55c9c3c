# SPDX-License-Identifier: Apache-2.0
"""`ifc export`."""

from pathlib import Path
from typing import Annotated

import typer

from .program import ConfigFile, ConfigKeys, one_clear_error, one_of


@one_clear_error()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="the folder to write")],
    weights: Annotated[
        str, typer.Option(metavar="W", help="the model: a name, a folder or a checkpoint, see below")
    ] = "shapes-tiny",
    format: Annotated[str, typer.Option(parser=one_of("onnx", "torch"), metavar="NAME", help="onnx or torch")] = "onnx",
    config_file: ConfigFile = "",
    opts: ConfigKeys = (),
) -> None:
    """Write a model's network for programs that do without this one.

    \b
    Examples:
        ifc export -o exported
        ifc export --weights model.pth --config-file base_ytvis.yaml --format torch -o exported

    DIR gets config.json (the classes; how frames are resized and in which order of channels they come) and two
    networks, in float32: the frame network, to be run once a frame, and the clip network, to be run on what it gave for
    the frames of each window. Frames may be of any size of more than 32 pixels a side, and any number of them, of clips
    and of frames a clip is run at once. What is written is run and compared with the model. Backbones are detectron2's
    ResNets: torch cannot trace those of timm.

    \b
        onnx   frame_network.onnx and clip_network.onnx, for ONNX Runtime; `ifc segment --weights DIR` runs them, too
        torch  frame_network.pt2 and clip_network.pt2, for torch.export.load(FILE).module(check_guards=False)

    Weights are "shapes-tiny" (the default, a toy that knows six shapes), a folder or hf://owner/name[@revision] that
    was written by save_pretrained, or a .pth or .pkl checkpoint with its --config-file. ONNX's format needs more
    packages: pip install 'detectron2-ifc[onnx]'.
    """
    from ..export import FORMATS, export_model
    from ..pretrained import load

    segmenter = load(weights, device="cpu", config_file=config_file or None, opts=opts)
    difference = export_model(segmenter, output, format)
    print(f"{output}: {', '.join(FORMATS[format])}; they give what the model gives to within {difference:.1e}")
