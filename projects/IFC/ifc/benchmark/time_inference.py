# SPDX-License-Identifier: Apache-2.0
"""Inference on a video, from its file to RLE masks, region by region."""

import tempfile
from argparse import Namespace
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from torch import Tensor

from ..engine import build_model
from ..export import FORMATS, write_networks
from ..inference import OnnxNetwork
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
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    if exported is not None:
        write_networks(model, exported)
        model.inference.network = OnnxNetwork(*(exported / name for name in FORMATS["onnx"]))
    # A GPU's kernels are chosen and a network is compiled at the first use.
    warmup = int(model.device.type == "cuda" or model.inference.network.is_compiled)
    model.inference.network.prepare()  # once, however many videos follow
    model.inference.network = ScriptedNetwork(model.inference.network, args.instances)
    windows_overlap = cfg.MODEL.IFC.CLIP_STRIDE < cfg.INPUT.SAMPLING_FRAME_NUM  # else they share no instance
    tracks: list = []

    def segment() -> None:
        frames, (height, width) = read_frames(video, cfg, args), args.output_size
        with torch.no_grad():
            tracks[:] = model([{"image": frames, "height": height, "width": width}])["pred_masks"]
        found = len({id(track) for track in tracks})  # tracks of one instance share their masks
        if found < args.instances or (windows_overlap and found > args.instances):
            raise ValueError(
                f"--instances: found {args.instances}, of which the result has {found}; expected at most "
                "MODEL.IFC.NUM_OBJECT_QUERIES, and a probability of 0.5 to be above MODEL.IFC.APPLY_CLS_THRES"
            )

    warmup = warmup if args.warmup is None else args.warmup
    column = measure(segment, "other", model.device, repeat=args.repeat, warmup=warmup)
    return column | {"frames a second": args.length / column["total"], "tracks": len(tracks)}


def read_frames(video: Path, cfg: CfgNode, args: Namespace) -> Iterable[Tensor]:
    """The video's frames as the network takes them, decoded when they are asked for or ahead of that."""
    source, resize = open_frames(video), T.Resize(args.input_size)
    as_input = partial(to_input, resize=resize, is_bgr=cfg.INPUT.FORMAT == "BGR")
    return read_ahead(as_input, source, workers=READING_THREADS) if args.read_ahead else map(as_input, source)
