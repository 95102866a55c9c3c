# SPDX-License-Identifier: Apache-2.0
"""From the command line to a checked configuration."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model as build_registered_model
from detectron2.utils.file_io import PathManager
from torch import nn

from ..config import add_ifc_config
from ..data.catalog import register_video_json
from ..data.loaders import class_names
from .config_checks import check_config

# Of MODEL and INPUT, what IFC itself reads.
_MODEL_PARTS = ("META_ARCHITECTURE", "BACKBONE", "RESNETS", "TIMM", "IFC", "PIXEL_MEAN", "PIXEL_STD")
_INPUT_KEYS = ("FORMAT", "MIN_SIZE_TEST", "MAX_SIZE_TEST", "SAMPLING_FRAME_NUM")


def default_config() -> CfgNode:
    """detectron2's and IFC's defaults."""
    cfg = get_cfg()
    add_ifc_config(cfg)
    return cfg


def setup_config(
    config_file: str | Mapping[str, Any],
    opts: Sequence[Any],
    resume: bool = False,
    program_defaults: Sequence[str] = (),
) -> CfgNode:
    """detectron2's and IFC's defaults, changed by a file and then by "KEY VALUE" pairs, checked and frozen.

    The data sets of DATASETS.VIDEO_JSON are registered. A MODEL.IFC.NUM_CLASSES of 0 becomes the number it stands for.

    Args:
        config_file: a YAML file, or what is in one, or the name of one that comes with IFC; empty for the defaults.
            Tags that run code are refused.
        opts: key, value, key, value, …
        resume: the last checkpoint in OUTPUT_DIR, if there is one, is read in place of MODEL.WEIGHTS.
        program_defaults: key, value, … that stand where neither the file nor `opts` says otherwise.

    Raises:
        FileNotFoundError: without that file, or without the MODEL.WEIGHTS or DATASETS.VIDEO_JSON it names.
        ValueError: for a key or value that does not exist, see `check_config`, and for data sets that cannot be used.
    """
    cfg = default_config()
    cfg.merge_from_list(list(program_defaults))
    defaults = cfg.clone()
    if isinstance(config_file, Mapping):
        _merge(lambda: cfg.merge_from_other_cfg(CfgNode(config_file)), where="config")
    elif config_file:
        config_file = find_config(config_file)
        _merge(lambda: cfg.merge_from_file(config_file, allow_unsafe=False), where=f"--config-file {config_file}")
    if len(opts) % 2:
        raise ValueError(f"command line: expected KEY VALUE pairs, found an odd number of words: {' '.join(opts)}")
    _merge(lambda: cfg.merge_from_list(list(opts)), where="command line")
    _check_blanks(cfg, defaults)
    register_video_json(cfg.DATASETS.VIDEO_JSON)
    if cfg.MODEL.IFC.NUM_CLASSES == 0:
        cfg.MODEL.IFC.NUM_CLASSES = _count_classes(cfg)
    check_config(cfg)
    weights, resumes = cfg.MODEL.WEIGHTS, resume and has_checkpoint(cfg)
    if weights and not resumes and "://" not in weights and not os.path.isfile(weights):
        raise FileNotFoundError(f"MODEL.WEIGHTS {weights}: no such file")
    cfg.freeze()
    return cfg


def model_config(cfg: CfgNode) -> dict[str, Any]:
    """What a model is made of and what its results depend on, but for weights and device: parts of MODEL and INPUT, as
    json has them.

    All that IFC reads is there, so that a default that changes does not change a model; of what detectron2's other
    parts may read, that which differs from the defaults.
    """
    defaults = default_config().MODEL
    model = {name: value for name, value in cfg.MODEL.items() if name in _MODEL_PARTS or value != defaults.get(name)}
    for name in ("WEIGHTS", "DEVICE"):
        model.pop(name, None)
    return json.loads(json.dumps({"MODEL": model, "INPUT": {name: cfg.INPUT[name] for name in _INPUT_KEYS}}))


def find_config(name: str) -> str:
    """`name` if there is such a file, else the path of IFC's own config of that name."""
    if PathManager.isfile(name):
        return name
    if os.path.dirname(name):
        raise FileNotFoundError(f"--config-file {name}: no such file")
    package = Path(__file__).resolve().parents[1]  # a wheel has the configs inside, the sources beside it
    folder = next((path for path in (package / "configs", package.parent / "configs") if path.is_dir()), package)
    if not (folder / name).is_file():
        raise FileNotFoundError(f"--config-file {name}: no such file, nor one of IFC's own in {folder}")
    return str(folder / name)


def has_checkpoint(cfg: CfgNode) -> bool:
    """Whether OUTPUT_DIR has a checkpoint of a training to resume."""
    return os.path.isfile(os.path.join(cfg.OUTPUT_DIR, "last_checkpoint"))


def _merge(merge: Callable[[], None], where: str) -> None:
    """Name the place of what yacs and PyYAML find, and what kind of file was expected where they stumble."""
    try:
        merge()
    except (AssertionError, KeyError, ValueError) as error:  # unknown keys, and values of a wrong type
        raise ValueError(f"{where}: {_shortened(str(error.args[0] if error.args else error))}") from error
    except OSError as error:  # of _BASE_
        raise FileNotFoundError(f"{where}: {error}") from error
    except (AttributeError, TypeError, yaml.YAMLError) as error:
        raise ValueError(f"{where}: expected configuration keys and values in YAML, found: {error}") from error


def _shortened(message: str, num_ends: int = 120) -> str:
    """yacs shows all of a node that a value was given for; the key comes last."""
    message = " ".join(message.split())
    return message if len(message) <= 2 * num_ends else f"{message[:num_ends]} … {message[-num_ends:]}"


def _check_blanks(cfg: CfgNode, defaults: CfgNode, prefix: str = "") -> None:
    """Whether keys have lost their value: a key without one in YAML is None, which yacs takes for any type."""
    for key, default in defaults.items():
        if cfg[key] is None and default is not None:
            raise ValueError(f"{prefix}{key}: found no value, expected one such as {default!r}")
        if isinstance(default, CfgNode):
            _check_blanks(cfg[key], default, f"{prefix}{key}.")


def _count_classes(cfg: CfgNode) -> int:
    """How many classes the data that the model is trained on has."""
    if not cfg.DATASETS.TRAIN:
        raise ValueError("MODEL.IFC.NUM_CLASSES: found 0, expected a number without data sets in DATASETS.TRAIN")
    name = cfg.DATASETS.TRAIN[0]
    classes = class_names(name)
    if not classes:
        raise ValueError(f"MODEL.IFC.NUM_CLASSES: found 0, expected a number, as data set '{name}' lists no classes")
    return len(classes)


def build_model(cfg: CfgNode) -> nn.Module:
    """The model of `cfg`, on its device.

    Raises:
        ValueError: it cannot be built from `cfg`, of which detectron2 does not check every value, or in this memory.
    """
    try:
        return build_registered_model(cfg)
    except (AssertionError, KeyError, RuntimeError) as error:
        raise ValueError(f"MODEL: cannot be built from this config: {type(error).__name__}: {error}") from error
