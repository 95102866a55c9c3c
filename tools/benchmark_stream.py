#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether time and memory a frame stay the same through a long video.

Example:
    python tools/benchmark_stream.py --config-file configs/quick_schedules/shapes_tiny.yaml \
        --weights configs/quick_schedules/shapes_tiny.pth --length 10000 MODEL.DEVICE cpu

The video is one of synthetic shapes, rendered once and then shown forwards and backwards again and again, so that every
part of it is as hard as every other. It goes through `VideoSegmenter.stream`, the engine of evaluation and demo.py,
and its frames' masks are kept, as a program does that wants the results. For every part of the video the program prints
the time a frame, the process's memory, and how many bytes the kept masks take (Python's objects and their strings, as
`sys.getsizeof` counts them): memory may grow by these and nothing else. Processor time, all threads together, is less
disturbed by other programs than time.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import host_memory

from ifc.predictor import SegmentedFrame, VideoSegmenter
from ifc.ytvis.datasets.shapes import render_video
from ifc.ytvis.files import write_json

RENDERED_FRAMES = 100


def long_video(length: int, size: tuple[int, int], num_instances: int, seed: int) -> Iterator[np.ndarray]:
    """`length` RGB frames of `size` (height, width)."""
    frames = render_video(seed, *size, min(length, RENDERED_FRAMES), num_instances=num_instances).frames
    there_and_back = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    return (frames[index] for index in itertools.islice(itertools.cycle(there_and_back), length))


def num_bytes(frame: SegmentedFrame) -> int:
    """What a kept frame takes."""
    held = [frame, *vars(frame).values(), *frame.scores.values()]
    for rle in frame.masks.values():
        held += [rle, rle["size"], rle["counts"]]
    return sum(map(sys.getsizeof, held))


def measure(segmenter: VideoSegmenter, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Segment the video.

    Returns:
        For each part "end" (frames so far), "seconds", "cpu_seconds", "memory" of the process, "rle_bytes" kept so far
        and "masks".
    """
    video = long_video(args.length, tuple(args.size), args.instances, args.seed)
    kept, parts, total_bytes = [], [], 0
    since, cpu_since = time.perf_counter(), time.process_time()
    for frame in segmenter.stream(video, args.frames_at_once):
        kept.append(frame)
        total_bytes += num_bytes(frame)
        if len(kept) % args.part == 0 or len(kept) == args.length:
            now, cpu_now = time.perf_counter(), time.process_time()
            parts.append(
                {
                    "end": len(kept),
                    "seconds": now - since,
                    "cpu_seconds": cpu_now - cpu_since,
                    "memory": host_memory()[0],
                    "rle_bytes": total_bytes,
                    "masks": sum(len(f.masks) for f in kept[-args.part :]),
                }
            )
            print(part_text(parts), flush=True)
            since, cpu_since = time.perf_counter(), time.process_time()
    return parts


def part_text(parts: Sequence[dict[str, Any]]) -> str:
    """A line for the last part."""
    part, frames = parts[-1], parts[-1]["end"] - (parts[-2]["end"] if len(parts) > 1 else 0)
    return (
        f"{part['end']:7} frames: {1000 * part['seconds'] / frames:7.2f} ms a frame "
        f"({1000 * part['cpu_seconds'] / frames:.2f} of processors), "
        f"{part['memory'] / 2**20:7.0f} MiB, of which kept masks {part['rle_bytes'] / 2**20:6.1f} MiB, "
        f"{part['masks'] / frames:.1f} masks a frame"
    )


def summary(parts: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The last part against the first: "time_ratio", "cpu_ratio", and the growth of memory a frame between them, in
    bytes: "growth" and "rle_growth"."""
    first, last = parts[0], parts[-1]
    frames = last["end"] - first["end"]
    last_frames = frames - (parts[-2]["end"] - first["end"])
    return {
        "time_ratio": (last["seconds"] / last_frames) / (first["seconds"] / first["end"]),
        "cpu_ratio": (last["cpu_seconds"] / last_frames) / (first["cpu_seconds"] / first["end"]),
        "growth": (last["memory"] - first["memory"]) / frames,
        "rle_growth": (last["rle_bytes"] - first["rle_bytes"]) / frames,
    }


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    description, _, details = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument("--weights", required=True, metavar="FILE", help="a checkpoint of the config's model")
    parser.add_argument("--length", type=int, default=10000, metavar="N", help="frames (default: 10000)")
    parser.add_argument("--part", type=int, default=1000, metavar="N", help="frames of a part (default: 1000)")
    parser.add_argument("--size", type=int, nargs=2, default=(160, 240), metavar=("H", "W"), help="(default: 160 240)")
    parser.add_argument("--instances", type=int, default=3, metavar="N", help="shapes (default: 3)")
    parser.add_argument("--seed", type=int, default=0, help="of the video (default: 0)")
    parser.add_argument(
        "--frames-at-once", type=int, default=8, metavar="N", help="that pass the backbone together (default: 8)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers, too")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="config options, put last")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns the exit status: 0, or 1 after an error, which is written to stderr."""
    args = build_parser().parse_args(argv)
    try:
        if not 0 < args.part < args.length:
            raise ValueError(f"--part: found {args.part}, expected 1 to less than --length, which is {args.length}")
        segmenter = VideoSegmenter.from_config(args.config_file, args.weights, args.opts)
        parts = measure(segmenter, args)
        result = summary(parts)
        print(
            f"last part / first part: {result['time_ratio']:.3f} of the time a frame "
            f"({result['cpu_ratio']:.3f} of the processors'); between them memory grew by "
            f"{result['growth']:.0f} bytes a frame, the kept masks by {result['rle_growth']:.0f}"
        )
        if args.json is not None:
            write_json(args.json, {"opts": args.opts, "parts": parts, **result}, indent=2)
    except (OSError, ValueError) as error:
        print(f"benchmark_stream.py: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
