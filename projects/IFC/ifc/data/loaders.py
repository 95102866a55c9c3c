# SPDX-License-Identifier: Apache-2.0
"""Train and test loaders: detectron2's own, after checks that find faulty data and settings before any work."""

import itertools
import json
import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import (
    DatasetCatalog,
    Metadata,
    MetadataCatalog,
    build_detection_test_loader,
)
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from torch.utils.data import DataLoader, Subset

from ..ytvis.images import check_image
from ..ytvis.masks import require_masks
from .catalog import register_video_json
from .coco_checks import check_image_sizes
from .dataset_dicts import load_ground_truth
from .image_mapper import CocoClipDatasetMapper, MixedDatasetMapper
from .mapper import YTVISDatasetMapper
from .records import PackedRecords, pack_once
from .shares import balanced_shares
from .stream import ClipStream, RecordOrder, StreamBatches

logger = logging.getLogger(__name__)

Record = dict[str, Any]
Mapper = Callable[[Record], dict[str, Any]]

CHECKING_THREADS = 8
# By which a scheduler warns a run that it has to end. (Windows knows the first alone.)
STOP_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]


def build_train_loader(cfg: CfgNode, mapper: Mapper | None = None) -> DataLoader:
    """The endless loader of training clips over all of `DATASETS.TRAIN`, videos and images in any mixture.

    Its data set, a `ClipStream`, has the seed, and its batch sampler the batch to begin with.

    Args:
        cfg: DATASETS.TRAIN and TRAIN_RATIO, DATALOADER, INPUT, SOLVER.IMS_PER_BATCH, MODEL.IFC.NUM_CLASSES and SEED
            are used.
        mapper: dataset dict -> clip. By default `YTVISDatasetMapper` for videos, `CocoClipDatasetMapper` for images.
            One with an attribute `sources` gets the dicts of all images there.

    Returns:
        A loader whose batches are lists of IMS_PER_BATCH / (number of processes) clips, of which INPUT.CLIPS_PER_VIDEO
        in a row are of one video or image.

    Raises:
        FileNotFoundError: a json or image root is missing.
        ValueError: data, frames or settings that do not fit; the message says which.
    """
    names, world_size = list(cfg.DATASETS.TRAIN), comm.get_world_size()
    if not names:
        raise ValueError("DATASETS.TRAIN is empty, expected names of data sets")
    clips_per_video = cfg.INPUT.CLIPS_PER_VIDEO
    if cfg.SOLVER.IMS_PER_BATCH % (world_size * clips_per_video) != 0:
        expected = f"a multiple of the number of processes, {world_size}"
        if clips_per_video > 1:
            expected += f", times INPUT.CLIPS_PER_VIDEO, {clips_per_video}"
        raise ValueError(f"SOLVER.IMS_PER_BATCH: found {cfg.SOLVER.IMS_PER_BATCH}, expected {expected}")
    if cfg.MODEL.IFC.APPEARANCE.DIM and clips_per_video == 1:
        expected = "2 or more to train an appearance head (MODEL.IFC.APPEARANCE.DIM), which compares clips of a video"
        raise ValueError(f"INPUT.CLIPS_PER_VIDEO: found 1, expected {expected}")
    register_video_json(cfg.DATASETS.VIDEO_JSON)
    if mapper is None:
        kinds = {is_video_dataset(name) for name in names}
        mapper = _mapper_of(cfg, kinds.pop(), is_train=True) if len(kinds) == 1 else MixedDatasetMapper(cfg)
    by_dataset = [load_records(name, cfg.MODEL.IFC.NUM_CLASSES, is_train=True) for name in names]
    _check_same_classes(names, list(cfg.DATASETS.TEST))
    if cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
        by_dataset = [_without_empty(records, name) for records, name in zip(by_dataset, names, strict=True)]
    records = list(itertools.chain.from_iterable(by_dataset))
    _log_class_counts(records, names[0])
    check_frames(records[comm.get_rank() :: world_size])
    packed = pack_once(records)
    if hasattr(mapper, "sources"):
        mapper.sources = Subset(packed, np.flatnonzero(["file_names" not in record for record in records]))
    order = RecordOrder([len(records) for records in by_dataset], cfg.DATASETS.TRAIN_RATIO)
    seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
    return DataLoader(
        ClipStream(packed, order, mapper, seed, clips_per_video),
        batch_sampler=StreamBatches(cfg.SOLVER.IMS_PER_BATCH),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=list,
        worker_init_fn=_leave_signals_to_the_run,
    )


def _leave_signals_to_the_run(_: int) -> None:
    """A scheduler warns all processes of a job, but it is for the one that trains to end in order, and its workers."""
    for warning in STOP_SIGNALS[1:]:
        signal.signal(warning, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=_end_if_the_run_says_so, daemon=True).start()


def _end_if_the_run_says_so() -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != os.getppid():
        pass
    os._exit(0)


def build_test_loader(cfg: CfgNode, dataset_name: str, mapper: Mapper | None = None) -> DataLoader:
    """The loader of one data set's videos or images, one at a time; all processes have about as many pixels to look at.

    Arguments and errors are those of `build_train_loader`, for the one data set. The dicts have no annotations.
    """
    register_video_json(cfg.DATASETS.VIDEO_JSON)
    if mapper is None:
        mapper = _mapper_of(cfg, is_video_dataset(dataset_name), is_train=False)
    records = load_records(dataset_name, cfg.MODEL.IFC.NUM_CLASSES, is_train=False)
    check_frames(records[comm.get_rank() :: comm.get_world_size()])
    bare = PackedRecords([{key: record[key] for key in record.keys() - {"annotations"}} for record in records])
    costs = [len(record.get("file_names", [""])) * record["height"] * record["width"] for record in records]
    share = balanced_shares(costs, comm.get_world_size())[comm.get_rank()]
    return build_detection_test_loader(bare, mapper=mapper, sampler=share, num_workers=cfg.DATALOADER.NUM_WORKERS)


def is_video_dataset(name: str) -> bool:
    """Whether the registered data set `name` holds videos in YTVIS's form; otherwise it holds images in COCO's."""
    if name not in DatasetCatalog:
        raise ValueError(f"data set '{name}' is not registered, expected one of: {', '.join(sorted(DatasetCatalog))}")
    return MetadataCatalog.get(name).get("evaluator_type") == "ytvis"


def class_names(name: str) -> list[str] | None:
    """The classes of the registered data set `name`, read from its json if need be; None if it lists none."""
    if is_video_dataset(name) and MetadataCatalog.get(name).get("thing_classes") is None:
        load_ground_truth(name)
    return MetadataCatalog.get(name).get("thing_classes")


def _mapper_of(cfg: CfgNode, is_video: bool, is_train: bool) -> Mapper:
    return YTVISDatasetMapper(cfg, is_train) if is_video else CocoClipDatasetMapper(cfg, is_train)


def load_records(name: str, num_classes: int, is_train: bool) -> list[Record]:
    """The dataset dicts of `name`, checked: not empty, `num_classes` classes, and in training annotated with masks."""
    records = DatasetCatalog.get(name) if is_video_dataset(name) else _load_images(name)
    metadata = MetadataCatalog.get(name)
    place = _json_of(metadata) or f"data set '{name}'"
    if not records:
        raise ValueError(f"{place}: found no videos or images, expected at least one (data set '{name}' is empty)")
    classes = metadata.get("thing_classes")
    if classes is not None and len(classes) != num_classes:
        raise ValueError(
            f"MODEL.IFC.NUM_CLASSES: found {num_classes}, expected {len(classes)}, the classes of data set '{name}'"
        )
    if is_train:
        labels = {annotation["category_id"] for record in records for annotation in _instances_of(record)}
        if not labels:
            raise ValueError(f"{place}: found no annotated instances, expected some to train on")
        if max(labels) >= num_classes:
            raise ValueError(f"MODEL.IFC.NUM_CLASSES: found {num_classes}, but {place} has class {max(labels)}")
    if not is_video_dataset(name):
        check_image_sizes(records)
        if is_train:
            _check_image_masks(records)
    return records


def _load_images(name: str) -> list[Record]:
    """Dataset dicts in COCO's form, with detectron2's errors made to name the file."""
    metadata = MetadataCatalog.get(name)
    json_file, image_root = _json_of(metadata), metadata.get("image_root")
    if json_file is not None and not PathManager.isfile(json_file):
        raise FileNotFoundError(f"{json_file}: annotation file of data set '{name}' does not exist")
    if image_root is not None and not PathManager.isdir(image_root):
        raise FileNotFoundError(f"{image_root}: image folder of data set '{name}' does not exist")
    try:
        return DatasetCatalog.get(name)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno} (character {error.pos})"
        raise ValueError(f"{json_file}: not valid json, or cut off, at {place}: {error.msg}") from error
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        message = error.args[0] if error.args else error
        raise ValueError(f"{json_file}: data set '{name}' cannot be read: {type(error).__name__}: {message}") from error


def _json_of(metadata: Metadata) -> str | None:
    return metadata.get("source_json") or metadata.get("json_file")


def _instances_of(record: Record) -> list[dict[str, Any]]:
    """The record's annotations that are trained on: not crowds, and in a video present on some frame."""
    return [
        annotation
        for annotation in record.get("annotations") or []
        if not annotation.get("iscrowd", 0) and ("segmentations" not in annotation or any(annotation["segmentations"]))
    ]


def _check_image_masks(records: Iterable[Record]) -> None:
    for record in records:
        segmentations = [annotation.get("segmentation") for annotation in _instances_of(record)]
        if not all(segmentations):
            raise ValueError(f"{record['file_name']}: found an annotation without segmentation, expected a mask")
        size = (record["height"], record["width"])
        require_masks(segmentations, size, f"{record['file_name']}: segmentation", fill=False)


def _check_same_classes(train_names: Sequence[str], test_names: Sequence[str]) -> None:
    """Check the class lists that are known by now: all of the training's, and of the others unless a json is unread."""
    first = MetadataCatalog.get(train_names[0]).get("thing_classes")
    for key, names in (("DATASETS.TRAIN", train_names[1:]), ("DATASETS.TEST", test_names)):
        for name in names:
            classes = MetadataCatalog.get(name).get("thing_classes")
            if classes != first and (key == "DATASETS.TRAIN" or classes is not None):
                expected = f"those of '{train_names[0]}', which is trained on, {first}"
                raise ValueError(f"{key}: classes of '{name}' are {classes}, expected {expected}")


def _without_empty(records: list[Record], name: str) -> list[Record]:
    kept = [record for record in records if _instances_of(record)]
    left_out = f"{len(records) - len(kept)} of {len(records)} videos or images"
    logger.info(f"Left out {left_out} of data set '{name}', which have no instances")
    return kept


def _log_class_counts(records: Iterable[Record], name: str) -> None:
    """Log how many instances there are of each class."""
    counts = Counter(annotation["category_id"] for record in records for annotation in _instances_of(record))
    classes = MetadataCatalog.get(name).get("thing_classes") or range(max(counts, default=-1) + 1)
    listed = ", ".join(f"{label} {counts[index]}" for index, label in enumerate(classes))
    logger.info(f"{sum(counts.values())} instances to train on: {listed}")


def check_frames(records: Sequence[Record]) -> None:
    """Check that all frames exist, have the size that their json says, and are not cut off, without decoding them.

    Only the headers and the last bytes of the files are read: 0.1 ms a file where the disk is no limit.

    Raises:
        BadImageError: a file that is missing, no image, truncated or of another size; the first one in order.
    """
    start = time.perf_counter()
    chunks = [records[first : first + 32] for first in range(0, len(records), 32)]
    with ThreadPoolExecutor(CHECKING_THREADS) as pool:
        num_files = sum(pool.map(_check_files, chunks))
    logger.info(f"Checked {num_files} image files in {time.perf_counter() - start:.1f} s")


def _check_files(records: Iterable[Record]) -> int:
    """Check the files of some records; returns their number."""
    num_files = 0
    for record in records:
        for file_name in record.get("file_names") or [record["file_name"]]:
            check_image(PathManager.get_local_path(file_name), (record["height"], record["width"]))
            num_files += 1
    return num_files
