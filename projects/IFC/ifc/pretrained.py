# SPDX-License-Identifier: Apache-2.0
"""A trained model by its name: the one door through which programs get a `VideoSegmenter`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from .engine.model_folder import CONFIG_FILE, ONNX_FILES, WEIGHTS_FILE, read_model_config
from .inference import OnnxNetwork
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
            - a folder that `VideoSegmenter.save_pretrained` or `ifc.export.export_model` (in ONNX's format) wrote, or
              a file of weights in it;
            - "hf://owner/name" or "hf://owner/name@revision", such a folder on the Hugging Face Hub;
            - a checkpoint, .pth or .pkl, together with `config_file`.
        device: "cpu", "cuda", "cuda:1", …; None for a GPU where there is one, else the CPU.
        window: frames of a window; None for those of the model's config.
        precision: "float32", "tf32", "bfloat16", or "auto": bfloat16 where the device is fast at it; None for the
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
    if name == SHAPES_TINY:
        name, config_file = (str(_SHAPES_TINY_FOLDER / file) for file in ("model.pth", "config.yaml"))
    elif is_checkpoint and config_file is None:
        raise ValueError(f"{name}: found no config with these weights, expected the config file of their training")
    chosen = {"INPUT.SAMPLING_FRAME_NUM": window, "MODEL.IFC.PRECISION": precision}
    opts = [*(x for key, value in chosen.items() if value is not None for x in (key, value)), *opts]
    if config_file is not None:
        segmenter = VideoSegmenter.from_config(config_file, name, ["MODEL.DEVICE", device or _best_device(), *opts])
    else:
        segmenter = _load_folder(_download(name) if name.startswith(HUB) else Path(name), device, opts)
    if weights_hash is not None and segmenter.weights_hash != weights_hash.lower():
        raise ValueError(f"{name}: found weights with SHA-256 {segmenter.weights_hash}, expected {weights_hash}")
    return segmenter


def _best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _load_folder(path: Path, device: str | None, opts: Sequence[Any]) -> VideoSegmenter:
    """The model in a folder, or of one of the files in it."""
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: no such file or folder, expected {SHAPES_TINY!r}, a folder with {CONFIG_FILE} and "
            f"{WEIGHTS_FILE}, {HUB}owner/name, or a checkpoint (.pth, .pkl)"
        )
    config, weights, onnx_files = folder / CONFIG_FILE, folder / WEIGHTS_FILE, [folder / name for name in ONNX_FILES]
    if weights.exists() or not onnx_files[0].exists():
        words = ["MODEL.WEIGHTS", str(weights), "MODEL.DEVICE", device or _best_device(), *opts]
        return VideoSegmenter(*read_model_config(config, words, SEGMENTER_DEFAULTS))
    cfg, classes = read_model_config(config, ["MODEL.DEVICE", device or "cpu", *opts])
    for key, found, only in (
        ("MODEL.DEVICE", cfg.MODEL.DEVICE, "cpu"),
        ("MODEL.IFC.PRECISION", cfg.MODEL.IFC.PRECISION, "float32"),
        ("MODEL.IFC.COMPILE", cfg.MODEL.IFC.COMPILE, ""),
    ):
        if found != only:
            raise ValueError(f"{folder}: {key}: found {found!r}, expected {only!r}: an exported network knows no other")
    network, association = OnnxNetwork(*onnx_files), cfg.MODEL.IFC.TRACKER.ASSOCIATION
    if association != "mask" and not network.has_embeddings:
        raise ValueError(
            f"{onnx_files[1]}: found no output 'embeddings', expected one with MODEL.IFC.TRACKER.ASSOCIATION "
            f"{association!r}: it was exported by an earlier version; export the model again"
        )
    return VideoSegmenter(cfg, classes, network)


def _download(address: str) -> Path:
    """The local folder of "hf://owner/name@revision", fetched unless it is in the cache."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import EntryNotFoundError
    except ImportError as error:
        raise ImportError(f"{address}: needs huggingface_hub: pip install 'detectron2-ifc[hub]' ({error})") from error
    repository, _, revision = address.removeprefix(HUB).partition("@")
    try:
        files = [CONFIG_FILE, WEIGHTS_FILE, *ONNX_FILES]
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=files))
    except (EntryNotFoundError, OSError, ValueError) as error:
        raise OSError(f"{address}: {error}") from error
