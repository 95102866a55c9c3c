# SPDX-License-Identifier: Apache-2.0
"""How fast training clips are made of videos, against a plain mapper; and how much memory loading takes."""

import statistics
import tempfile
import time
import warnings
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ..data import YTVISDatasetMapper, load_ytvis_json
from ..data.records import PackedRecords
from ..engine import setup_config
from ..regions import timed_regions
from ..ytvis.files import write_json
from .measuring import Report, in_own_process
from .plain_mapper import PlainMapper
from .shapes_data import render_content, stretched, write_dataset
from .workers import worker_memory

NUM_VIDEOS = 4
KINDS = {  # of videos, by size, length and number of instances
    "YTVIS": {"size": (720, 1280), "length": 30, "num_instances": 3},
    "OVIS": {"size": (1080, 1920), "length": 60, "num_instances": 6},
}
VARIANTS = {"list, forked": (False, "fork"), "packed, forked": (True, "fork"), "packed, spawned": (True, "spawn")}


def run(args: Namespace) -> Report:
    """Speed: CPU milliseconds a sample on one core, by region, of the mappers of `args.config_file` on two kinds of
    videos. Memory: what worker processes hold, see `workers`, of annotations as many as YouTube-VIS 2021's.

    Raises:
        OSError, ValueError: for a wrong config or argument.
    """
    warnings.filterwarnings("ignore", module="detectron2")  # of how the plain mapper's functions make tensors
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    report: Report = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, videos in KINDS.items() if args.only != "memory" else ():
            report |= {f"{kind}, {name}": column for name, column in speed(args, Path(folder) / kind, videos).items()}
        if args.only != "speed":
            content = render_content(Path(folder) / "memory", NUM_VIDEOS, KINDS["YTVIS"]["size"])
            json_file = Path(folder) / "large.json"
            write_json(json_file, stretched(content, args.videos, args.instances, 30, 40))
            for name, variant in VARIANTS.items():
                report[name] = in_own_process(worker_memory, str(json_file), *variant, args.workers)
    return report


def speed(args: Namespace, folder: Path, videos: dict[str, Any]) -> Report:
    """Each mapper's fastest of `args.rounds` rounds, in which they take turns at the same clips, files being in the
    page cache. Both kinds of mapper make the same clips, which is checked.

    Raises:
        RuntimeError: if they do not.
    """
    opts = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", *args.opts]
    cfg = setup_config(args.config_file, opts)
    json_file, frames = write_dataset(folder, NUM_VIDEOS, **videos, num_categories=cfg.MODEL.IFC.NUM_CLASSES)
    records = load_ytvis_json(json_file, frames)
    packed = PackedRecords(records)
    mappers: dict[str, tuple[Callable, Sequence]] = {
        "plain": (PlainMapper(cfg), records),
        "mapper": (YTVISDatasetMapper(cfg, is_train=True), packed),
    }
    if not cfg.INPUT.CROP.ENABLED:
        reduced = setup_config(args.config_file, [*opts, "INPUT.REDUCED_DECODE", "True"])
        mappers["reduced"] = YTVISDatasetMapper(reduced, is_train=True), packed
    for seed in range(NUM_VIDEOS):
        check_same(make_clip(*mappers["mapper"], seed), make_clip(*mappers["plain"], seed))
    fastest: Report = {}
    for _ in range(args.rounds):
        for name, mapper in mappers.items():
            with timed_regions("rest", clock=time.process_time) as seconds:
                for seed in range(args.samples):
                    make_clip(*mapper, seed)
            column = {f"{row}, ms a sample": 1000 * each / args.samples for row, each in seconds.items()}
            column["all, ms a sample"] = sum(column.values())
            fastest[name] = min(column, fastest.get(name, column), key=lambda column: column["all, ms a sample"])
    kilobytes = statistics.mean(path.stat().st_size for path in Path(frames).rglob("*.jpg")) / 1000
    plain = fastest["plain"]["all, ms a sample"]
    for column in fastest.values():
        total = column["all, ms a sample"]
        column |= {"samples a second": 1000 / total, "times the plain": plain / total, "kB a frame": kilobytes}
    return fastest


def make_clip(mapper: Callable, dataset: Sequence, seed: int) -> dict[str, Any]:
    """A clip of one of the data set's videos, the same for the same seed."""
    np.random.seed(seed)
    return mapper(dataset[seed % len(dataset)])


def check_same(clip: dict[str, Any], plain: dict[str, Any]) -> None:
    """
    Raises:
        RuntimeError: if two clips differ, pixels by more than a rounding.
    """
    for image, expected in zip(clip["image"], plain["image"], strict=True):
        if (image.int() - expected.int()).abs().max() > 1:
            raise RuntimeError("the two mappers' images differ by more than a rounding")
    for instances, expected in zip(clip["instances"], plain["instances"], strict=True):
        same = torch.equal(instances.gt_masks.tensor, expected.gt_masks.tensor)
        same &= torch.equal(instances.gt_boxes.tensor, expected.gt_boxes.tensor)
        same &= torch.equal(instances.gt_classes, expected.gt_classes)
        if not same or not torch.equal(instances.gt_ids, expected.gt_ids):
            raise RuntimeError("the two mappers' instances differ")
