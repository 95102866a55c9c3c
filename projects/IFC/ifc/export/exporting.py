# SPDX-License-Identifier: Apache-2.0
"""Tracing the two networks, writing them, and comparing what is written with what was traced."""

import copy
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from torch.export import Dim, ExportedProgram

from ..engine.model_folder import ONNX_FILES, TORCH_FILES, new_model_folder
from ..inference import InferenceNetwork, InferenceSettings
from ..inference.onnx_network import CLIP_INPUTS, CLIP_OUTPUTS, EMBEDDINGS, FRAME_INPUTS, FRAME_OUTPUTS, OnnxFunction
from ..meta_arch import Ifc
from ..modeling import TimmBackbone
from ..predictor import VideoSegmenter
from .networks import ClipNetwork, FrameNetwork

FORMATS = {"onnx": ONNX_FILES, "torch": TORCH_FILES}
TOLERANCE = 1e-3  # of a number, or of the largest one where that is above 1


@dataclass(frozen=True)
class _Signature:
    """The names of a network's inputs and outputs, and of each input's axes that may be of any length."""

    inputs: list[str]
    outputs: list[str]
    axes: list[dict[int, str]]


_CLIPS = {0: "clips", 1: "frames"}
_SIGNATURES = (
    _Signature(FRAME_INPUTS, FRAME_OUTPUTS, [{0: "frames", 2: "height", 3: "width"}]),
    _Signature(
        CLIP_INPUTS,
        [*CLIP_OUTPUTS, EMBEDDINGS],
        [_CLIPS | {2: "h", 3: "w"}, _CLIPS, _CLIPS | {3: "h4", 4: "w4"}, _CLIPS | {3: "h3", 4: "w3"}],
    ),
)


def export_model(segmenter: VideoSegmenter, folder: str | os.PathLike, format: str = "onnx") -> float:
    """Write a model's two networks, see `networks`, with config.json into `folder`, whole or not at all. They are in
    float32, with batch norm folded into the convolutions.

    Args:
        segmenter: has the model.
        format: "onnx": frame_network.onnx and clip_network.onnx, for ONNX Runtime and others; `ifc.load` reads the
            folder. "torch": frame_network.pt2 and clip_network.pt2, for `torch.export.load(path).module(
            check_guards=False)`: torch's guards rule batches of 1 out, which the graphs can do.

    Returns:
        How much what the written networks give differs at most from what the model gives, on frames of another size.

    Raises:
        ImportError: without onnx, onnxruntime and onnxscript.
        OSError, ValueError: for another format, a folder that cannot be written, and a model that cannot be exported.
    """
    if format not in FORMATS:
        raise ValueError(f"format: found {format!r}, expected one of {', '.join(FORMATS)}")
    if segmenter.model is None:
        raise ValueError(f"{folder}: found an exported network to be exported, expected a model with weights")
    cfg = segmenter.cfg.clone()
    cfg.defrost()
    cfg.MODEL.IFC.PRECISION, cfg.MODEL.IFC.COMPILE = "float32", ""
    with new_model_folder(folder, cfg, segmenter.classes) as partial:
        return write_networks(segmenter.model, partial, format)


def write_networks(model: Ifc, folder: Path, format: str = "onnx") -> float:
    """What `export_model` does, but for config.json."""
    if format == "onnx":  # before the minute that tracing takes
        try:
            for name in ("onnx", "onnxruntime", "onnxscript"):
                import_module(name)
        except ImportError as error:
            raise ImportError(f"format onnx: needs more: pip install 'detectron2-ifc[onnx]' ({error})") from error
    networks = _networks_of(model)
    paths = [folder / name for name in FORMATS[format]]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about itself
        for program, path, signature in zip(_trace(networks), paths, _SIGNATURES, strict=True):
            if format == "onnx":
                _write_onnx(program, path, signature)
            else:
                torch.export.save(program, path)
        return _compare(networks, [_read(path, signature) for path, signature in zip(paths, _SIGNATURES, strict=True)])


def _networks_of(model: Ifc) -> tuple[FrameNetwork, ClipNetwork]:
    """The networks of a model, on the CPU, as inference runs them there."""
    detr, normalize = copy.deepcopy(model.detr).cpu(), copy.deepcopy(model.normalize).cpu()
    network = InferenceNetwork(detr, normalize, InferenceSettings(window=1))
    network.prepare()
    clip_part = copy.copy(network.network)  # without what would be half of its file
    clip_part._modules = {name: part for name, part in clip_part._modules.items() if name != "backbone"}
    return FrameNetwork(network.network, normalize).eval(), ClipNetwork(clip_part).eval()


def _trace(networks: tuple[FrameNetwork, ClipNetwork]) -> list[ExportedProgram]:
    """
    Raises:
        ValueError: for what torch.export cannot trace.
    """
    backbone = networks[0].network.backbone[0]["backbone"]
    if isinstance(backbone, TimmBackbone):  # ConvNeXt's graph had sizes in it, Swin's took no end to trace
        expected = "one of detectron2's ResNets, as torch cannot trace others for frames of any size"
        raise ValueError(f"MODEL.BACKBONE.NAME: found a model of timm to be exported, expected {expected}")
    frames = torch.zeros(6, 3, 72, 104, dtype=torch.uint8)
    inputs = (frames,), tuple(x.unflatten(0, (2, 3)) for x in networks[0](frames))
    programs = []
    try:
        for network, given, signature in zip(networks, inputs, _SIGNATURES, strict=True):
            names = {name for axes in signature.axes for name in axes.values()}
            dims = {name: Dim(name, min=33 if name in ("height", "width") else 1) for name in names}
            shapes = [{axis: dims[name] for axis, name in axes.items()} for axes in signature.axes]
            programs.append(torch.export.export(network, given, dynamic_shapes=tuple(shapes)))
    except Exception as error:  # of any kind: a backbone may be of any code
        reason = str(error).partition("\n")[0]
        raise ValueError(f"the model: torch.export cannot trace it: {type(error).__name__}: {reason}") from error
    for program in programs:
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # with the names of this machine's folders
    return programs


def _write_onnx(program: ExportedProgram, path: Path, signature: _Signature) -> None:
    torch.onnx.export(
        program,
        (),
        path,
        input_names=signature.inputs,
        output_names=signature.outputs,
        dynamic_shapes=signature.axes,
        external_data=False,
        verbose=False,
    )


def _read(path: Path, signature: _Signature) -> Callable:
    if path.suffix == ".onnx":
        return OnnxFunction(path, signature.inputs, signature.outputs)
    return torch.export.load(path).module(check_guards=False)


def _compare(expected: Sequence[Callable], found: Sequence[Callable]) -> float:
    """How much what the networks `found` give differs at most from what those that are expected do.

    Raises:
        ValueError: by more than `TOLERANCE`.
    """
    images = torch.randint(0, 256, (3, 3, 100, 150), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    features = expected[0](images)
    clip = [x[None] for x in features]
    outputs = [(*features, *expected[1](*clip)), (*found[0](images), *found[1](*clip))]
    difference = max(float((x - y).abs().max() / x.abs().max().clamp(min=1)) for x, y in zip(*outputs, strict=True))
    if not difference <= TOLERANCE:
        raise ValueError(
            f"the model: found that what was exported differs by {difference}, expected at most {TOLERANCE}"
        )
    return difference
