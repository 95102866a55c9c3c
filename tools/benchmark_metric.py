#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long the metric takes where the official API hangs, and how much memory.

Example:
    python tools/benchmark_metric.py

Three cases, of made-up objects with wavy outlines, the same on every run:

    crowded     one video of 300 frames at 720 x 1280, one category, 50 objects, 100 results: its IoUs, and those of
                a straightforward evaluation, pair by pair and frame by frame with pycocotools, which must be equal
    long        one video of 10,000 frames at 1080 x 1920, 3 objects, 5 results, more pixels than 32 bits count
    validation  as large as YouTube-VIS 2019's validation split: 302 videos of up to 36 frames at 720 x 1280, 40
                categories, 20,000 results; tools/evaluate.py from files to numbers, in a process of its own

Seconds are of the wall clock; CPU seconds far below them say that other programs had the processor. Needs no torch.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils
from tabulate import tabulate

from ifc.ytvis.ground_truth import Track, read_ground_truth
from ifc.ytvis.metric.result_tracks import read_results
from ifc.ytvis.metric.video_ap import evaluate_tracks, track_ious

# Runs a program and prints its CPU seconds and peak memory. That counts from the size of the process that starts it,
# which is why this small one does.
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print([usage.ru_utime + usage.ru_stime, usage.ru_maxrss])
"""
CASES = ("crowded", "long", "validation")
SIDES = (0.1, 0.4)  # of an object, from and to, as a share of the frame's height
RESULTS_OF_AN_INSTANCE = 6  # a model's instance gives a result for each category that it may be of


def timed(function: Callable[[], Any]) -> tuple[Any, float, float]:
    """What a function returns, and the seconds of the wall clock and of the CPU that it took."""
    start, cpu_start = time.perf_counter(), time.process_time()
    returned = function()
    return returned, time.perf_counter() - start, time.process_time() - cpu_start


# ---------------------------------------------------------------------------------------------------------------------
# Data


@dataclass(frozen=True)
class Outline:
    """An ellipse with a wavy outline, which drifts and turns back at the frame's borders; (y, x) in pixels."""

    center: np.ndarray
    step: np.ndarray  # from one frame to the next
    semi_axes: np.ndarray
    phases: np.ndarray  # of the waves at top and bottom
    waves: np.ndarray  # their numbers

    @classmethod
    def random(cls, rng: np.random.Generator, height: int, width: int) -> "Outline":
        return cls(
            center=rng.uniform(0, 1, size=2) * (height, width),
            step=rng.normal(0, 0.006 * height, size=2),
            semi_axes=rng.uniform(*SIDES, size=2) * height / 2,
            phases=rng.uniform(0, 2 * np.pi, size=2),
            waves=rng.integers(3, 12, size=2),
        )

    def near(self, rng: np.random.Generator, pixels: float) -> "Outline":
        """What a method might make of it: off by some pixels, with waves of its own."""
        return replace(self, center=self.center + rng.normal(0, pixels, 2), phases=rng.uniform(0, 2 * np.pi, size=2))

    def masks(self, frames: Sequence[int], height: int, width: int) -> list[dict[str, Any]]:
        """Compressed RLE on some frames, as json holds it."""
        return [self._mask(frame, height, width) for frame in frames]

    def _mask(self, frame: int, height: int, width: int) -> dict[str, Any]:
        y, x = (_turned_back(p, size) for p, size in zip(self.center + frame * self.step, (height, width), strict=True))
        semi_y, semi_x = self.semi_axes
        columns = np.arange(max(0, int(x - semi_x)), min(width, int(x + semi_x) + 1))
        shares = (columns - x) / semi_x
        halves = semi_y * np.sqrt(np.maximum(1 - shares**2, 0))
        wavy = [
            halves * (1 + 0.1 * np.sin(number * np.pi * shares + phase + 0.1 * frame))
            for number, phase in zip(self.waves, self.phases, strict=True)
        ]
        # The last row stays free, so that no two columns' runs meet, of which RLE would make one.
        top, bottom = (np.clip(np.rint(row), 0, height - 1).astype(np.int64) for row in (y - wavy[0], y + wavy[1]))
        columns, top, bottom = (values[top < bottom] for values in (columns, top, bottom))
        borders = np.stack([columns * height + top, columns * height + bottom], axis=1).ravel()
        counts = np.diff(borders, prepend=0, append=height * width)
        rle = mask_utils.frPyObjects({"size": [height, width], "counts": counts}, height, width)
        return {"size": [height, width], "counts": rle["counts"].decode()}


def _turned_back(position: float, size: int) -> float:
    position %= 2 * size
    return min(position, 2 * size - position)


def one_video(
    length: int, height: int, width: int, num_objects: int, num_results: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ground truth and results of one video and category; all tracks are seen on all frames."""
    rng = np.random.default_rng(0)
    objects = [Outline.random(rng, height, width) for _ in range(num_objects)]
    annotations = [
        {"video_id": 1, "category_id": 1, "segmentations": outline.masks(range(length), height, width)}
        for outline in objects
    ]
    for annotation in annotations:
        annotation["areas"] = _areas(annotation["segmentations"])
    results = [
        {
            "video_id": 1,
            "category_id": 1,
            "score": float(rng.random()),
            "segmentations": objects[index % num_objects].near(rng, 5).masks(range(length), height, width),
        }
        for index in range(num_results)
    ]
    video = {"id": 1, "length": length, "height": height, "width": width}
    return {"videos": [video], "categories": [{"id": 1, "name": "any"}], "annotations": annotations}, results


def _areas(masks: list[dict[str, Any]]) -> list[int]:
    """Pixels of each mask. (pycocotools on NumPy 2 takes 255 masks at most in one call.)"""
    return [int(mask_utils.area(mask)) for mask in masks]


def write_validation_split(
    folder: Path, num_videos: int = 302, num_results: int = 20_000, num_categories: int = 40
) -> tuple[Path, Path]:
    """Write gt.json and results.json in the form of YouTube-VIS 2019's validation split."""
    rng = np.random.default_rng(0)
    height, width = 720, 1280
    videos, annotations, results = [], [], []
    for video_id in range(1, num_videos + 1):
        length = int(rng.integers(20, 37))
        videos.append({"id": video_id, "length": length, "height": height, "width": width})
        objects = [Outline.random(rng, height, width) for _ in range(rng.integers(1, 7))]
        for outline in objects:
            masks = outline.masks(range(length), height, width)
            areas = _areas(masks)
            category_id = int(rng.integers(1, num_categories + 1))
            track = {"video_id": video_id, "category_id": category_id, "segmentations": masks, "areas": areas}
            annotations.append(track | {"id": len(annotations) + 1, "iscrowd": 0})
        target = num_results * video_id // num_videos
        while len(results) < target:
            masks = objects[rng.integers(len(objects))].near(rng, 8).masks(range(length), height, width)
            for category_id in rng.choice(num_categories, RESULTS_OF_AN_INSTANCE, replace=False)[
                : target - len(results)
            ]:
                track = {"video_id": video_id, "category_id": int(category_id) + 1, "segmentations": masks}
                results.append(track | {"score": float(rng.random())})
    categories = [{"id": id_, "name": f"category {id_}"} for id_ in range(1, num_categories + 1)]
    content = {"videos": videos, "categories": categories, "annotations": annotations}
    paths = folder / "gt.json", folder / "results.json"
    for path, data in zip(paths, (content, results), strict=True):
        with open(path, "w") as file:
            json.dump(data, file)
    return paths


# ---------------------------------------------------------------------------------------------------------------------
# Cases


def ious_pair_by_pair(results: Sequence[Track], annotated: Sequence[Track]) -> np.ndarray:
    """IoUs (D, G) of tracks as the official API computes them: of each pair, on each frame, by merging two masks."""
    ious = np.zeros((len(results), len(annotated)))
    for d, g in np.ndindex(ious.shape):
        intersection = union = 0
        for found, mask in zip(results[d].masks, annotated[g].masks, strict=True):
            if found is not None and mask is not None:
                intersection += int(mask_utils.area(mask_utils.merge([found, mask], intersect=True)))
                union += int(mask_utils.area(mask_utils.merge([found, mask], intersect=False)))
            elif found is not None or mask is not None:
                union += int(mask_utils.area(found or mask))
        ious[d, g] = intersection / union if union else 0.0
    return ious


def crowded(length: int = 300) -> list[list[str]]:
    ground_truth, results = one_video(length, 720, 1280, num_objects=50, num_results=100)
    (annotated,) = read_ground_truth(ground_truth).by_category().values()
    (found,) = read_results(results, read_ground_truth(ground_truth)).values()
    found = sorted(found, key=lambda track: -track.score)
    fast, wall, cpu = timed(lambda: track_ious(found, annotated))
    slow, slow_wall, slow_cpu = timed(lambda: ious_pair_by_pair(found, annotated))
    _, all_wall, all_cpu = timed(lambda: evaluate_tracks(ground_truth, results))
    if not (fast == slow).all():
        raise AssertionError(f"the IoUs differ by up to {np.abs(fast - slow).max()}")
    return [
        ["crowded: IoUs", *_seconds(wall, cpu), f"{slow_wall / wall:.0f} times as fast as pair by pair"],
        ["crowded: IoUs, pair by pair", *_seconds(slow_wall, slow_cpu), "equal"],
        ["crowded: all, with reading and checking", *_seconds(all_wall, all_cpu), ""],
    ]


def long(length: int = 10_000) -> list[list[str]]:
    height, width = 1080, 1920
    ground_truth, results = one_video(length, height, width, num_objects=3, num_results=5)
    full = mask_utils.frPyObjects({"size": [height, width], "counts": [0, height * width]}, height, width)
    full = {"size": [height, width], "counts": full["counts"].decode()}
    for tracks in (ground_truth["annotations"], results):
        tracks[0]["segmentations"] = [full] * length
    ground_truth["annotations"][0]["areas"] = [height * width] * length
    results[0]["segmentations"] = [*results[0]["segmentations"][:-1], None]
    read = read_ground_truth(ground_truth)
    (found,) = read_results(results, read).values()
    iou = track_ious(found[:1], read.tracks[1][:1])[0, 0]
    if iou != (length - 1) / length:
        raise AssertionError(f"found IoU {iou!r}, expected {(length - 1) / length!r}")
    _, wall, cpu = timed(lambda: evaluate_tracks(ground_truth, results))
    return [["long: all", *_seconds(wall, cpu), f"exact at {length * height * width:.3g} pixels"]]


def validation(num_videos: int = 302, num_results: int = 20_000) -> list[list[str]]:
    program = Path(__file__).with_name("evaluate.py")
    with tempfile.TemporaryDirectory() as folder:
        gt, results = write_validation_split(Path(folder), num_videos, num_results)
        size = results.stat().st_size / 2**20
        command = [sys.executable, str(program), "--gt", str(gt), "--results", str(results)]
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", MEASURE, *command], check=True, stdout=subprocess.PIPE, text=True)
        wall = time.perf_counter() - start
    cpu, peak = json.loads(done.stdout)
    remark = f"{num_videos} videos, {num_results} results in {size:.0f} MiB; peak {peak / 2**20:.2f} GiB"
    return [["validation: files to numbers", *_seconds(wall, cpu), remark]]


def _seconds(*values: float) -> list[str]:
    return [f"{value:.2f}" for value in values]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="How long the metric takes where the official API hangs.")
    parser.add_argument("--case", choices=CASES, nargs="+", default=CASES, help="what to run (default: all)")
    args = parser.parse_args(arguments)
    rows = [row for case in args.case for row in {"crowded": crowded, "long": long, "validation": validation}[case]()]
    print(tabulate(rows, headers=["", "seconds", "CPU seconds", ""], tablefmt="pipe", disable_numparse=True))


if __name__ == "__main__":
    main()
