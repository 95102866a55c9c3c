# SPDX-License-Identifier: Apache-2.0
"""The known data sets. Importing this module registers them under $DETECTRON2_DATASETS (default: "datasets")."""

import os
from typing import Any

from detectron2.data import DatasetCatalog
from detectron2.data.datasets import register_coco_instances

from . import shapes
from .ytvis import class_colors, register_ytvis_instances

# Category ids are 1, 2, ..., 40, in this order.
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

# split -> (json, image root), relative to the data set's folder
YTVIS_SPLITS = {
    "train": ("train.json", "train/JPEGImages"),
    "val": ("valid.json", "valid/JPEGImages"),
    "test": ("test.json", "test/JPEGImages"),
    "dev": ("instances_train_sub.json", "train/JPEGImages"),
}


def category_metadata(categories: dict[int, str]) -> dict[str, Any]:
    """Metadata of a data set from its categories, id -> name, ids not necessarily contiguous."""
    ids = sorted(categories)
    return {
        "thing_classes": [categories[category_id] for category_id in ids],
        "thing_dataset_id_to_contiguous_id": {category_id: index for index, category_id in enumerate(ids)},
        "thing_colors": class_colors(len(ids)),
    }


def register_all_ytvis(root: str) -> None:
    """Register YTVIS 2019 and 2021 under `root`."""
    for folder, classes in (("ytvis_2019", YTVIS_2019_CLASSES), ("ytvis_2021", YTVIS_2021_CLASSES)):
        metadata = category_metadata(dict(enumerate(classes, start=1)))
        for split, (json_file, image_root) in YTVIS_SPLITS.items():
            paths = os.path.join(root, folder, json_file), os.path.join(root, folder, image_root)
            _register_once(register_ytvis_instances, f"{folder}_{split}", metadata, *paths)


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


def _register_once(register: Any, name: str, *arguments: Any) -> None:
    """Register `name` unless it is: this folder can be imported twice, as `ifc` and as `detectron2.projects.ifc`."""
    if name not in DatasetCatalog:
        register(name, *arguments)


_root = os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))
register_all_ytvis(_root)
register_all_shapes(_root)
