# SPDX-License-Identifier: Apache-2.0
"""Masks from logits to RLE: the plain way against `ifc.inference.mask_encoding`."""

import statistics
from argparse import Namespace
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pycocotools import mask as coco_mask
from torch import Tensor

from ..inference.mask_encoding import encode_masks
from ..ytvis.masks import Rle
from .measuring import Column, Report, timed
from .runs import synchronize
from .scripted import shape_logits

MASKS_AT_ONCE = 16  # of the plain way, whose memory is that of the masks


def run(args: Namespace) -> Report:
    """Compare both ways for `args.frames` frames of so many masks each; they take turns, and medians count."""
    device, report = torch.device(args.device), {}
    for num_masks in args.masks:
        logits = [shape_logits(num_masks, args.input_size, seed).to(device) for seed in range(args.frames)]
        report[f"{num_masks} masks"] = compare_ways(logits, tuple(args.output_size), device, args.repeat)
    return report


def compare_ways(logits: Sequence[Tensor], output_size: tuple[int, int], device: torch.device, repeat: int) -> Column:
    """Milliseconds a frame of both ways on the frames' logits, and how many masks are not the same byte for byte."""
    ways = {"plain, ms a frame": encode_plainly, "from the borders, ms a frame": encode_masks}
    results = [encode(logits, output_size) for encode in ways.values()]  # which warms them up, too
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeat):
        for name, encode in ways.items():
            synchronize(device)
            _, seconds, _ = timed(lambda encode=encode: (encode(logits, output_size), synchronize(device)))
            times[name].append(1000 * seconds / len(logits))
    medians = {name: statistics.median(values) for name, values in times.items()}
    plain, borders = medians.values()
    different = sum(one != other for pair in zip(*results, strict=True) for one, other in zip(*pair, strict=True))
    return medians | {"times faster": plain / borders, "different masks": different}


def encode_plainly(frames: Sequence[Tensor], output_size: tuple[int, int]) -> list[list[Rle | None]]:
    """What `encode_masks` does, by way of masks at their output size: interpolation, threshold and transposition to
    pycocotools' order on the device, encoding on the host."""
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
