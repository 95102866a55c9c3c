#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast training clips are made from videos, part by part and against a plain mapper; how much memory loading takes.

Examples:
    python tools/benchmark_data.py
    python tools/benchmark_data.py speed --config-file projects/IFC/configs/base_ovis.yaml --json speed.json
    python tools/benchmark_data.py memory --workers 8

Everything runs on data that is made in a temporary folder: JPEG frames with the detail of photographs, and instances
with wavy outlines that move.

Speed: the training mapper of the config on two kinds of videos, those of YouTube-VIS 2021 and those of OVIS by size,
length and number of instances, as the config has it and with INPUT.REDUCED_DECODE. The rival in the same run is a plain
mapper, as they are usually written: it copies each record deeply, and makes each frame with detectron2's functions for
images, which read with Pillow and decode and warp each mask alone. Both make the same clips, which is checked. Samples
a second are those of one core's CPU time in the fastest of several rounds, in which the mappers take turns at the same
clips; files are in the page cache. Parts, the mean of all rounds:

    record          unpacking the record and the masks' run lengths of the sampled frames
    JPEG decode     reading the frames and decoding them
    augmentation    of the frames: resize, flip
    masks           decoding and warping the masks in one, their boxes, the instances
    rest            sampling, color planes

Memory: a json with as many videos, instances and frames as the training split of YouTube-VIS 2021 is loaded, then
worker processes read records as in training, without frames. Of all workers together: the proportional set size, in
which memory that processes share counts once, when they have started and when they have read every record; and the part
of it that they do not share. Variants: a list of dicts as json gives it, and the packed records that training uses,
with workers that are forked and that are spawned (those have a Python of their own each, which is what they hold before
the first record).
"""

import argparse
import contextlib
import copy
import gc
import itertools
import math
import multiprocessing
import statistics
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, build_detection_train_loader
from detectron2.data import transforms as T
from detectron2.data.detection_utils import annotations_to_instances, read_image, transform_instance_annotations
from detectron2.structures import BoxMode, Instances
from PIL import Image

from ifc.data import YTVISDatasetMapper, load_ytvis_json
from ifc.data import mapper as mapper_module
from ifc.data.augmentation import build_augmentation
from ifc.data.mapper import read_tracks, sample_frames
from ifc.data.records import PackedRecords
from ifc.engine import setup_config
from ifc.ytvis.files import write_json

CONFIG = Path(__file__).parents[1] / "projects" / "IFC" / "configs" / "base_ytvis.yaml"
NUM_VIDEOS = 4
DISTINCT_FRAMES = 6  # of a video, whose frames show them in turn
JPEG_QUALITY = 85
MAPPERS = ("mapper", "reduced decode", "plain mapper")
MASK_POOL = 300  # distinct masks of the large json


@dataclass(frozen=True)
class Workload:
    """Videos of one kind: frames of height × width, how many of them, and how many instances."""

    height: int
    width: int
    length: int
    num_instances: int


WORKLOADS = {
    "like YTVIS 2021": Workload(height=720, width=1280, length=30, num_instances=3),
    "like OVIS": Workload(height=1080, width=1920, length=60, num_instances=6),
}


# --------------------------------------------------------------------------------------------------------------------
# Data
# --------------------------------------------------------------------------------------------------------------------


def make_frame(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8 with detail of all sizes, the smaller the fainter, as photographs have it."""
    frame = np.full((height, width, 3), 128, dtype=np.float32)
    cell = height
    while cell >= 2:
        noise = rng.standard_normal((math.ceil(height / cell) + 1, math.ceil(width / cell) + 1, 3), dtype=np.float32)
        frame += 2.5 * math.sqrt(cell) * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        cell //= 2
    return np.clip(frame, 0, 255).astype(np.uint8)


def make_mask(rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
    """The compressed RLE of an ellipse with a wavy outline and axes of 10 % to 35 % of the frame's."""
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    radius = 1 + 0.15 * np.sin(rng.integers(4, 12) * angles + rng.uniform(0, 6))
    center = rng.uniform(0.2, 0.8, size=2) * (width, height)
    axes = rng.uniform(0.05, 0.175, size=2) * (width, height)
    outline = center + axes * np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)
    mask = cv2.fillPoly(np.zeros((height, width), dtype=np.uint8), [outline.round().astype(np.int32)], 1)
    rle = mask_util.encode(np.asfortranarray(mask))
    return {"size": [height, width], "counts": rle["counts"].decode()}


def write_videos(folder: Path, workload: Workload, num_classes: int, seed: int = 0) -> Path:
    """Write videos of one kind in YTVIS's format; returns the json's path. The frames are in `folder` / frames."""
    rng = np.random.default_rng(seed)
    videos, annotations = [], []
    for video_id in range(1, NUM_VIDEOS + 1):
        names = [f"{video_id}_{frame}.jpg" for frame in range(DISTINCT_FRAMES)]
        (folder / "frames").mkdir(parents=True, exist_ok=True)
        for name in names:
            frame = Image.fromarray(make_frame(rng, workload.height, workload.width))
            frame.save(folder / "frames" / name, quality=JPEG_QUALITY)
        names = list(itertools.islice(itertools.cycle(names), workload.length))
        video = {"id": video_id, "file_names": names, "height": workload.height, "width": workload.width}
        videos.append(video | {"length": workload.length})
        for _ in range(workload.num_instances):
            segmentations = [make_mask(rng, workload.height, workload.width) for _ in names]
            annotations.append(make_annotation(len(annotations) + 1, video_id, num_classes, segmentations))
    return write_content(folder / "train.json", videos, annotations, num_classes)


def make_annotation(number: int, video_id: int, num_classes: int, segmentations: list[Any]) -> dict[str, Any]:
    return {
        "id": number,
        "video_id": video_id,
        "category_id": number % num_classes + 1,
        "iscrowd": 0,
        "segmentations": segmentations,
        "bboxes": [segmentation and [0.5 * number, 10.25, 200.0, 100.0] for segmentation in segmentations],
        "areas": [segmentation and 20000 + number for segmentation in segmentations],
    }


def write_content(path: Path, videos: list, annotations: list, num_classes: int) -> Path:
    categories = [{"id": number, "name": f"class {number}"} for number in range(1, num_classes + 1)]
    write_json(path, {"videos": videos, "categories": categories, "annotations": annotations})
    return path


def write_large_json(path: Path, num_videos: int, num_instances: int, length: int = 30, seed: int = 0) -> Path:
    """Write annotations alone, of the size of YouTube-VIS 2021's. An instance is absent on a fifth of the frames."""
    rng = np.random.default_rng(seed)
    height, width = 720, 1280
    pool = [make_mask(rng, height, width) for _ in range(MASK_POOL)]
    videos = [
        {"id": number, "file_names": [f"{number:010x}/{5 * frame:05d}.jpg" for frame in range(length)]}
        | {"height": height, "width": width, "length": length}
        for number in range(1, num_videos + 1)
    ]
    annotations = []
    for number in range(1, num_instances + 1):
        segmentations = [pool[index] if index < MASK_POOL else None for index in rng.integers(0, 375, size=length)]
        annotations.append(make_annotation(number, (number - 1) % num_videos + 1, 40, segmentations))
    return write_content(path, videos, annotations, 40)


# --------------------------------------------------------------------------------------------------------------------
# Speed
# --------------------------------------------------------------------------------------------------------------------


class PartClock:
    """Adds up CPU seconds by part."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.seconds[name] += time.process_time() - start

    def timed(self, function: Callable, name: str) -> Callable:
        def timed_function(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return timed_function


class PlainMapper:
    """The baseline: `YTVISDatasetMapper`'s training clips, made of frames by detectron2's functions for images."""

    def __init__(self, cfg: CfgNode, clock: PartClock) -> None:
        self.cfg = cfg
        self.clock = clock
        self.augmentation = build_augmentation(cfg, is_train=True)
        self.augmentation.resize = T.ResizeShortestEdge

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        with self.clock.part("record"):
            record = copy.deepcopy(record)
        given = self.cfg.INPUT
        arguments = given.SAMPLING_FRAME_NUM, given.SAMPLING_FRAME_RANGE, given.SAMPLING_FRAME_SHUFFLE
        frames = sample_frames(record["length"], *arguments)
        tracks = [
            track
            for track in record["annotations"]
            if not track["iscrowd"] and any(track["segmentations"][frame] for frame in frames)
        ]
        augmentations = self.augmentation.for_clip()
        sample: dict[str, Any] = {"image": [], "instances": []}
        for frame in frames:
            with self.clock.part("JPEG decode"):
                image = read_image(record["file_names"][frame], given.FORMAT)
            with self.clock.part("augmentation"):
                augmented = T.AugInput(image)
                transforms = augmentations(augmented)
            with self.clock.part("masks"):
                annotations = [as_annotation(track, frame, image.shape[:2]) for track in tracks]
                sample["instances"].append(self._instances(annotations, transforms, augmented.image.shape[:2]))
            sample["image"].append(torch.as_tensor(np.ascontiguousarray(augmented.image.transpose(2, 0, 1))))
        return sample

    def _instances(self, annotations: list[dict], transforms: T.TransformList, size: tuple[int, int]) -> Instances:
        annotations = [transform_instance_annotations(annotation, transforms, size) for annotation in annotations]
        instances = annotations_to_instances(annotations, size, mask_format="bitmask")
        instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
        present = instances.gt_boxes.nonempty()
        instances.gt_classes[~present] = self.cfg.MODEL.IFC.NUM_CLASSES
        instances.gt_ids = torch.where(present, torch.arange(len(instances)), -1)
        return instances


def as_annotation(track: dict[str, Any], frame: int, size: tuple[int, int]) -> dict[str, Any]:
    """A track on one frame as an annotation of an image, in detectron2's form."""
    segmentation = track["segmentations"][frame]
    if not segmentation:
        segmentation = mask_util.frPyObjects({"size": list(size), "counts": [size[0] * size[1]]}, *size)
    annotation = {"category_id": track["category_id"], "segmentation": segmentation}
    return annotation | {"bbox": track["bboxes"][frame] or [0, 0, 0, 0], "bbox_mode": BoxMode.XYWH_ABS}


def check_same(clip: dict[str, Any], plain: dict[str, Any]) -> None:
    """Both mappers' clips are the same, pixels to a rounding."""
    for image, expected in zip(clip["image"], plain["image"], strict=True):
        if (image.int() - expected.int()).abs().max() > 1:
            raise RuntimeError("the two mappers' images differ by more than a rounding")
    for instances, expected in zip(clip["instances"], plain["instances"], strict=True):
        same = torch.equal(instances.gt_masks.tensor, expected.gt_masks.tensor)
        same &= torch.equal(instances.gt_boxes.tensor, expected.gt_boxes.tensor)
        same &= torch.equal(instances.gt_classes, expected.gt_classes)
        if not same or not torch.equal(instances.gt_ids, expected.gt_ids):
            raise RuntimeError("the two mappers' instances differ")


def measure_speed(cfg: CfgNode, workload: Workload, folder: Path, rounds: int, samples: int) -> dict[str, Any]:
    """Of each mapper: samples a second on one core, how many times faster than the plain one, milliseconds by part."""
    json_file = write_videos(folder, workload, cfg.MODEL.IFC.NUM_CLASSES)
    records = load_ytvis_json(str(json_file), str(folder / "frames"))
    packed, clocks = PackedRecords(records), {name: PartClock() for name in MAPPERS}
    mappers: dict[str, tuple[Callable, Sequence]] = {"mapper": (YTVISDatasetMapper(cfg, is_train=True), packed)}
    if not cfg.INPUT.CROP.ENABLED:
        reduced_cfg = cfg.clone()
        reduced_cfg.defrost()
        reduced_cfg.INPUT.REDUCED_DECODE = True
        mappers["reduced decode"] = YTVISDatasetMapper(reduced_cfg, is_train=True), packed
    mappers["plain mapper"] = PlainMapper(cfg, clocks["plain mapper"]), records
    for seed in range(NUM_VIDEOS):
        check_same(make_clip(*mappers["mapper"], seed), make_clip(*mappers["plain mapper"], seed))
    clocks["plain mapper"].seconds.clear()
    times: dict[str, list[float]] = {name: [] for name in mappers}
    seeds = range(samples)
    for _ in range(rounds):
        for name, (mapper, dataset) in mappers.items():
            times[name].append(measure(mapper, dataset, seeds))
            if name != "plain mapper":
                measure_parts(mapper, dataset, seeds, clocks[name])
    seconds = {name: min(each) for name, each in times.items()}
    results: dict[str, Any] = {
        name: {
            "samples_per_second": 1 / seconds[name],
            "times_faster": seconds["plain mapper"] / seconds[name],
            "parts_ms": as_parts(clocks[name].seconds, rounds * samples, statistics.mean(times[name])),
        }
        for name in mappers
    }
    size = statistics.mean(path.stat().st_size for path in (folder / "frames").iterdir())
    return results | {"frame_kilobytes": size / 1e3}


def make_clip(mapper: Callable, dataset: Sequence, seed: int) -> dict[str, Any]:
    np.random.seed(seed)
    return mapper(dataset[seed % len(dataset)])


def measure(mapper: Callable, dataset: Sequence, seeds: Sequence[int]) -> float:
    """CPU seconds a sample."""
    start = time.process_time()
    for seed in seeds:
        make_clip(mapper, dataset, seed)
    return (time.process_time() - start) / len(seeds)


def measure_parts(mapper: YTVISDatasetMapper, packed: PackedRecords, seeds: Sequence[int], clock: PartClock) -> None:
    """Add the CPU seconds of the mapper's parts to `clock`. They are timed where the mapper calls them."""
    names = {"read_tracks": "record", "read_frame": "JPEG decode", "_augment": "augmentation"}
    names["frame_instances"] = "masks"
    timed = {name: clock.timed(getattr(mapper_module, name), part) for name, part in names.items()}
    with mock.patch.multiple(mapper_module, **timed):
        for seed in seeds:
            np.random.seed(seed)
            with clock.part("record"):
                record = packed[seed % len(packed)]
            mapper(record)


def as_parts(seconds: Counter[str], samples: int, total: float) -> dict[str, float]:
    """Milliseconds a sample of each part; the rest of `total` seconds a sample is the last."""
    parts = {name: 1e3 * seconds[name] / samples for name in ("record", "JPEG decode", "augmentation", "masks")}
    return parts | {"rest": 1e3 * total - sum(parts.values())}


# --------------------------------------------------------------------------------------------------------------------
# Memory
# --------------------------------------------------------------------------------------------------------------------


class AnnotationMapper:
    """What the training mapper does with a record, but for the frames."""

    def __call__(self, record: dict[str, Any]) -> int:
        frames = sample_frames(record["length"], 5, 20)
        return len(read_tracks(record, set(frames))[0])


def memory_of(processes: Sequence[multiprocessing.Process]) -> dict[str, float]:
    """Megabytes that processes hold together: "pss", in which what is shared counts once, and "private"."""
    total = Counter()
    for process in processes:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, value = line.split(":")
            total[name] += int(value.split()[0]) / 1e3
    return {"pss": total["Pss"], "private": total["Private_Clean"] + total["Private_Dirty"]}


def measure_memory(json_file: str, packed: bool, start_method: str, workers: int, queue: Any) -> None:
    """Put what `workers` workers hold before and after they have read all records; for a process of its own."""
    multiprocessing.set_start_method(start_method, force=True)
    ignore_warnings()
    start = time.perf_counter()
    records = load_ytvis_json(json_file, str(Path(json_file).parent))
    dataset = PackedRecords(records) if packed else DatasetFromList(records, copy=False, serialize=False)
    result: dict[str, Any] = {"load_seconds": time.perf_counter() - start}
    if packed:
        result["packed_megabytes"] = dataset.num_bytes() / 1e6
    num_records = len(records)
    del records
    gc.collect()
    loader = build_detection_train_loader(
        dataset, mapper=AnnotationMapper(), total_batch_size=10, aspect_ratio_grouping=False, num_workers=workers
    )
    batches = iter(loader)
    for _ in range(workers):  # one from each
        next(batches)
    processes = multiprocessing.active_children()
    result["before"] = memory_of(processes)
    for _ in range(workers * num_records // 10):  # so many records come from each worker
        next(batches)
    result["after"] = memory_of(processes)
    result["workers"] = len(processes)
    queue.put(result)


def measure_variants(json_file: Path, workers: int) -> dict[str, dict[str, Any]]:
    """Memory of each variant, in a process of its own."""
    results = {}
    context = multiprocessing.get_context("spawn")
    for name, packed, method in (
        ("list of dicts, forked workers", False, "fork"),
        ("packed records, forked workers", True, "fork"),
        ("packed records, spawned workers", True, "spawn"),
    ):
        queue = context.SimpleQueue()
        process = context.Process(target=measure_memory, args=(str(json_file), packed, method, workers, queue))
        process.start()
        while process.is_alive() and queue.empty():
            time.sleep(0.2)
        if queue.empty():
            sys.exit(f"error: the measurement of {name} ended with status {process.exitcode}")
        results[name] = queue.get()
        process.join()
    return results


# --------------------------------------------------------------------------------------------------------------------
# Command line
# --------------------------------------------------------------------------------------------------------------------


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="How fast training clips are made, and how much memory loading takes. Makes its own data.",
        epilog="Example: benchmark_data.py speed --config-file projects/IFC/configs/base_ovis.yaml --json speed.json",
    )
    parser.add_argument("what", nargs="?", choices=("all", "speed", "memory"), default="all", help="default: all")
    parser.add_argument("--config-file", default=str(CONFIG), metavar="FILE", help="default: base_ytvis.yaml")
    parser.add_argument("--rounds", type=int, default=6, help="in which the mappers take turns (default 6)")
    parser.add_argument("--samples", type=int, default=12, help="clips of each mapper in a round (default 12)")
    parser.add_argument("--workers", type=int, default=8, help="worker processes for the memory (default 8)")
    parser.add_argument("--videos", type=int, default=3000, help="videos of the large json (default 3000)")
    parser.add_argument("--instances", type=int, default=8171, help="instances of the large json (default 8171)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers")
    return parser


def ignore_warnings() -> None:
    """pycocotools on NumPy 2 warns at every mask, torch of Pillow's arrays, lists of boxes and too few cores."""
    known = (
        "__array__ implementation doesn't accept a copy",
        "The given NumPy array is not",
        "This DataLoader will create",
    )
    for message in (*known, "Creating a tensor from a list of numpy.ndarrays"):
        warnings.filterwarnings("ignore", message)


def print_speed(name: str, workload: Workload, result: dict[str, Any]) -> None:
    print(
        f"\n{name}: {workload.height}x{workload.width}, {workload.length} frames, {workload.num_instances} instances, "
        f"{result['frame_kilobytes']:.0f} kB a frame"
    )
    mappers = [mapper for mapper in MAPPERS if mapper in result]
    columns = [result[mapper] for mapper in mappers]
    print(f"  {'CPU ms a sample':<18}" + "".join(f"{mapper:>16}" for mapper in mappers))
    for part in columns[0]["parts_ms"]:
        print(f"  {part:<18}" + "".join(f"{column['parts_ms'][part]:>16.1f}" for column in columns))
    for key, label in (("samples_per_second", "samples/s a core"), ("times_faster", "times the plain")):
        print(f"  {label:<18}" + "".join(f"{column[key]:>16.1f}" for column in columns))


def print_memory(name: str, result: dict[str, Any]) -> None:
    before, after = result["before"], result["after"]
    size = f", {result['packed_megabytes']:.0f} MB of records" if "packed_megabytes" in result else ""
    print(f"\n{name}: {result['workers']} workers, loaded in {result['load_seconds']:.1f} s{size}")
    print(f"  {'MB of all workers':<18}{'before':>9}{'after':>9}")
    for key, label in (("pss", "PSS"), ("private", "not shared")):
        print(f"  {label:<18}{before[key]:>9.0f}{after[key]:>9.0f}")


def main() -> None:
    args = get_parser().parse_args()
    if min(args.rounds, args.samples, args.workers, args.videos, args.instances) < 1:
        sys.exit("error: --rounds, --samples, --workers, --videos and --instances: expected at least 1")
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    ignore_warnings()
    numbers: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        if args.what != "memory":
            try:
                cfg = setup_config(args.config_file, ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""])
            except (OSError, ValueError) as error:
                sys.exit(f"error: {error}")
            numbers["speed"] = {}
            for name, workload in WORKLOADS.items():
                place = Path(folder) / name.replace(" ", "_")
                numbers["speed"][name] = measure_speed(cfg, workload, place, args.rounds, args.samples)
                print_speed(name, workload, numbers["speed"][name])
        if args.what != "speed":
            json_file = write_large_json(Path(folder) / "large.json", args.videos, args.instances)
            print(
                f"\n{args.videos} videos, {args.instances} instances: a json of {json_file.stat().st_size / 1e6:.0f} MB"
            )
            numbers["memory"] = measure_variants(json_file, args.workers)
            for name, result in numbers["memory"].items():
                print_memory(name, result)
    if args.json:
        write_json(args.json, numbers, indent=2)


if __name__ == "__main__":
    main()
