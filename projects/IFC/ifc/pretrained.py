# SPDX-License-Identifier: Apache-2.0
"""A trained model by its name: the one door through which programs get a `VideoSegmenter`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from .predictor import VideoSegmenter

SHAPES_TINY = "shapes-tiny"
_SHAPES_TINY_FILES = Path(__file__).resolve().parents[3] / "configs" / "quick_schedules" / "shapes_tiny"
_SHAPES_TINY_WINDOW = 5  # that its AP is of; it was trained on clips of 2


def load(
    name: str | os.PathLike = SHAPES_TINY,
    *,
    device: str | None = None,
    window: int | None = None,
    precision: str | None = None,
    config_file: str | os.PathLike | None = None,
    opts: Sequence[Any] = (),
) -> VideoSegmenter:
    """A trained model, ready for videos.

    Args:
        name: "shapes-tiny", the toy model that comes with this package and knows six shapes; or a checkpoint, .pth or
            .pkl, of the model of `config_file`.
        device: "cpu", "cuda", "cuda:1", …; None for a GPU where there is one, else the CPU.
        window: frames of a window; None for those of the model's config.
        precision: "float32", "bfloat16", or "auto", which is bfloat16 where the device is fast at it; None for the
            config's, or "auto" if it does not say.
        config_file: the config, in YAML, that a checkpoint was trained with.
        opts: more keys of the config and values, which win over all others: ["MODEL.IFC.CLIP_STRIDE", 2].

    Raises:
        OSError, ValueError: for a file that is missing, damaged or of another model, and for a wrong key or value.
    """
    chosen = {"MODEL.DEVICE": device or ("cuda" if torch.cuda.is_available() else "cpu")}
    if name == SHAPES_TINY:
        if config_file is not None:
            raise ValueError(f"{config_file}: found a config, expected none with {SHAPES_TINY}, which has its own")
        name, config_file = (f"{_SHAPES_TINY_FILES}.{suffix}" for suffix in ("pth", "yaml"))
        window = _SHAPES_TINY_WINDOW if window is None else window
    if config_file is None:
        raise ValueError(f"{name}: found no config with these weights, expected the config file of their training")
    if window is not None:
        chosen["INPUT.SAMPLING_FRAME_NUM"] = window
    if precision is not None:
        chosen["MODEL.IFC.PRECISION"] = precision
    return VideoSegmenter.from_config(config_file, name, [*(x for pair in chosen.items() for x in pair), *opts])
