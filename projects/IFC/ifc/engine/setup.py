# SPDX-License-Identifier: Apache-2.0
"""From the command line to a checked configuration."""

import os

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.utils.file_io import PathManager

from ..config import add_ifc_config
from ..data.build import load_records
from .optimizer import FULL_MODEL, OPTIMIZERS


def setup_config(config_file: str, opts: list[str]) -> CfgNode:
    """detectron2's and IFC's defaults, changed by a file and then by "KEY VALUE" pairs, checked and frozen.

    Raises:
        FileNotFoundError: without that file, or without the MODEL.WEIGHTS it names.
        ValueError: for a key or value that does not exist, see `check_config`.
    """
    cfg = get_cfg()
    add_ifc_config(cfg)
    if config_file:
        if not PathManager.isfile(config_file):
            raise FileNotFoundError(f"--config-file {config_file}: no such file")
        _merge(cfg.merge_from_file, config_file, where=config_file)
    if len(opts) % 2:
        raise ValueError(f"command line: expected KEY VALUE pairs, found an odd number of words: {' '.join(opts)}")
    _merge(cfg.merge_from_list, opts, where="command line")
    check_config(cfg)
    cfg.freeze()
    return cfg


def _merge(merge, source, where: str) -> None:
    try:
        merge(source)
    except (KeyError, ValueError, AssertionError) as error:  # as yacs reports unknown keys and values of a wrong type
        raise ValueError(f"{where}: {error.args[0] if error.args else error}") from error
    except Exception as error:
        if type(error).__module__.startswith("yaml"):
            raise ValueError(f"{where}: expected a YAML file of configuration keys, found: {error}") from error
        raise


def check_config(cfg: CfgNode) -> None:
    """What can be known to be wrong before anything is loaded.

    Raises:
        FileNotFoundError: MODEL.WEIGHTS names a local file that is not there.
        ValueError: a value outside its range, or a device that this machine does not have.
    """
    clip, choices = cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE, {
        "MODEL.META_ARCHITECTURE": (cfg.MODEL.META_ARCHITECTURE, ["Ifc"]),
        "SOLVER.OPTIMIZER": (cfg.SOLVER.OPTIMIZER, sorted(OPTIMIZERS)),
        "INPUT.FORMAT": (cfg.INPUT.FORMAT, ["BGR", "RGB"]),
    }
    choices["SOLVER.CLIP_GRADIENTS.CLIP_TYPE"] = (clip, [FULL_MODEL, "norm", "value"])
    for key, (found, known) in choices.items():
        if found not in known:
            raise ValueError(f"{key}: found {found!r}, expected one of {known}")
    window = cfg.INPUT.SAMPLING_FRAME_NUM
    at_least_one = {
        "INPUT.SAMPLING_FRAME_NUM": window,
        "MODEL.IFC.CLIP_STRIDE": cfg.MODEL.IFC.CLIP_STRIDE,
        "MODEL.IFC.NUM_CLASSES": cfg.MODEL.IFC.NUM_CLASSES,
        "MODEL.IFC.NUM_OBJECT_QUERIES": cfg.MODEL.IFC.NUM_OBJECT_QUERIES,
        "MODEL.IFC.MASK_STRIDE": cfg.MODEL.IFC.MASK_STRIDE,
        "MODEL.IFC.MATCH_STRIDE": cfg.MODEL.IFC.MATCH_STRIDE,
    }
    for key, value in at_least_one.items():
        if value < 1:
            raise ValueError(f"{key}: found {value}, expected at least 1")
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("MODEL.DEVICE: found 'cuda', but no GPU is visible; add MODEL.DEVICE cpu to run on the CPU")
    weights = cfg.MODEL.WEIGHTS
    if weights and "://" not in weights and not os.path.isfile(weights):
        raise FileNotFoundError(f"MODEL.WEIGHTS {weights}: no such file")


def check_test_datasets(cfg: CfgNode) -> None:
    """Read the annotations of every data set in DATASETS.TEST: training must not end in an evaluation that cannot start.

    Raises:
        OSError, ValueError: for a data set that cannot be read or does not fit MODEL.IFC.NUM_CLASSES.
    """
    for name in cfg.DATASETS.TEST:
        load_records(name, cfg.MODEL.IFC.NUM_CLASSES, is_train=False)
