# SPDX-License-Identifier: Apache-2.0
"""A model, a data set and a schedule so small that training and evaluation take a second."""

from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.data.datasets import register_coco_instances
from detectron2.modeling import build_model
from torch import nn

from ifc.data import register_ytvis_instances
from ifc.data.catalog import category_metadata
from ifc.engine import setup_config
from ifc.ytvis.datasets.shapes import CATEGORIES, write_coco, write_ytvis

HEIGHT, WIDTH, LENGTH = 64, 96, 4
BASE = Path(__file__).parents[2] / "projects" / "IFC" / "configs" / "Base-IFC.yaml"
CONFIG = f"""
_BASE_: {BASE}
MODEL:
  DEVICE: "cpu"
  BACKBONE:
    FREEZE_AT: 0
  RESNETS:
    NORM: "GN"
    STEM_OUT_CHANNELS: 32
    WIDTH_PER_GROUP: 32
    RES2_OUT_CHANNELS: 32
  IFC:
    NUM_CLASSES: {len(CATEGORIES)}
    HIDDEN_DIM: 32
    NHEADS: 4
    DIM_FEEDFORWARD: 32
    DROPOUT: 0.0
    ENC_LAYERS: 1
    DEC_LAYERS: 2
    NUM_OBJECT_QUERIES: 6
DATASETS:
  TRAIN: ("shapes_train",)
  TEST: ("shapes_val",)
DATALOADER:
  NUM_WORKERS: 0
SOLVER:
  IMS_PER_BATCH: 2
  WARMUP_ITERS: 0
  STEPS: ()
  MAX_ITER: 2
INPUT:
  SAMPLING_FRAME_NUM: 2
  MIN_SIZE_TRAIN: (32,)
  MIN_SIZE_TEST: 32
VERSION: 2
"""

# What a resumed training has to continue: dropout, batch norm, a schedule, averaged weights, shuffled data in pairs,
# workers.
RESUMED = [
    "SEED", 3, "MODEL.IFC.DROPOUT", 0.2, "MODEL.RESNETS.NORM", "BN", "SOLVER.WARMUP_ITERS", 20, "SOLVER.EMA_DECAY", 0.9,
    "SOLVER.STEPS", (30, 45), "SOLVER.CHECKPOINT_PERIOD", 4, "DATALOADER.NUM_WORKERS", 2, "DATASETS.TEST", (),
    "INPUT.CLIPS_PER_VIDEO", 2, "MODEL.IFC.APPEARANCE.DIM", 8, "MODEL.IFC.APPEARANCE.POOLED", True,
]  # fmt: skip


def write_data(root: Path, num_train: int = 2, num_val: int = 2) -> Path:
    """Write splits "train" and "val", each as videos and as images, as if `root` were $DETECTRON2_DATASETS."""
    for seed, (split, num_videos) in enumerate({"train": num_train, "val": num_val}.items()):
        write_ytvis(root / "shapes", split, num_videos, seed=seed, image_size=(HEIGHT, WIDTH), length=LENGTH)
        write_coco(root / "shapes", split, frame_stride=2)
    return root


def register_data(root: Path, prefix: str) -> None:
    """Register what `write_data` wrote as {prefix}_train, {prefix}_val, {prefix}_coco_train and {prefix}_coco_val."""
    metadata = category_metadata(CATEGORIES)
    for split in ("train", "val"):
        image_root = str(root / "shapes" / split / "JPEGImages")
        register_ytvis_instances(f"{prefix}_{split}", metadata, str(root / "shapes" / f"{split}.json"), image_root)
        coco_json = str(root / "shapes" / f"coco_{split}.json")
        register_coco_instances(f"{prefix}_coco_{split}", metadata, coco_json, image_root)


def tiny_config(folder: Path, *opts: object) -> CfgNode:
    """The configuration above with `opts` (key, value, …) and an OUTPUT_DIR in `folder`."""
    (folder / "output").mkdir(exist_ok=True)
    return setup_config(write_config(folder), [*map(str, opts), "OUTPUT_DIR", str(folder / "output")])


def tiny_model(cfg: CfgNode, seed: int = 0) -> nn.Module:
    """A model of random weights that takes every query for an object, so that there are results."""
    torch.manual_seed(seed)
    model = build_model(cfg)
    with torch.no_grad():
        model.detr.class_embed.layers[-1].bias[-1] = -10.0
    return model


def write_config(folder: Path) -> str:
    """The path of a file with the configuration above."""
    path = folder / "tiny.yaml"
    path.write_text(CONFIG)
    return str(path)
