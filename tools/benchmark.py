#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long inference on a video takes, stage by stage, and how much memory.

Example:
    python tools/benchmark.py --config-file projects/IFC/configs/base_ytvis.yaml --window 5 --device cpu

The defaults are the task that IFC's speed is measured by: one video of 36 frames, 360x640 as the network sees it and
720x1280 as its masks are wanted, with 12 instances; with --window 36 and with --window 5.

Each --variant "KEY VALUE ..." repeats it with these options on top, in the same run: that is how an optimization's own
ratio is measured.

What runs is the model of the config as evaluation and demo.py run it, on the frames of a temporary H.264 video of
synthetic shapes. Its weights are random, so that no checkpoint is needed, and a random network finds nothing that can
be tracked. Therefore what it says of a window is replaced, after it was computed in full: N of the queries, spread
over all, report an instance on every frame, the others "no object". Each instance is a soft-edged ellipse with a wavy
outline and axes of 8 % to 30 % of the frame's, the same in every window, so that tracker and encoder have N instances
of a realistic size from the first frame to the last; that they do not move is nothing to either. (Windows that share
no frame cannot share instances: with the stride of a window, N is the number in each.) Each instance has probabilities
above 0.01 for up to 6 classes (1/2, 1/4, ...), and so gives as many tracks. The replacing's time is in no number.

Stages:
    decoding        H.264 to RGB, resized to the network's input size as the loader does
    normalization   to the device, less the mean, over the deviation
    backbone        detectron2's, once a frame
    projections     whatever else is done once a frame: projections, position, the first encoder layer
    clip network    encoder, decoder and mask head, once a window
    tracker         joins the windows' instances to those of the video
    masks to RLE    resizing to the output size, threshold, run lengths
    other           everything between the stages, building the list of tracks included

With --read-ahead decoding runs beside the rest, as in demo.py; its time then is that of waiting for it. A network that
torch.compile made has its stages up to the projections in one, the backbone's.

On a GPU each stage ends with a synchronization, so that its time is its own; the total then is that of a run without
them, and the stages add up to more. CPU time far below the total (on a CPU) says that other programs had the
processor, and that the times are not the machine's. Host memory is that of the process: its peak, and by how much that
is above what it held just before the first run, with the model loaded.
"""

import argparse
import contextlib
import itertools
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from torch import Tensor

from ifc import Ifc
from ifc.engine import build_model, setup_config
from ifc.inference import ClipTracker, InferenceNetwork
from ifc.inference import video as video_engine
from ifc.modeling import ClipPrediction
from ifc.predictor import READING_THREADS, to_input
from ifc.video import FrameSource, VideoWriter, open_frames
from ifc.video.read_ahead import read_ahead
from ifc.ytvis.datasets.shapes import MIN_IMAGE_SIDE, render_video
from ifc.ytvis.files import write_json

STAGES = (
    "decoding",
    "normalization",
    "backbone",
    "projections",
    "clip network",
    "tracker",
    "masks to RLE",
    "other",
)
REPLACING = "replacing"  # of predictions: belongs to no stage and no total
CLASSES_OF_AN_INSTANCE = 6  # the last one's probability is 1 / 63, above the default APPLY_CLS_THRES of 0.01
RENDERED_FRAMES = 12  # of the video, which shows them forwards and backwards
SMALLEST_SIDE = 32  # of the network's input: one cell of res5


# --------------------------------------------------------------------------------------------------------------------
# Time and memory
# --------------------------------------------------------------------------------------------------------------------


class StageClock:
    """Adds up the time of stages. A stage inside another one interrupts it: every moment belongs to one stage.

    Args:
        device: that of the model. On a GPU, entering and leaving a stage waits for all that was started before.

    Attributes:
        seconds: time of each stage that was entered.
    """

    def __init__(self, device: torch.device):
        self.seconds: dict[str, float] = {}
        self._device = device
        self._running: list[str] = []
        self._since = 0.0

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block's time as `name`'s."""
        self._book()
        self._running.append(name)
        try:
            yield
        finally:
            self._book()
            self._running.pop()

    def timed(self, function: Callable, name: str) -> Callable:
        """`function`, its time counted as `name`'s."""

        def timed_function(*args, **kwargs):
            with self.stage(name):
                return function(*args, **kwargs)

        return timed_function

    def _book(self) -> None:
        """Give the time since the last call to the stage that is running."""
        synchronize(self._device)
        now = time.perf_counter()
        if self._running:
            name = self._running[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now


def synchronize(device: torch.device) -> None:
    """Wait for all that was started on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give `owner` another attribute `name` while the block runs."""
    own = vars(owner)
    is_own, before = name in own, own.get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if is_own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


@contextlib.contextmanager
def timed_stages(model: Ifc, clock: StageClock) -> Iterator[None]:
    """Have the model's parts, which are left as they are, report their time to `clock`."""
    network = model.inference.network
    network.prepare()
    parts = [
        (model.normalize, "forward", "normalization"),  # inside encode_frames
        (network, "encode_frames", "backbone" if network.is_compiled else "projections"),
        (network, "predict_clips", "clip network"),
        (ClipTracker, "update", "tracker"),
        (ClipTracker, "release", "tracker"),
        (video_engine, "encode_masks", "masks to RLE"),
    ]
    if network.is_compiled:
        clock.seconds["projections"] = 0.0
    else:
        parts.append((network.network.backbone[0], "forward", "backbone"))  # inside encode_frames
    with contextlib.ExitStack() as stack:
        for owner, name, stage in parts:
            stack.enter_context(replaced(owner, name, clock.timed(getattr(owner, name), stage)))
        yield


def host_memory() -> tuple[int, int]:
    """The process's resident memory in bytes: now, and the most that it ever was.

    Linux tells both in /proc. Elsewhere both are getrusage's maximum, which on Linux would be too large: a process
    starts there with the maximum of the one that started it.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        kibibytes = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("VmRSS", "VmHWM"))}
        return kibibytes["VmRSS"] * 1024, kibibytes["VmHWM"] * 1024
    except (OSError, KeyError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return peak, peak


def reset_peak_memory() -> None:
    """Have Linux count the process's peak from here on. Elsewhere the peak stays that of all runs before."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


# --------------------------------------------------------------------------------------------------------------------
# What the network sees, and what it says
# --------------------------------------------------------------------------------------------------------------------


def write_video(path: Path, length: int, size: tuple[int, int]) -> None:
    """Write an H.264 video of moving shapes, `length` frames of `size` (height, width)."""
    frames = render_video(0, *size, min(length, RENDERED_FRAMES)).frames
    there_and_back = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    with VideoWriter(path, frame_rate=30) as writer:
        for index in itertools.islice(itertools.cycle(there_and_back), length):
            writer.write(frames[index])


class DecodedFrames:
    """A video's frames as the network takes them, decoded when they are asked for. Stands in for the list of frames of
    a loader's sample."""

    def __init__(
        self,
        source: FrameSource,
        input_size: tuple[int, int],
        image_format: str,
        clock: StageClock,
        reads_ahead: bool = False,
    ):
        self._source = source
        self._resize = T.Resize(input_size)
        self._is_bgr = image_format == "BGR"
        self._clock = clock
        self._reads_ahead = reads_ahead

    def __iter__(self) -> Iterator[Tensor]:
        if self._reads_ahead:
            frames = read_ahead(self._to_input, self._source, workers=READING_THREADS)
        else:
            frames = map(self._to_input, self._source)
        while True:
            with self._clock.stage("decoding"):
                frame = next(frames, None)
            if frame is None:
                return
            yield frame

    def _to_input(self, frame: np.ndarray) -> Tensor:
        return to_input(frame, self._resize, self._is_bgr)


def ellipse_logits(num_instances: int, size: tuple[int, int], seed: int = 0) -> Tensor:
    """Mask logits of N different ellipses with a wavy outline, (N, h, w) float32 between -10 and 10."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: float, high: float) -> Tensor:  # one number an instance
        return low + (high - low) * torch.rand(num_instances, 1, 1, generator=generator)

    height, width = size
    # In parts of the frame, from the center, which lies on a cell: on a small grid every ellipse still covers one.
    y = (torch.arange(height)[:, None] - (height * draw(0.15, 0.85)).floor()) / height
    x = (torch.arange(width) - (width * draw(0.15, 0.85)).floor()) / width
    turn = draw(0, math.pi)
    along = (x * turn.cos() + y * turn.sin()) / draw(0.04, 0.15)
    across = (y * turn.cos() - x * turn.sin()) / draw(0.04, 0.15)
    angle = torch.atan2(across, along)
    outline = 1 + 0.15 * torch.sin(5 * angle + draw(0, 2 * math.pi))
    return (10 * (outline - torch.hypot(along, across))).clamp(-10, 10)


def class_logits(queries: Tensor, num_queries: int, num_classes: int) -> Tensor:
    """Class logits (Q, C + 1): for `queries`, (N,) indices, halving probabilities of up to `CLASSES_OF_AN_INSTANCE`
    classes, a different one first each time; for all other queries "no object"."""
    num_labels = min(CLASSES_OF_AN_INSTANCE, num_classes)
    logits = torch.full((num_queries, num_classes + 1), -20.0)
    logits[:, -1] = 20.0
    logits[queries, -1] = -20.0
    labels = (torch.arange(len(queries))[:, None] + torch.arange(num_labels)) % num_classes  # (N, labels)
    logits[queries[:, None], labels] = -math.log(2) * torch.arange(num_labels)
    return logits


@contextlib.contextmanager
def scripted_instances(network: InferenceNetwork, num_instances: int, clock: StageClock) -> Iterator[None]:
    """Have `network` report N instances while the block runs, as the program's description says. Its predictions are
    overwritten where they are, so that they take no memory of their own."""
    predict_clips = network.predict_clips
    mask_logits: Tensor | None = None  # (N, 1, h, w)

    def predict_scripted(*args, **kwargs) -> ClipPrediction:
        nonlocal mask_logits
        prediction = predict_clips(*args, **kwargs)
        with clock.stage(REPLACING):
            logits, masks = prediction.pred_logits, prediction.pred_masks  # (B, Q, C + 1), (B, Q, T, h, w)
            if mask_logits is None:
                mask_logits = ellipse_logits(num_instances, masks.shape[-2:])[:, None].to(masks)
            queries = torch.arange(num_instances) * masks.shape[1] // num_instances
            logits.copy_(class_logits(queries, logits.shape[1], logits.shape[2] - 1))
            masks[:, queries.to(masks.device)] = mask_logits
        return prediction

    with replaced(network, "predict_clips", predict_scripted):
        yield


# --------------------------------------------------------------------------------------------------------------------
# Runs
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What is measured.

    Attributes:
        video: a file.
        length: its frames.
        input_size: (height, width) of the network's input.
        output_size: (height, width) of the masks.
        image_format: the config's INPUT.FORMAT.
        num_instances: N.
        reads_ahead: whether frames are decoded ahead of the network.
    """

    video: Path
    length: int
    input_size: tuple[int, int]
    output_size: tuple[int, int]
    image_format: str
    num_instances: int
    reads_ahead: bool = False


@dataclass(frozen=True)
class Run:
    """One run over the video.

    Attributes:
        seconds: time of each stage.
        cpu_time: seconds that the process's threads were running, added up.
        num_instances: instances in the result.
        num_tracks: tracks in the result.
    """

    seconds: dict[str, float]
    cpu_time: float
    num_instances: int
    num_tracks: int

    @property
    def total(self) -> float:
        """Seconds from the file to the result."""
        return sum(self.seconds.values())


def run_once(model: Ifc, task: Task, by_stage: bool) -> Run:
    """Inference on the video, from the file to its tracks.

    Args:
        by_stage: time all stages. Otherwise all but decoding is "other", and a GPU is waited for at the end alone.

    Raises:
        RuntimeError: if the result has other instances or frames than it must, or a stage was never entered.
    """
    clock = StageClock(model.device if by_stage else torch.device("cpu"))
    frames = DecodedFrames(open_frames(task.video), task.input_size, task.image_format, clock, task.reads_ahead)
    with contextlib.ExitStack() as stack:
        if by_stage:
            stack.enter_context(timed_stages(model, clock))
        stack.enter_context(scripted_instances(model.inference.network, task.num_instances, clock))
        stack.enter_context(torch.no_grad())
        cpu_start = time.process_time()
        with clock.stage("other"):
            result = model([{"image": frames, "height": task.output_size[0], "width": task.output_size[1]}])
            synchronize(model.device)
        cpu_time = time.process_time() - cpu_start

    masks = result["pred_masks"]
    num_instances = len({id(track) for track in masks})  # tracks of one instance share their masks
    windows_overlap = (
        model.inference.settings.clip_stride < model.inference.settings.window
    )  # otherwise none knows those of another
    if num_instances < task.num_instances or (windows_overlap and num_instances > task.num_instances):
        raise RuntimeError(f"the network reported {task.num_instances} instances, the result has {num_instances}")
    if len(masks[0]) != task.length:
        raise RuntimeError(f"the video has {task.length} frames, the result {len(masks[0])}")
    missing = [stage for stage in STAGES if stage not in clock.seconds]
    if by_stage and missing:
        raise RuntimeError(f"never entered: {', '.join(missing)}; the engine's parts are not those that are timed")
    clock.seconds.pop(REPLACING)
    return Run(clock.seconds, cpu_time, num_instances, len(masks))


def measure(model: Ifc, task: Task, *, repeat: int, warmup: int) -> dict[str, Any]:
    """Run `warmup` times for nothing and then `repeat` times, and report the run whose total is the median.

    Returns:
        Ready for json: "instances" and "tracks" of the result, "totals" (seconds of every run), "total",
        "total_without_decoding", "cpu_time", "frames_per_second", "stages" (seconds of each; on a GPU from runs of
        their own) and "memory" in bytes.
    """
    is_cuda = model.device.type == "cuda"
    if is_cuda:
        torch.cuda.reset_peak_memory_stats(model.device)
    reset_peak_memory()
    start, peak_before = host_memory()
    for _ in range(warmup):
        run_once(model, task, by_stage=False)
    by_stage = [run_once(model, task, by_stage=True) for _ in range(repeat)]
    whole = [run_once(model, task, by_stage=False) for _ in range(repeat)] if is_cuda else by_stage
    peak = host_memory()[1]

    run, stages = (sorted(runs, key=lambda run: run.total)[(repeat - 1) // 2] for runs in (whole, by_stage))
    return {
        "instances": run.num_instances,
        "tracks": run.num_tracks,
        "totals": [run.total for run in whole],
        "total": run.total,
        "total_without_decoding": run.total - run.seconds["decoding"],
        "cpu_time": run.cpu_time,
        "frames_per_second": task.length / run.total,
        "stages": {name: stages.seconds[name] for name in STAGES},
        "memory": {
            "host_start": start,
            "host_peak_before_start": peak_before,
            "host_peak": peak,
            "host_growth": max(peak - start, 0),
            "gpu_peak": torch.cuda.max_memory_allocated(model.device) if is_cuda else None,
        },
    }


def report_text(report: dict[str, Any]) -> str:
    """The report for people."""
    task, memory = report["task"], report["memory"]
    in_size, out_size = ("x".join(map(str, task[key])) for key in ("input_size", "output_size"))
    num_runs, stages_total = len(report["totals"]), sum(report["stages"].values())
    lines = [
        f"{report['config_file']}: {task['length']} frames, {in_size} in, {out_size} out, windows of {task['window']} "
        f"every {task['stride']}, {report['instances']} instances, {report['tracks']} tracks",
        f"{report['device']}, threads {report['threads']}, torch {report['torch']}, "
        + (f"median of {num_runs} runs" if num_runs > 1 else "1 run"),
        "",
        f"{'stage':16}{'seconds':>10}{'share':>9}{'ms/frame':>11}",
        *(
            f"{name:16}{seconds:10.3f}{seconds / stages_total:9.1%}{1000 * seconds / task['length']:11.2f}"
            for name, seconds in report["stages"].items()
        ),
        f"{'total':16}{report['total']:10.3f}{'':9}{1000 * report['total'] / task['length']:11.2f}",
        "",
        f"frames a second   {report['frames_per_second']:.3f}",
        f"without decoding  {report['total_without_decoding']:.3f} s",
        f"CPU time          {report['cpu_time']:.3f} s, all threads together",
        f"host memory       {_mebibytes(memory['host_peak'])} at most, {_growth(memory)} over the start",
    ]
    if memory["gpu_peak"] is not None:
        lines.append(f"GPU memory        {_mebibytes(memory['gpu_peak'])} at most")
    return "\n".join([*lines, *_variant_lines(report)])


def _variant_lines(report: dict[str, Any]) -> list[str]:
    """A table of the variants, below the task as it is."""
    if not report["variants"]:
        return []
    lines = ["", f"{'seconds':>9}{'faster':>9}{'backbone':>10}{'clip net':>10}{'MiB':>7}  options on top"]
    for run in (report, *report["variants"]):
        memory, stages = run["memory"], run["stages"]
        peak = memory["host_peak"] if memory["gpu_peak"] is None else memory["gpu_peak"]
        lines.append(
            f"{run['total']:9.3f}{report['total'] / run['total']:8.2f}x{stages['backbone']:10.3f}"
            f"{stages['clip network']:10.3f}{peak / 2**20:7.0f}  {run.get('variant', '(none)')}"
        )
    return lines


def _growth(memory: dict[str, int]) -> str:
    # A peak that lies before the runs hides theirs. Linux's counters are exact to some hundred KiB.
    is_hidden = memory["host_peak"] < memory["host_peak_before_start"] + 2**20
    return ("less than " if is_hidden else "") + _mebibytes(memory["host_growth"])


def _mebibytes(number: int) -> str:
    return f"{number / 2**20:.0f} MiB"


# --------------------------------------------------------------------------------------------------------------------
# Command line
# --------------------------------------------------------------------------------------------------------------------


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    description, _, details = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    size = {"type": int, "nargs": 2, "metavar": ("H", "W")}
    parser.add_argument("--config-file", required=True, metavar="FILE", help="a config of IFC")
    parser.add_argument("--length", type=int, default=36, metavar="N", help="frames of the video (default: 36)")
    parser.add_argument("--input-size", **size, default=(360, 640), help="as the network sees it (default: 360 640)")
    parser.add_argument(
        "--output-size", **size, default=(720, 1280), help="of the video file and of the masks (default: 720 1280)"
    )
    parser.add_argument("--instances", type=int, default=12, metavar="N", help="instances to track (default: 12)")
    parser.add_argument(
        "--window", type=int, metavar="T", help="frames of a window (default: the config's INPUT.SAMPLING_FRAME_NUM)"
    )
    parser.add_argument(
        "--stride",
        type=int,
        metavar="S",
        help="frames between two windows (default: the config's MODEL.IFC.CLIP_STRIDE)",
    )
    parser.add_argument("--device", metavar="NAME", help="cpu or cuda (default: the config's MODEL.DEVICE)")
    parser.add_argument("--threads", type=int, metavar="N", help="torch's threads on the CPU (default: torch's choice)")
    parser.add_argument(
        "--repeat", type=int, default=1, metavar="N", help="runs, of which the median one is reported (default: 1)"
    )
    parser.add_argument(
        "--warmup",
        type=int,
        metavar="N",
        help="runs before, that do not count (default: 1 on a GPU or with torch.compile, 0 otherwise)",
    )
    parser.add_argument("--read-ahead", action="store_true", help="decode beside the rest")
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar='"KEY VALUE ..."',
        help="the same once more with these config options on top; may be repeated",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers, too")
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="config options, put last; they win over the above"
    )
    return parser


def check_arguments(args: argparse.Namespace) -> None:
    """
    Raises:
        ValueError: if an argument is out of range.
    """
    for name, smallest in {"length": 1, "instances": 1, "threads": 1, "repeat": 1, "warmup": 0}.items():
        value = getattr(args, name)
        if value is not None and value < smallest:
            raise ValueError(f"--{name}: found {value}, expected at least {smallest}")
    for name, smallest in {"input-size": SMALLEST_SIDE, "output-size": MIN_IMAGE_SIDE}.items():
        height, width = getattr(args, name.replace("-", "_"))
        if min(height, width) < smallest:
            raise ValueError(f"--{name}: found {height} {width}, expected at least {smallest} for each")
    if args.json is not None and not args.json.resolve().parent.is_dir():
        raise ValueError(f"--json {args.json}: expected a file in a folder that exists")


def load_config(args: argparse.Namespace, variant: Sequence[str] = ()) -> CfgNode:
    """The config that the arguments ask for, with the options of a variant on top.

    Raises:
        OSError, ValueError: for a wrong config file, option or value.
    """
    chosen = {
        "INPUT.SAMPLING_FRAME_NUM": args.window,
        "MODEL.IFC.CLIP_STRIDE": args.stride,
        "MODEL.DEVICE": args.device,
    }
    opts = ["MODEL.WEIGHTS", ""]
    for key, value in chosen.items():
        opts += [] if value is None else [key, str(value)]
    cfg = setup_config(args.config_file, [*opts, *args.opts, *variant])
    if cfg.MODEL.WEIGHTS:
        raise ValueError(
            f"MODEL.WEIGHTS: found {cfg.MODEL.WEIGHTS!r}, expected nothing: the benchmark's weights are random"
        )
    if args.instances > cfg.MODEL.IFC.NUM_OBJECT_QUERIES:
        raise ValueError(
            f"--instances: found {args.instances}, expected at most the {cfg.MODEL.IFC.NUM_OBJECT_QUERIES} queries of "
            "MODEL.IFC.NUM_OBJECT_QUERIES"
        )
    threshold = cfg.MODEL.IFC.APPLY_CLS_THRES
    if cfg.MODEL.IFC.MULTI_CLS_ON and threshold >= 0.5:
        raise ValueError(
            f"MODEL.IFC.APPLY_CLS_THRES: found {threshold}, expected less than 0.5, the instances' highest probability"
        )
    return cfg


def benchmark(args: argparse.Namespace) -> dict[str, Any]:
    """Do what the arguments ask for.

    Returns:
        What `measure` gives, with the config, the task and the machine.

    Raises:
        OSError, ValueError: for a wrong argument, config file or option.
    """
    check_arguments(args)
    cfg = load_config(args)
    variants = {variant: load_config(args, variant.split()) for variant in args.variant}
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "video.mp4"
        write_video(video, args.length, tuple(args.output_size))
        measured = measure_config(cfg, args, video)
        measured["variants"] = [
            {"variant": name, **measure_config(variant, args, video)} for name, variant in variants.items()
        ]
    is_cuda = torch.device(cfg.MODEL.DEVICE).type == "cuda"
    return {
        "config_file": args.config_file,
        "opts": args.opts,
        "task": {
            "length": args.length,
            "input_size": list(args.input_size),
            "output_size": list(args.output_size),
            "window": cfg.INPUT.SAMPLING_FRAME_NUM,
            "stride": cfg.MODEL.IFC.CLIP_STRIDE,
            "instances": args.instances,
        },
        "device": torch.cuda.get_device_name(cfg.MODEL.DEVICE) if is_cuda else "CPU",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        **measured,
    }


def measure_config(cfg: CfgNode, args: argparse.Namespace, video: Path) -> dict[str, Any]:
    """What `measure` gives for a config's model, and the number of warm-up runs."""
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    task = Task(
        video=video,
        length=args.length,
        input_size=tuple(args.input_size),
        output_size=tuple(args.output_size),
        image_format=cfg.INPUT.FORMAT,
        num_instances=args.instances,
        reads_ahead=args.read_ahead,
    )
    # A GPU's kernels are chosen and a network is compiled at the first use.
    warms_up = model.device.type == "cuda" or model.inference.network.is_compiled
    warmup = int(warms_up) if args.warmup is None else args.warmup
    return {"warmup": warmup, **measure(model, task, repeat=args.repeat, warmup=warmup)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns the exit status: 0, or 1 after an error, which is written to stderr."""
    args = build_parser().parse_args(argv)
    try:
        report = benchmark(args)
        print(report_text(report))
        if args.json is not None:
            write_json(args.json, report, indent=2)
    except (OSError, ValueError) as error:
        print(f"benchmark.py: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
