# SPDX-License-Identifier: Apache-2.0
"""A training step whose losses were not finite, as a file, and the same step again."""

import logging
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.structures import BitMasks, Instances
from torch import nn

from .checkpoint import IfcCheckpointer, read_checkpoint, write_checkpoint
from .config_file import build_model
from .step import NotFiniteError

logger = logging.getLogger(__name__)

CLIP_KEYS = ("image", "file_names", "file_name", "video_id", "image_id", "height", "width", "length", "identities")
INSTANCE_FIELDS = ("gt_classes", "gt_ids")


def dump_step(path: str, model: nn.Module, error: NotFiniteError, precision: str) -> None:
    """Write the weights, the batch and the seed of the step that `error` tells of.

    Raises:
        OSError: the file cannot be written.
    """
    clips = [
        {key: clip[key] for key in CLIP_KEYS if key in clip} | {"instances": list(map(_plain, clip["instances"]))}
        for clip in error.batch
    ]
    step = {"iteration": error.iteration, "seed": error.seed, "precision": precision, "batch": clips}
    write_checkpoint({"model": model.state_dict(), "step": step}, path)


def replay_step(cfg: CfgNode, path: str) -> None:
    """Make the step that `dump_step` wrote once more, with torch's search for the operation where NaN begins.

    Raises:
        OSError, ValueError: the file cannot be read, is no such file, or does not fit the config.
        FloatingPointError: what was found.
    """
    model = build_model(cfg).train()
    step = read_checkpoint(path).get("step")
    if step is None:
        raise ValueError(f"--replay {path}: expected a file that a training wrote when its losses were not finite")
    IfcCheckpointer(model).load(path, checkpointables=[])
    batch = [clip | {"instances": list(map(_instances, clip["instances"]))} for clip in step["batch"]]
    for clip in batch:
        logger.info(f"Iteration {step['iteration']}: {', '.join(dict.fromkeys(clip.get('file_names', ['?'])))}")
    torch.manual_seed(step["seed"])
    dtype = getattr(torch, step["precision"])
    with torch.autograd.detect_anomaly():  # which raises RuntimeError, after a warning with the operation's place
        with torch.autocast(model.device.type, dtype=dtype, enabled=dtype != torch.float32):
            losses = model(batch)
        logger.info(", ".join(f"{name} {loss.item():.6g}" for name, loss in losses.items()))
        bad = [name for name, loss in losses.items() if not loss.isfinite()]
        try:
            sum(losses.values()).backward()
        except RuntimeError as error:
            found = f"NaN or infinity in {', '.join(bad) or 'no loss'}"
            raise FloatingPointError(f"{path}: found {found}, and in the gradients: {error}") from error
    bad += [
        name for name, value in model.named_parameters() if value.grad is not None and not value.grad.isfinite().all()
    ]
    if bad:
        raise FloatingPointError(f"{path}: found infinity in {', '.join(bad)}")
    logger.info("All losses and gradients are finite")


def _plain(frame: Instances) -> dict[str, Any]:
    fields = {name: frame.get(name) for name in INSTANCE_FIELDS}
    return fields | {"image_size": list(frame.image_size), "gt_masks": frame.gt_masks.tensor}


def _instances(fields: dict[str, Any]) -> Instances:
    return Instances(
        tuple(fields["image_size"]),
        gt_masks=BitMasks(fields["gt_masks"]),
        **{name: fields[name] for name in INSTANCE_FIELDS},
    )
