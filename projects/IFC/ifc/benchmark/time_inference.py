# SPDX-License-Identifier: Apache-2.0
"""Inference on a video, from its file to RLE masks, region by region."""

import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from torch import Tensor

from ..engine import build_model
from ..export import FORMATS, write_networks
from ..inference import OnnxNetwork
from ..meta_arch import Ifc
from ..predictor import READING_THREADS, to_input
from ..video import VideoWriter, open_frames
from ..video.read_ahead import read_ahead
from .measuring import Column, Report
from .runs import compare_variants, load_configs, measure
from .scripted import ScriptedNetwork
from .shapes_data import INSTANCES, RENDERED_FRAMES, moving_shapes


def run(args: Namespace) -> Report:
    """Measure the model of `args.config_file`, and that of each variant, on one H.264 video of shapes.

    Raises:
        OSError, ValueError: for a wrong config or argument.
    """
    cfgs = load_configs(args)
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "video.mp4"
        with VideoWriter(video, frame_rate=30) as writer:
            for frame in moving_shapes(args.length, args.output_size, INSTANCES, RENDERED_FRAMES):
                writer.write(frame)
        columns = {name: measure_inference(cfg, args, video) for name, cfg in cfgs.items()}
        if args.onnx:
            exported = Path(folder)
            columns["ONNX Runtime"] = measure_inference(next(iter(cfgs.values())), args, video, exported)
        return compare_variants(columns)


def measure_inference(cfg: CfgNode, args: Namespace, video: Path, exported: Path | None = None) -> Column:
    """The numbers of a config's model, or of what is exported of it to a folder."""
    model = scripted_model(cfg, args.instances, exported)
    # A GPU's kernels are chosen and a network is compiled at the first use.
    warmup = int(model.device.type == "cuda" or model.inference.network.is_compiled)
    segment, tracks = segmentation(model, cfg, args, lambda: read_frames(video, cfg, args)), []
    warmup = warmup if args.warmup is None else args.warmup
    column = measure(lambda: tracks.append(segment()), "other", model.device, repeat=args.repeat, warmup=warmup)
    return column | {"frames a second": args.length / column["total"], "tracks": tracks[-1]}


def scripted_model(cfg: CfgNode, num_instances: int, exported: Path | None = None) -> Ifc:
    """A config's model of random weights that reports so many instances; or what is exported of it, to a folder."""
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    if exported is not None:
        write_networks(model, exported)
        model.inference.network = OnnxNetwork(*(exported / name for name in FORMATS["onnx"]))
    model.inference.network.prepare()  # once, however many videos follow
    model.inference.network = ScriptedNetwork(model.inference.network, num_instances)
    return model


def segmentation(model: Ifc, cfg: CfgNode, args: Namespace, read: Callable[[], Iterable[Tensor]]) -> Callable[[], int]:
    """What segments the frames that `read` returns, checks that the instances are found, and counts the tracks."""
    windows_overlap = cfg.MODEL.IFC.CLIP_STRIDE < cfg.INPUT.SAMPLING_FRAME_NUM  # else they share no instance

    def segment() -> int:
        height, width = args.output_size
        with torch.no_grad():
            tracks = model([{"image": read(), "height": height, "width": width}])["pred_masks"]
        found = len({id(track) for track in tracks})  # tracks of one instance share their masks
        if found < args.instances or (windows_overlap and found > args.instances):
            raise ValueError(
                f"--instances: found {args.instances}, of which the result has {found}; expected at most "
                "MODEL.IFC.NUM_OBJECT_QUERIES, and a probability of 0.5 to be above MODEL.IFC.APPLY_CLS_THRES"
            )
        return len(tracks)

    return segment


def read_frames(video: Path, cfg: CfgNode, args: Namespace) -> Iterable[Tensor]:
    """The video's frames as the network takes them, decoded when they are asked for or ahead of that."""
    source, resize = open_frames(video), T.Resize(args.input_size)
    as_input = partial(to_input, resize=resize, is_bgr=cfg.INPUT.FORMAT == "BGR")
    return read_ahead(as_input, source, workers=READING_THREADS) if args.read_ahead else map(as_input, source)
