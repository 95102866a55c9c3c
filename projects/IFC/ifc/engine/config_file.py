# SPDX-License-Identifier: Apache-2.0
"""From the command line to a checked configuration."""

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
import yaml
from detectron2.config import CfgNode, get_cfg
from detectron2.data import MetadataCatalog
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling import build_model as build_registered_model
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from torch import nn

from ..config import add_ifc_config
from ..data.augmentation import CROP_TYPES, build_augmentation
from ..data.dataset_dicts import load_categories
from ..data.loaders import check_frames, is_video_dataset, load_records
from ..data.own import register_video_json
from ..inference import COMPILE_MODES, PRECISIONS
from .optimizer import FULL_MODEL, OPTIMIZERS


def setup_config(config_file: str, opts: Sequence[str], resume: bool = False) -> CfgNode:
    """detectron2's and IFC's defaults, changed by a file and then by "KEY VALUE" pairs, checked and frozen.

    The data sets of DATASETS.VIDEO_JSON are registered. A MODEL.IFC.NUM_CLASSES of 0 becomes the number it stands for.

    Args:
        config_file: a YAML file; empty for the defaults. Tags that run code are refused.
        opts: key, value, key, value, …
        resume: the last checkpoint in OUTPUT_DIR, if there is one, is read in place of MODEL.WEIGHTS.

    Raises:
        FileNotFoundError: without that file, or without the MODEL.WEIGHTS or DATASETS.VIDEO_JSON it names.
        ValueError: for a key or value that does not exist, see `check_config`, and for data sets that cannot be used.
    """
    cfg = get_cfg()
    add_ifc_config(cfg)
    defaults = cfg.clone()
    if config_file:
        if not PathManager.isfile(config_file):
            raise FileNotFoundError(f"--config-file {config_file}: no such file")
        _merge(lambda: cfg.merge_from_file(config_file, allow_unsafe=False), where=f"--config-file {config_file}")
    if len(opts) % 2:
        raise ValueError(f"command line: expected KEY VALUE pairs, found an odd number of words: {' '.join(opts)}")
    _merge(lambda: cfg.merge_from_list(list(opts)), where="command line")
    _check_blanks(cfg, defaults)
    register_own_datasets(cfg)
    if cfg.MODEL.IFC.NUM_CLASSES == 0:
        cfg.MODEL.IFC.NUM_CLASSES = _count_classes(cfg)
    check_config(cfg)
    if not (resume and os.path.isfile(os.path.join(cfg.OUTPUT_DIR, "last_checkpoint"))):
        _check_weights(cfg.MODEL.WEIGHTS)
    cfg.freeze()
    return cfg


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


def register_own_datasets(cfg: CfgNode) -> None:
    """Register DATASETS.VIDEO_JSON, and read the classes of those data sets that are tested: labels for whoever draws.

    Raises:
        OSError, ValueError: for an entry or file that cannot be used.
    """
    register_video_json(cfg.DATASETS.VIDEO_JSON)
    own = {name for name, *_ in cfg.DATASETS.VIDEO_JSON}
    for name in cfg.DATASETS.TEST:
        if name in own and MetadataCatalog.get(name).get("thing_classes") is None:
            load_categories(name)


def _count_classes(cfg: CfgNode) -> int:
    """How many classes the data that the model is trained on has."""
    if not cfg.DATASETS.TRAIN:
        raise ValueError("MODEL.IFC.NUM_CLASSES: found 0, expected a number without data sets in DATASETS.TRAIN")
    name = cfg.DATASETS.TRAIN[0]
    if is_video_dataset(name) and MetadataCatalog.get(name).get("thing_classes") is None:
        load_categories(name)
    classes = MetadataCatalog.get(name).get("thing_classes")
    if not classes:
        raise ValueError(f"MODEL.IFC.NUM_CLASSES: found 0, expected a number, as data set '{name}' lists no classes")
    return len(classes)


def check_config(cfg: CfgNode) -> None:
    """What can be known to be wrong before anything is loaded.

    Raises:
        ValueError: a value that does not exist, is out of its range or does not fit the others, or a device that this
            machine does not have. The message names the key.
    """
    _check_choices(cfg)
    _check_ranges(cfg)
    _check_reals(cfg)
    for is_train in (True, False):
        build_augmentation(cfg, is_train)
    _check_device(cfg)


def _check_choices(cfg: CfgNode) -> None:
    solver = cfg.SOLVER
    choices: dict[str, tuple[Any, Sequence[Any]]] = {
        "MODEL.META_ARCHITECTURE": (cfg.MODEL.META_ARCHITECTURE, ["Ifc"]),
        "MODEL.BACKBONE.NAME": (cfg.MODEL.BACKBONE.NAME, sorted(name for name, _ in BACKBONE_REGISTRY)),
        "MODEL.RESNETS.DEPTH": (cfg.MODEL.RESNETS.DEPTH, [18, 34, 50, 101, 152]),
        "MODEL.IFC.PRECISION": (cfg.MODEL.IFC.PRECISION, PRECISIONS),
        "MODEL.IFC.COMPILE": (cfg.MODEL.IFC.COMPILE, ["", *COMPILE_MODES]),
        "INPUT.FORMAT": (cfg.INPUT.FORMAT, ["BGR", "RGB"]),
        "INPUT.CROP.TYPE": (cfg.INPUT.CROP.TYPE, CROP_TYPES),
        "SOLVER.OPTIMIZER": (solver.OPTIMIZER, sorted(OPTIMIZERS)),
        "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": (solver.CLIP_GRADIENTS.CLIP_TYPE, [FULL_MODEL, "norm", "value"]),
    }
    for key, (found, known) in choices.items():
        if found not in known:
            raise ValueError(f"{key}: found {found!r}, expected one of {', '.join(map(repr, known))}")


def _check_ranges(cfg: CfgNode) -> None:
    ifc, window, stride = cfg.MODEL.IFC, cfg.INPUT.SAMPLING_FRAME_NUM, cfg.MODEL.IFC.CLIP_STRIDE
    at_least_one = {"INPUT.SAMPLING_FRAME_NUM": window}
    at_least_one |= {f"SOLVER.{key}": cfg.SOLVER[key] for key in ("CHECKPOINT_PERIOD", "MAX_ITER")}
    at_least_one |= {
        f"MODEL.IFC.{key}": ifc[key]
        for key in (
            "NUM_CLASSES", "HIDDEN_DIM", "NHEADS", "DIM_FEEDFORWARD", "ENC_LAYERS", "DEC_LAYERS", "NUM_MEMORY_BUS",
            "NUM_OBJECT_QUERIES", "MASK_STRIDE", "MATCH_STRIDE", "CLIP_STRIDE",
        )
    }  # fmt: skip
    for key, value in at_least_one.items():
        if value < 1:
            raise ValueError(f"{key}: found {value}, expected at least 1")
    for key in ("FRAMES_PER_BATCH", "WINDOWS_PER_BATCH"):
        if ifc[key] < 0:
            raise ValueError(f"MODEL.IFC.{key}: found {ifc[key]}, expected 0 or more")
    if stride > window:
        raise ValueError(
            f"MODEL.IFC.CLIP_STRIDE: found {stride}, expected at most {window}, the frames of a window "
            "(INPUT.SAMPLING_FRAME_NUM), or frames between two windows would be skipped"
        )
    if ifc.HIDDEN_DIM % ifc.NHEADS:
        raise ValueError(f"MODEL.IFC.HIDDEN_DIM: found {ifc.HIDDEN_DIM}, expected a multiple of NHEADS, {ifc.NHEADS}")
    if not 0 <= ifc.DROPOUT < 1:
        raise ValueError(f"MODEL.IFC.DROPOUT: found {ifc.DROPOUT}, expected 0 or more and less than 1")
    if cfg.INPUT.SAMPLING_FRAME_RANGE < 0:
        raise ValueError(f"INPUT.SAMPLING_FRAME_RANGE: found {cfg.INPUT.SAMPLING_FRAME_RANGE}, expected at least 0")
    solver = cfg.SOLVER
    if solver.CLIP_GRADIENTS.ENABLED and not solver.CLIP_GRADIENTS.CLIP_VALUE > 0:  # which NaN is not, either
        found = solver.CLIP_GRADIENTS.CLIP_VALUE
        raise ValueError(f"SOLVER.CLIP_GRADIENTS.CLIP_VALUE: found {found}, expected more than 0")
    if solver.REFERENCE_WORLD_SIZE and solver.IMS_PER_BATCH % solver.REFERENCE_WORLD_SIZE:
        expected = f"a multiple of SOLVER.REFERENCE_WORLD_SIZE, {solver.REFERENCE_WORLD_SIZE}"
        raise ValueError(f"SOLVER.IMS_PER_BATCH: found {solver.IMS_PER_BATCH}, expected {expected}")


def _check_reals(cfg: CfgNode) -> None:
    reals = {f"MODEL.IFC.{key}": cfg.MODEL.IFC[key] for key in ("MASK_WEIGHT", "DICE_WEIGHT", "NO_OBJECT_WEIGHT")}
    reals |= {f"SOLVER.{key}": cfg.SOLVER[key] for key in ("BASE_LR", "BACKBONE_MULTIPLIER", "WEIGHT_DECAY")}
    for key, value in reals.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{key}: found {value}, expected 0 or more")
    for key, lowest in (("PIXEL_MEAN", -math.inf), ("PIXEL_STD", 0)):
        found = cfg.MODEL[key]
        if len(found) != 3 or not all(type(value) in (int, float) and lowest < value < math.inf for value in found):
            limit = " above 0" if lowest == 0 else ""
            raise ValueError(f"MODEL.{key}: found {found}, expected three numbers{limit}, one a channel")


def _check_device(cfg: CfgNode) -> None:
    try:
        device = torch.device(cfg.MODEL.DEVICE)
    except RuntimeError as error:
        raise ValueError(f"MODEL.DEVICE: found {cfg.MODEL.DEVICE!r}, expected 'cuda' or 'cpu'") from error
    num_gpus = torch.cuda.device_count() if device.type == "cuda" and torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= num_gpus:
        raise ValueError(
            f"MODEL.DEVICE: found {cfg.MODEL.DEVICE!r}, but {num_gpus or 'no'} GPU is visible; add MODEL.DEVICE cpu to "
            "run on the CPU"
        )
    if cfg.MODEL.IFC.PRECISION == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ValueError("MODEL.IFC.PRECISION: found 'bfloat16', expected 'float32' on this GPU, which has no bfloat16")
    if cfg.SOLVER.AMP.ENABLED and device.type != "cuda":
        raise ValueError(f"SOLVER.AMP.ENABLED: found True, expected False with MODEL.DEVICE {device.type!r}")


def build_model(cfg: CfgNode) -> nn.Module:
    """The model of `cfg`, on its device.

    Raises:
        ValueError: it cannot be built from `cfg`: detectron2 does not check every value.
    """
    try:
        return build_registered_model(cfg)
    except (AssertionError, KeyError) as error:
        raise ValueError(f"MODEL: cannot be built from this config: {type(error).__name__}: {error}") from error


def _check_weights(weights: str) -> None:
    if weights and "://" not in weights and not os.path.isfile(weights):
        raise FileNotFoundError(f"MODEL.WEIGHTS {weights}: no such file")


def check_test_datasets(cfg: CfgNode) -> None:
    """Whether DATASETS.TEST can be evaluated: training must not end in an evaluation that cannot start.

    Annotations are read, and each process looks at its share of the frames.

    Raises:
        OSError, ValueError: for a data set that cannot be read, does not fit MODEL.IFC.NUM_CLASSES or cannot give what
            TEST.EXPECTED_RESULTS expects.
    """
    register_video_json(cfg.DATASETS.VIDEO_JSON)  # which each process of a launch has to do for itself
    names, expected = list(cfg.DATASETS.TEST), cfg.TEST.EXPECTED_RESULTS
    if expected and len(names) != 1:
        raise ValueError(
            f"TEST.EXPECTED_RESULTS: found some, expected none with {len(names)} data sets in DATASETS.TEST"
        )
    for name in names:
        records = load_records(name, cfg.MODEL.IFC.NUM_CLASSES, is_train=False)
        check_frames(records[comm.get_rank() :: comm.get_world_size()])
        if expected:
            _check_expected_results(expected, name, measured=any("annotations" in record for record in records))


def _check_expected_results(expected: Sequence[Any], name: str, measured: bool) -> None:
    if not measured:
        raise ValueError(f"TEST.EXPECTED_RESULTS: found some, expected none for data set '{name}' without annotations")
    tasks = ["segm"] if is_video_dataset(name) else ["bbox", "segm"]
    for entry in expected:
        if not isinstance(entry, list | tuple) or len(entry) != 4 or entry[0] not in tasks:
            raise ValueError(
                f"TEST.EXPECTED_RESULTS: found {entry!r}, expected [task, metric, value, tolerance] with a task of "
                f"{tasks} for data set '{name}'"
            )
