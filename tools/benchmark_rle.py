#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long masks take from logits to RLE: the plain way against ifc/inference/run_lengths.py, in one run.

Example:
    python tools/benchmark_rle.py --masks 12 100 --input-size 90 160 --output-size 720 1280 --device cpu

The plain way makes every mask at its output size: interpolation, threshold and transposition to pycocotools' order on
the device, encoding on the host. Masks are those of benchmark.py: soft-edged ellipses with a wavy outline and axes of
8 % to 30 % of the frame's. The two ways take turns; of several runs the median is reported, and how many pixels of the
results differ.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from benchmark import ellipse_logits, synchronize
from pycocotools import mask as coco_mask
from torch import Tensor

from ifc.inference.mask_encoding import encode_masks as encode_frames
from ifc.ytvis.masks import Rle

MASKS_AT_ONCE = 16  # of the plain way, whose memory is that of the masks


@dataclass(frozen=True)
class Comparison:
    """Both ways on the same logits.

    Attributes:
        num_masks: of a frame.
        plain, borders: seconds for a frame.
        different_pixels: of all masks of a frame.
    """

    num_masks: int
    plain: float
    borders: float
    different_pixels: int


def encode_plainly(frames: Sequence[Tensor], output_size: tuple[int, int]) -> list[list[Rle | None]]:
    """What `encode_frames` does, by way of the masks."""
    rles: list[list[Rle | None]] = []
    for frame in frames:
        rles.append([])
        for logits in frame.split(MASKS_AT_ONCE):
            resized = F.interpolate(logits[:, None], size=output_size, mode="bilinear", align_corners=False)[:, 0]
            # pycocotools wants Fortran order: (n, width, height) in memory.
            masks = (resized > 0).to(torch.uint8).transpose(1, 2).contiguous().cpu().numpy()
            for rle, mask in zip(coco_mask.encode(masks.transpose(2, 1, 0)), masks, strict=True):
                counts = rle["counts"].decode("ascii")
                rles[-1].append({"size": list(output_size), "counts": counts} if mask.any() else None)
    return rles


def count_different_pixels(one: Sequence[Rle | None], other: Sequence[Rle | None], size: tuple[int, int]) -> int:
    """Pixels that are in a mask of one and not in that of the other."""

    def decode(rle: Rle | None) -> np.ndarray:
        return np.zeros(size, dtype=np.uint8) if rle is None else coco_mask.decode(rle)

    return sum(int((decode(a) != decode(b)).sum()) for a, b in zip(one, other, strict=True) if a != b)


def seconds(work: Callable[[], Any], device: torch.device) -> float:
    """What one call takes, to the end of what it started on a GPU."""
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - start


def compare(
    num_masks: int,
    num_frames: int,
    input_size: tuple[int, int],
    output_size: tuple[int, int],
    device: torch.device,
    repeat: int,
) -> Comparison:
    """Measure both ways on `num_frames` frames at once."""
    frames = [ellipse_logits(num_masks, input_size, seed).to(device) for seed in range(num_frames)]
    ways = {"plain": encode_plainly, "borders": encode_frames}
    results = {name: encode(frames, output_size) for name, encode in ways.items()}  # which also warms them up
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeat):
        for name, encode in ways.items():
            times[name].append(seconds(lambda encode=encode: encode(frames, output_size), device) / num_frames)
    return Comparison(
        num_masks=num_masks,
        different_pixels=count_different_pixels(results["plain"][0], results["borders"][0], output_size),
        **{name: statistics.median(values) for name, values in times.items()},
    )


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    description, _, details = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    size = {"type": int, "nargs": 2, "metavar": ("H", "W")}
    parser.add_argument(
        "--masks", type=int, nargs="+", default=[12, 100], metavar="N", help="a frame (default: 12 100)"
    )
    parser.add_argument("--frames", type=int, default=1, metavar="N", help="encoded at once (default: 1)")
    parser.add_argument("--input-size", **size, default=(90, 160), help="of the logits (default: 90 160)")
    parser.add_argument("--output-size", **size, default=(720, 1280), help="of the masks (default: 720 1280)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu or cuda (default: cpu)")
    parser.add_argument("--threads", type=int, metavar="N", help="torch's threads on the CPU (default: torch's choice)")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="runs of each way (default: 5)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns the exit status: 0, or 2 after a wrong argument."""
    parser = build_parser()
    args = parser.parse_args(argv)
    for name in ("masks", "frames", "input_size", "output_size", "threads", "repeat"):
        value = getattr(args, name)
        if value is not None and np.min(value) < 1:
            parser.error(f"--{name.replace('_', '-')}: found {value}, expected at least 1")
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    print(f"{device.type}, {torch.get_num_threads()} threads, torch {torch.__version__}; milliseconds a frame")
    print(f"{'masks':>8}{'plain':>10}{'borders':>10}{'ratio':>8}{'different pixels':>18}")
    for num_masks in args.masks:
        found = compare(num_masks, args.frames, tuple(args.input_size), tuple(args.output_size), device, args.repeat)
        print(
            f"{num_masks:8}{1000 * found.plain:10.2f}{1000 * found.borders:10.2f}"
            f"{found.plain / found.borders:8.1f}{found.different_pixels:18}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
