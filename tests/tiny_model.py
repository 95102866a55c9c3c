# SPDX-License-Identifier: Apache-2.0
"""A tiny model on random weights that finds something, as files: for demo.py and the segmenter."""

import tempfile
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model

from ifc.engine import setup_config

HEIGHT, WIDTH, LENGTH = 64, 96, 5

CONFIG = """
VERSION: 2
MODEL:
  META_ARCHITECTURE: "Ifc"
  DEVICE: "cpu"
  MASK_ON: True
  RESNETS:
    STEM_OUT_CHANNELS: 8
    RES2_OUT_CHANNELS: 16
    WIDTH_PER_GROUP: 8
    OUT_FEATURES: ["res2", "res3", "res4", "res5"]
  BACKBONE:
    NAME: "build_resnet_backbone"
  IFC:
    NUM_CLASSES: 6
    HIDDEN_DIM: 32
    NHEADS: 4
    DIM_FEEDFORWARD: 64
    ENC_LAYERS: 1
    DEC_LAYERS: 1
    NUM_OBJECT_QUERIES: 6
DATASETS:
  TEST: ("{dataset}",)
INPUT:
  FORMAT: "{channels}"
  SAMPLING_FRAME_NUM: {window}
  MIN_SIZE_TEST: 32
  MAX_SIZE_TEST: 128
"""


def tiny_config(*opts: str) -> CfgNode:
    """The config of video.yaml, with options."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.yaml"
        path.write_text(CONFIG.format(dataset="shapes_val", channels="RGB", window=3))
        return setup_config(str(path), list(opts))


def write_tiny_model(root: Path) -> None:
    """Write video.yaml, coco.yaml (for images, BGR) and model.pth, which fits both."""
    (root / "video.yaml").write_text(CONFIG.format(dataset="shapes_val", channels="RGB", window=3))
    (root / "coco.yaml").write_text(CONFIG.format(dataset="shapes_coco_val", channels="BGR", window=1))
    torch.manual_seed(0)
    model = build_model(setup_config(str(root / "video.yaml"), []))
    with torch.no_grad():  # spread, confident predictions with masks that differ
        for parameter in model.detr.class_embed.parameters():
            parameter.mul_(6)
        model.detr.query_embed.weight.mul_(5)
    torch.save({"model": model.state_dict()}, root / "model.pth")
