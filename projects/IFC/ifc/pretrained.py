# SPDX-License-Identifier: Apache-2.0
"""A trained model by its name: the one door through which programs get a `VideoSegmenter`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from .engine.model_folder import CONFIG_FILE, WEIGHTS_FILE, read_model_config
from .predictor import SEGMENTER_DEFAULTS, VideoSegmenter

SHAPES_TINY = "shapes-tiny"
HUB = "hf://"
_SHAPES_TINY_FOLDER = Path(__file__).parent / "models" / "shapes_tiny"


def load(
    name: str | os.PathLike = SHAPES_TINY,
    *,
    device: str | None = None,
    window: int | None = None,
    precision: str | None = None,
    config_file: str | os.PathLike | None = None,
    weights_hash: str | None = None,
    opts: Sequence[Any] = (),
) -> VideoSegmenter:
    """A trained model, ready for videos. No file that is read can run code.

    Args:
        name: one of

            - "shapes-tiny", the toy model that comes with this package and knows six shapes;
            - a folder that `VideoSegmenter.save_pretrained` wrote, or the weights in it;
            - "hf://owner/name" or "hf://owner/name@revision", such a folder on the Hugging Face Hub;
            - a checkpoint, .pth or .pkl, together with `config_file`.
        device: "cpu", "cuda", "cuda:1", …; None for a GPU where there is one, else the CPU.
        window: frames of a window; None for those of the model's config.
        precision: "float32", "bfloat16", or "auto", which is bfloat16 where the device is fast at it; None for the
            config's, or "auto" if it does not say.
        config_file: the config, in YAML, that a checkpoint was trained with.
        weights_hash: the SHA-256 that the weights' file must have, in hexadecimal.
        opts: more keys of the config and values, which win over all others: ["MODEL.IFC.CLIP_STRIDE", 2].

    Raises:
        OSError, ValueError: for a file that is missing, damaged or of another model, and for a wrong key or value.
    """
    name = os.fspath(name)
    is_checkpoint = name.endswith((".pth", ".pkl"))
    if config_file is not None and not is_checkpoint:
        raise ValueError(f"{config_file}: found a config with {name}, which has its own, expected none")
    chosen = {"MODEL.DEVICE": device or ("cuda" if torch.cuda.is_available() else "cpu")}
    if name == SHAPES_TINY:
        name, config_file = (str(_SHAPES_TINY_FOLDER / file) for file in ("model.pth", "config.yaml"))
    if window is not None:
        chosen["INPUT.SAMPLING_FRAME_NUM"] = window
    if precision is not None:
        chosen["MODEL.IFC.PRECISION"] = precision
    opts = [*(x for pair in chosen.items() for x in pair), *opts]
    if config_file is not None:
        segmenter = VideoSegmenter.from_config(config_file, name, opts)
    elif is_checkpoint:
        raise ValueError(f"{name}: found no config with these weights, expected the config file of their training")
    else:
        segmenter = _load_folder(_download(name) if name.startswith(HUB) else Path(name), opts)
    if weights_hash is not None and segmenter.weights_hash != weights_hash.lower():
        raise ValueError(f"{name}: found weights with SHA-256 {segmenter.weights_hash}, expected {weights_hash}")
    return segmenter


def _load_folder(path: Path, opts: Sequence[Any]) -> VideoSegmenter:
    """The model in a folder, or of one of the files in it."""
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: no such file or folder, expected {SHAPES_TINY!r}, a folder with {CONFIG_FILE} and "
            f"{WEIGHTS_FILE}, {HUB}owner/name, or a checkpoint (.pth, .pkl)"
        )
    weights = ["MODEL.WEIGHTS", str(folder / WEIGHTS_FILE)]
    cfg, classes = read_model_config(folder / CONFIG_FILE, [*weights, *opts], SEGMENTER_DEFAULTS)
    return VideoSegmenter(cfg, classes)


def _download(address: str) -> Path:
    """The local folder of "hf://owner/name@revision", fetched unless it is in the cache."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import EntryNotFoundError
    except ImportError as error:
        raise ImportError(f"{address}: needs huggingface_hub: pip install 'detectron2-ifc[hub]' ({error})") from error
    repository, _, revision = address.removeprefix(HUB).partition("@")
    try:
        files = [CONFIG_FILE, WEIGHTS_FILE]
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=files))
    except (EntryNotFoundError, OSError, ValueError) as error:
        raise OSError(f"{address}: {error}") from error
