# SPDX-License-Identifier: Apache-2.0
"""Whether time and memory a frame stay the same through a long video that `VideoSegmenter.stream` segments."""

import sys
import time
from argparse import Namespace

import torch
from tqdm import tqdm

from ..monitoring.memory import MIB, host_memory
from ..predictor import SegmentedFrame, VideoSegmenter
from .measuring import Report
from .shapes_data import moving_shapes

RENDERED_FRAMES = 100


def run(args: Namespace) -> Report:
    """Segment a video and keep its frames' masks, as a program does that wants the results.

    Returns:
        For each part of the video what a frame takes, and what all frames so far take, Python's objects and their
        strings; then the last part against the first: ratios, and the growth between them in bytes a frame.

    Raises:
        OSError, ValueError: for a wrong config, checkpoint or argument.
    """
    if args.part >= args.length:
        raise ValueError(f"--part: found {args.part}, expected less than --length, which is {args.length}")
    return measure_stream(VideoSegmenter.from_config(args.config_file, args.weights, args.opts), args)


def measure_stream(segmenter: VideoSegmenter, args: Namespace) -> Report:
    """What `run` returns, of a segmenter."""
    length, part, device = args.length, args.part, segmenter.inference.network.device
    video = moving_shapes(length, args.size, args.instances, RENDERED_FRAMES)
    report: Report = {}
    kept: list[SegmentedFrame] = []
    kept_bytes = begin = 0
    clocks = time.perf_counter(), time.process_time()
    for frame in tqdm(segmenter.stream(video, args.frames_at_once), total=length, unit="frame"):
        kept.append(frame)
        kept_bytes += num_bytes(frame)
        if len(kept) % part == 0 or len(kept) == length:
            now = time.perf_counter(), time.process_time()
            num_frames, masks = len(kept) - begin, sum(len(frame.masks) for frame in kept[begin:])
            wall, cpu = (1000 * (end - start) / num_frames for start, end in zip(clocks, now, strict=True))
            times = {"ms a frame": wall, "processor ms a frame": cpu}
            memory = {"memory, MiB": host_memory()[0] / MIB, "kept masks, MiB": kept_bytes / MIB}
            if device.type == "cuda":
                memory["GPU memory, MiB"] = torch.cuda.memory_allocated(device) / MIB
            report[f"{begin} to {len(kept)}"] = {**times, **memory, "masks a frame": masks / num_frames}
            begin, clocks = len(kept), (time.perf_counter(), time.process_time())
    first, *_, last = report.values()
    ratios = {row: last[row] / first[row] for row in ("ms a frame", "processor ms a frame")}
    growth = {f"{row}: bytes a frame": MIB * (last[row] - first[row]) / (length - part) for row in memory}
    return report | {"last / first": ratios | growth}


def num_bytes(frame: SegmentedFrame) -> int:
    """What a kept frame takes."""
    held = [frame, *vars(frame).values(), *frame.scores.values()]
    for rle in frame.masks.values():
        held += [rle, rle["size"], rle["counts"]]
    return sum(map(sys.getsizeof, held))
