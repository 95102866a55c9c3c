# SPDX-License-Identifier: Apache-2.0
"""The models and batches that the golden files were made with."""

import json
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Instances

from ifc import Ifc, add_ifc_config
from ifc.benchmark.golden_weights import fill_with_recipe

GOLDEN = Path(__file__).parent
CONFIGS = GOLDEN.parents[1] / "projects" / "IFC" / "configs"


def load(name: str) -> dict[str, np.ndarray]:
    """The arrays of golden file `name`.npz."""
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


def golden_config(opts: list[str]) -> CfgNode:
    """A published configuration (`opts[0]`, the file's name) with the changed keys (the rest), on the CPU."""
    cfg = get_cfg()
    add_ifc_config(cfg)
    cfg.merge_from_file(str(CONFIGS / opts[0]))
    cfg.merge_from_list([*opts[1:], "MODEL.DEVICE", "cpu"])
    return cfg


def golden_model(opts: list[str], no_object_bias: float = 0.0, class_scale: float = 1.0) -> Ifc:
    """The model of `golden_config(opts)` with the recipe's weights."""
    model = build_model(golden_config(opts))
    fill_with_recipe(model, no_object_bias, class_scale)
    return model


def golden_batch(arrays: dict[str, np.ndarray]) -> list[dict]:
    """The training clips of a `train_*.npz`."""
    batch = []
    for b in range(int(arrays["n"])):
        shape = arrays[f"mask_shape{b}"]
        masks = np.unpackbits(arrays[f"masks{b}"], count=int(shape.prod())).reshape(shape).astype(bool)
        instances = []
        for classes, ids, frame_masks in zip(arrays[f"classes{b}"], arrays[f"ids{b}"], masks, strict=True):
            frame = Instances(tuple(shape[2:].tolist()))
            frame.gt_classes = torch.from_numpy(classes)
            frame.gt_ids = torch.from_numpy(ids)
            frame.gt_masks = BitMasks(torch.from_numpy(frame_masks))
            instances.append(frame)
        batch.append({"image": list(torch.from_numpy(arrays[f"frames{b}"])), "instances": instances})
    return batch


def golden_opts(arrays: dict[str, np.ndarray]) -> list[str]:
    return json.loads(str(arrays["opts"]))
