# SPDX-License-Identifier: Apache-2.0
"""The known data sets. Importing this module registers them under $DETECTRON2_DATASETS (default: "datasets")."""

import os
from collections.abc import Sequence
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances

from ..ytvis.datasets import dev_splits, shapes
from ..ytvis.drawing import palette_color
from .dataset_dicts import register_ytvis_instances
from .joint_coco import COCO_TO_VIDEO_CLASSES, register_joint_coco

# Category ids are 1, 2, ..., in this order.
YTVIS_2019_CLASSES = (
    "person", "giant_panda", "lizard", "parrot", "skateboard", "sedan", "ape", "dog", "snake", "monkey", "hand",
    "rabbit", "duck", "cat", "cow", "fish", "train", "horse", "turtle", "bear", "motorbike", "giraffe", "leopard",
    "fox", "deer", "owl", "surfboard", "airplane", "truck", "zebra", "tiger", "elephant", "snowboard", "boat",
    "shark", "mouse", "frog", "eagle", "earless_seal", "tennis_racket",
)  # fmt: skip
YTVIS_2021_CLASSES = (
    "airplane", "bear", "bird", "boat", "car", "cat", "cow", "deer", "dog", "duck", "earless_seal", "elephant",
    "fish", "flying_disc", "fox", "frog", "giant_panda", "giraffe", "horse", "leopard", "lizard", "monkey",
    "motorbike", "mouse", "parrot", "person", "rabbit", "shark", "skateboard", "snake", "snowboard", "squirrel",
    "surfboard", "tennis_racket", "tiger", "train", "truck", "turtle", "whale", "zebra",
)  # fmt: skip

OVIS_CLASSES = (
    "Person", "Bird", "Cat", "Dog", "Horse", "Sheep", "Cow", "Elephant", "Bear", "Zebra", "Giraffe", "Poultry",
    "Giant_panda", "Lizard", "Parrot", "Monkey", "Rabbit", "Tiger", "Fish", "Turtle", "Bicycle", "Motorcycle",
    "Airplane", "Boat", "Vehicle",
)  # fmt: skip

# split -> (json, image root), relative to the data set's folder
YTVIS_SPLITS = {
    "train": ("train.json", "train/JPEGImages"),
    "val": ("valid.json", "valid/JPEGImages"),
    "test": ("test.json", "test/JPEGImages"),
}
DEV_SPLIT = {"dev": ("instances_train_sub.json", "train/JPEGImages")}
LONG_SPLIT = {"val_long": ("valid_long.json", "valid/JPEGImages")}
OVIS_SPLITS = {
    "train": ("annotations_train.json", "train"),
    "val": ("annotations_valid.json", "valid"),
    "test": ("annotations_test.json", "test"),
}


def _with_named_split(splits: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """The splits with both parts of the data set's named split, whose frames are those of training."""
    parts = {"ifc_dev": "val", "ifc_dev_train": "train"}
    return splits | {name: (f"{dev_splits.FOLDER}/{part}.json", splits["train"][1]) for name, part in parts.items()}


# folder -> (classes of the category ids 1, 2, ..., splits)
VIDEO_DATASETS = {
    "ytvis_2019": (YTVIS_2019_CLASSES, _with_named_split(YTVIS_SPLITS | DEV_SPLIT)),
    "ytvis_2021": (YTVIS_2021_CLASSES, _with_named_split(YTVIS_SPLITS | DEV_SPLIT)),
    "ytvis_2022": (YTVIS_2021_CLASSES, _with_named_split(YTVIS_SPLITS | LONG_SPLIT)),
    "ovis": (OVIS_CLASSES, _with_named_split(OVIS_SPLITS)),
}


def category_metadata(categories: dict[int, str]) -> dict[str, Any]:
    """Metadata of a data set from its categories, id -> name, ids not necessarily contiguous."""
    ids = sorted(categories)
    return {
        "thing_classes": [categories[category_id] for category_id in ids],
        "thing_dataset_id_to_contiguous_id": {category_id: index for index, category_id in enumerate(ids)},
        "thing_colors": [palette_color(index) for index in range(len(ids))],
    }


def register_all_videos(root: str) -> None:
    """Register `VIDEO_DATASETS` under `root`, as {folder}_{split}."""
    for folder, (classes, splits) in VIDEO_DATASETS.items():
        metadata = category_metadata(dict(enumerate(classes, start=1)))
        for split, (json_file, image_root) in splits.items():
            paths = os.path.join(root, folder, json_file), os.path.join(root, folder, image_root)
            _register_once(register_ytvis_instances, f"{folder}_{split}", metadata, *paths)


def register_all_joint_coco(root: str) -> None:
    """Register COCO's images under `root` with the classes of YTVIS 2019, YTVIS 2021 and OVIS."""
    for target, table in COCO_TO_VIDEO_CLASSES.items():
        classes, _ = VIDEO_DATASETS[target]
        metadata = category_metadata(dict(enumerate(classes, start=1)))
        for split in ("train", "val"):
            name = f"coco2{target.replace('_', '')}_{split}"
            json_file = os.path.join(root, "coco", "annotations", f"instances_{split}2017.json")
            image_root = os.path.join(root, "coco", f"{split}2017")
            _register_once(register_joint_coco, name, metadata, json_file, image_root, table)


def register_all_shapes(root: str) -> None:
    """Register the synthetic data set (see `shapes`) under `root`: as videos, and as images in COCO's format."""
    metadata = category_metadata(shapes.CATEGORIES)
    folder = os.path.join(root, "shapes")
    for split in ("train", "val"):
        image_root = os.path.join(folder, split, "JPEGImages")
        json_file = os.path.join(folder, f"{split}.json")
        _register_once(register_ytvis_instances, f"shapes_{split}", metadata, json_file, image_root)
        json_file = os.path.join(folder, f"coco_{split}.json")
        _register_once(register_coco_instances, f"shapes_coco_{split}", metadata, json_file, image_root)


def register_video_json(entries: Sequence[Any]) -> None:
    """Register `cfg.DATASETS.VIDEO_JSON`, data sets of one's own, in this process, as often as it is called.

    Args:
        entries: [name, json file, folder of the frames] of each data set.

    Raises:
        ValueError: an entry that is none, or a name that stands for other files already.
    """
    for index, entry in enumerate(entries):
        place = f"DATASETS.VIDEO_JSON[{index}]: found {entry!r}"
        is_entry = isinstance(entry, list | tuple) and len(entry) == 3
        if not is_entry or not all(isinstance(word, str) and word for word in entry):
            raise ValueError(f"{place}, expected [name, json file, folder of the frames]")
        name, *paths = entry
        _register_once(register_ytvis_instances, name, {}, *paths)
        metadata = MetadataCatalog.get(name)
        registered = [metadata.get("json_file"), metadata.get("image_root")]
        if registered != paths:
            raise ValueError(f"{place}, but '{name}' is registered with {registered}; choose another name")


def _register_once(register: Any, name: str, *arguments: Any) -> None:
    """Register `name` unless it is: this folder can be imported twice, as `ifc` and as `detectron2.projects.ifc`."""
    if name not in DatasetCatalog:
        register(name, *arguments)


ROOT = os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))
register_all_videos(ROOT)
register_all_joint_coco(ROOT)
register_all_shapes(ROOT)
