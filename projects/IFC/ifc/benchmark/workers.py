# SPDX-License-Identifier: Apache-2.0
"""Memory of a loader's worker processes, for records as a list of dicts and packed."""

import multiprocessing
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.data import DatasetFromList, build_detection_train_loader

from ..data import load_ytvis_json
from ..data.mapper import read_tracks, sample_frames
from ..data.records import PackedRecords
from .measuring import Column


class AnnotationMapper:
    """What the training mapper does with a record, but for the frames."""

    def __call__(self, record: dict[str, Any]) -> int:
        frames = sample_frames(record["length"], 5, 20)
        return len(read_tracks(record, set(frames))[0])


def worker_memory(json_file: str, packed: bool, start_method: str, workers: int) -> Column:
    """What `workers` workers hold together before and after each has read as many records as there are; changes the
    process's start method, and is meant for a process of its own.

    Args:
        json_file: annotations; the frames are not needed.
        packed: records as training uses them, or a list of dicts as json gives it.
        start_method: "fork" or "spawn"; spawned workers have a Python of their own each.
    """
    multiprocessing.set_start_method(start_method, force=True)
    warnings.filterwarnings("ignore", "This DataLoader will create")
    start = time.perf_counter()
    records = load_ytvis_json(json_file, str(Path(json_file).parent))
    dataset = PackedRecords(records) if packed else DatasetFromList(records, copy=False, serialize=False)
    column: Column = {"loading, s": time.perf_counter() - start}
    if packed:
        column["packed records, MB"] = dataset.num_bytes() / 1e6
    rounds = workers * len(records) // 10
    del records
    batches = iter(
        build_detection_train_loader(
            dataset, mapper=AnnotationMapper(), total_batch_size=10, aspect_ratio_grouping=False, num_workers=workers
        )
    )
    for moment, num_batches in (("before", workers), ("after", rounds)):  # at first one from each
        for _ in range(num_batches):
            next(batches)
        column |= {f"{name}, MB {moment}": size for name, size in memory_of(multiprocessing.active_children()).items()}
    return column


def memory_of(processes: Sequence[multiprocessing.Process]) -> Column:
    """Megabytes that processes hold together: the proportional set size, in which what they share counts once, and the
    part of it that they do not share. Linux only."""
    total: Counter[str] = Counter()
    for process in processes:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, value = line.split(":")
            total[name] += int(value.split()[0]) * 1024
    return {"PSS": total["Pss"] / 1e6, "not shared": (total["Private_Clean"] + total["Private_Dirty"]) / 1e6}
