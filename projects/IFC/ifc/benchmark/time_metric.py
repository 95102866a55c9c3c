# SPDX-License-Identifier: Apache-2.0
"""The metric where the official API takes hours: its time, its memory, and that it is exact. Needs no torch."""

import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from ..monitoring.memory import MIB, host_memory
from ..ytvis.files import write_json
from ..ytvis.ground_truth import MaskTrack, read_ground_truth
from ..ytvis.metric.result_tracks import read_results
from ..ytvis.metric.video_ap import evaluate_tracks, track_ious
from .measuring import Column, Report, in_own_process, timed
from .shapes_data import INSTANCES, Content, render_content, stretched

Size = tuple[int, int]
SIZE = (720, 1280)
RESULTS_OF_AN_INSTANCE = 6  # a model's instance gives a result for each category that it may be of


def run(args: Namespace) -> Report:
    """
    crowded: a video of 300 frames at 720 x 1280, one category, 50 objects, 100 results, their IoUs against those of a
        straightforward evaluation, which must be equal.
    long: a video of 10,000 frames at 1080 x 1920, 3 objects, 5 results, more pixels than 32 bits count.
    validation: as large as YouTube-VIS 2019's, 302 videos, 40 categories, 20,000 results, from files to numbers.

    Raises:
        RuntimeError: if the metric's numbers are not exact.
    """
    cases = {"crowded": crowded, "long": long, "validation": validation}
    return {case: cases[case]() for case in args.case}


def crowded(num_frames: int = 300, num_objects: int = 50, num_results: int = 100, size: Size = SIZE) -> Column:
    """Equality with the plain evaluation, and the time of both."""
    ground_truth = objects(1, num_objects, num_frames, size, num_categories=1)
    results = near_results(ground_truth, num_results, num_categories=1)
    (annotated,) = read_ground_truth(ground_truth).by_category().values()
    (found,) = read_results(results, read_ground_truth(ground_truth)).values()
    fast, wall, cpu = timed(lambda: track_ious(found, annotated))
    slow, slow_wall, slow_cpu = timed(lambda: ious_pair_by_pair(found, annotated))
    if not (fast == slow).all():
        raise RuntimeError(f"the IoUs differ by up to {np.abs(fast - slow).max()}")
    return {
        "IoUs, s": wall,
        "IoUs, processor s": cpu,
        "pair by pair, s": slow_wall,
        "pair by pair, processor s": slow_cpu,
        "times faster": slow_wall / wall,
        **evaluation(ground_truth, results),
    }


def long(num_frames: int = 10_000) -> Column:
    """One object fills all frames, and a result all but one."""
    size = height, width = 1080, 1920
    ground_truth = objects(1, 3, num_frames, size, num_categories=1)
    results = near_results(ground_truth, 5, num_categories=1)
    full = mask_utils.frPyObjects({"size": [height, width], "counts": [0, height * width]}, height, width)
    full = {"size": [height, width], "counts": full["counts"].decode()}
    ground_truth["annotations"][0] |= {"segmentations": [full] * num_frames, "areas": [height * width] * num_frames}
    results[0]["segmentations"] = [*[full] * (num_frames - 1), None]
    read = read_ground_truth(ground_truth)
    (found,) = read_results(results, read).values()
    iou, expected = track_ious(found[:1], read.tracks[1][:1])[0, 0], (num_frames - 1) / num_frames
    if iou != expected:
        raise RuntimeError(f"found IoU {iou!r}, expected {expected!r}")
    return {"exact at pixels": num_frames * height * width, **evaluation(ground_truth, results)}


def validation(num_videos: int = 302, num_results: int = 20_000, num_categories: int = 40, size: Size = SIZE) -> Column:
    """From files to numbers, in a process of its own."""
    ground_truth = objects(num_videos, 7 * num_videos // 2, 28, size, num_categories)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("gt.json", "results.json")]
        write_json(paths[0], ground_truth)
        write_json(paths[1], near_results(ground_truth, num_results, num_categories))
        column = {"results, MiB": paths[1].stat().st_size / MIB}
        return column | in_own_process(evaluation, *paths)


def evaluation(ground_truth: Any, results: Any) -> Column:
    """What an evaluation takes, with reading and checking, and the process's peak of memory."""
    _, wall, cpu = timed(lambda: evaluate_tracks(ground_truth, results))
    return {"all, s": wall, "all, processor s": cpu, "memory, peak MiB": host_memory()[1] / MIB}


def objects(num_videos: int, num_tracks: int, length: int, size: Size, num_categories: int) -> Content:
    """Ground truth of moving shapes, up to 50 different ones."""
    with tempfile.TemporaryDirectory() as folder:
        content = render_content(Path(folder), -(-min(num_tracks, 50) // INSTANCES), size)
    return stretched(content, num_videos, num_tracks, length, num_categories)


def near_results(ground_truth: Content, num_results: int, num_categories: int) -> list[dict[str, Any]]:
    """What a method might make of the objects: tracks that are some frames late, of several categories each."""
    rng = np.random.default_rng(0)
    results = []
    for number in range(num_results):
        instance, turn = divmod(number, min(RESULTS_OF_AN_INSTANCE, num_categories))
        late, index = divmod(instance, len(ground_truth["annotations"]))
        track = ground_truth["annotations"][index]
        masks = track["segmentations"][late + 1 :] + track["segmentations"][: late + 1]
        category_id = (track["category_id"] - 1 + turn) % num_categories + 1
        ids = {"video_id": track["video_id"], "category_id": category_id}
        results.append({**ids, "score": float(rng.random()), "segmentations": masks})
    return results


def ious_pair_by_pair(results: Sequence[MaskTrack], annotated: Sequence[MaskTrack]) -> np.ndarray:
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
