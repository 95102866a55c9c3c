# SPDX-License-Identifier: Apache-2.0
"""What can be known to be wrong with a configuration before anything is loaded. Nothing behind it checks again."""

import math
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import BACKBONE_REGISTRY

from ..data.augmentation import CROP_TYPES, EXTRA_AUGMENTATIONS, FLIP_STYLES, RESIZE_STYLES
from ..data.image_mapper import PSEUDO_CLIPS
from ..data.loaders import is_video_dataset
from ..inference import ASSOCIATIONS, COMPILE_MODES, CUDA_GRAPH_MODES, PRECISIONS
from ..modeling.checkpointing import CHECKPOINTED_PARTS
from .optimizer import FULL_MODEL, OPTIMIZERS


def check_config(cfg: CfgNode) -> None:
    """
    Raises:
        ValueError: a value that does not exist, is out of its range or does not fit the others, or a device that this
            machine does not have. The message names the key.
    """
    _check_choices(cfg)
    _check_ranges(cfg)
    _check_tracker(cfg)
    _check_input(cfg)
    _check_expected_results(cfg)
    _check_device(cfg)


def _require(cfg: CfgNode, keys: str, fits: Callable[[Any], bool], expected: str) -> None:
    """Raise the one kind of error there is unless the value of each of these keys fits."""
    for key in keys.split():
        found = attrgetter(key)(cfg)
        if not fits(found):
            raise ValueError(f"{key}: found {found!r}, expected {expected}")


def _check_choices(cfg: CfgNode) -> None:
    choices: dict[str, Sequence[Any]] = {
        "MODEL.META_ARCHITECTURE": ["Ifc"],
        "MODEL.BACKBONE.NAME": sorted(name for name, _ in BACKBONE_REGISTRY),
        "MODEL.RESNETS.DEPTH": [18, 34, 50, 101, 152],
        "MODEL.IFC.PRECISION": PRECISIONS,
        "MODEL.IFC.COMPILE": ["", *COMPILE_MODES],
        "MODEL.IFC.TRACKER.ASSOCIATION": ASSOCIATIONS,
        # A CUDA graph is recorded for each size of a batch's frames, of which training has too many.
        "SOLVER.COMPILE": ["", *(mode for mode in COMPILE_MODES if mode not in CUDA_GRAPH_MODES)],
        "INPUT.FORMAT": ["BGR", "RGB"],
        "INPUT.MIN_SIZE_TRAIN_SAMPLING": RESIZE_STYLES,
        "INPUT.RANDOM_FLIP": FLIP_STYLES,
        "INPUT.CROP.TYPE": CROP_TYPES,
        "INPUT.PSEUDO_CLIP": PSEUDO_CLIPS,
        "DATALOADER.SAMPLER_TRAIN": ["TrainingSampler"],
        "SOLVER.OPTIMIZER": sorted(OPTIMIZERS),
        "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": [FULL_MODEL, "norm", "value"],
    }
    for key, known in choices.items():
        _require(cfg, key, known.__contains__, f"one of {', '.join(map(repr, known))}")


def _check_ranges(cfg: CfgNode) -> None:
    at_least_one = (
        "INPUT.SAMPLING_FRAME_NUM INPUT.MAX_SIZE_TRAIN INPUT.MAX_SIZE_TEST "
        "MODEL.IFC.NUM_CLASSES MODEL.IFC.HIDDEN_DIM MODEL.IFC.NHEADS MODEL.IFC.DIM_FEEDFORWARD MODEL.IFC.ENC_LAYERS "
        "MODEL.IFC.DEC_LAYERS MODEL.IFC.NUM_MEMORY_BUS MODEL.IFC.NUM_OBJECT_QUERIES MODEL.IFC.MASK_STRIDE "
        "MODEL.IFC.MATCH_STRIDE MODEL.IFC.CLIP_STRIDE SOLVER.CHECKPOINT_PERIOD SOLVER.MAX_ITER SOLVER.IMS_PER_BATCH "
        "SOLVER.ACCUMULATE INPUT.CLIPS_PER_VIDEO"
    )
    not_negative = (
        "INPUT.SAMPLING_FRAME_RANGE INPUT.MIN_SIZE_TEST DATALOADER.NUM_WORKERS MODEL.IFC.FRAMES_PER_BATCH "
        "MODEL.IFC.WINDOWS_PER_BATCH MODEL.IFC.MASK_WEIGHT MODEL.IFC.DICE_WEIGHT MODEL.IFC.NO_OBJECT_WEIGHT "
        "SOLVER.BASE_LR SOLVER.BACKBONE_MULTIPLIER SOLVER.WEIGHT_DECAY SOLVER.MAX_SKIPPED_STEPS "
        "SOLVER.KEEP_CHECKPOINTS TEST.PICTURES MODEL.IFC.NUM_POINTS MODEL.IFC.APPEARANCE.DIM "
        "MODEL.IFC.APPEARANCE.WEIGHT"
    )
    _require(cfg, at_least_one, lambda x: x >= 1, "at least 1")
    _require(cfg, not_negative, lambda x: 0 <= x < math.inf, "a number, 0 or more")
    _require(cfg, "MODEL.TIMM.ARGUMENTS", lambda x: all(map(_is_pair, x)), "[[name, value], ...]")
    _require(cfg, "MODEL.IFC.DROPOUT SOLVER.EMA_DECAY", lambda x: 0 <= x < 1, "0 or more and less than 1")
    _require(cfg, "DATALOADER.MAX_UNREADABLE", lambda x: 0 <= x <= 1, "a share, 0 to 1")

    expected = f"any of {', '.join(map(repr, CHECKPOINTED_PARTS))}"
    _require(cfg, "MODEL.IFC.CHECKPOINT_ACTIVATIONS", lambda parts: set(parts) <= set(CHECKPOINTED_PARTS), expected)
    if "backbone" in cfg.MODEL.IFC.CHECKPOINT_ACTIVATIONS:
        expected = "another with 'backbone' in MODEL.IFC.CHECKPOINT_ACTIVATIONS: it would count each batch twice"
        _require(cfg, "MODEL.RESNETS.NORM", lambda norm: norm not in ("BN", "SyncBN", "naiveSyncBN"), expected)
    _require(cfg, "MODEL.IFC.APPEARANCE.TEMPERATURE", lambda x: 0 < x < math.inf, "a number above 0")
    if not cfg.MODEL.IFC.APPEARANCE.DIM:
        expected = "False without a head to train (MODEL.IFC.APPEARANCE.DIM 0)"
        _require(cfg, "MODEL.IFC.APPEARANCE.ONLY", lambda x: not x, expected)
    _require(cfg, "MODEL.IFC.OVERSAMPLE_RATIO", lambda x: 1 <= x < math.inf, "a number, 1 or more")
    _require(cfg, "MODEL.IFC.IMPORTANCE_SAMPLE_RATIO", lambda x: 0 <= x <= 1, "a share, from 0 to 1")

    window, num_heads, solver = cfg.INPUT.SAMPLING_FRAME_NUM, cfg.MODEL.IFC.NHEADS, cfg.SOLVER
    expected = f"at most {window}, the frames of a window (INPUT.SAMPLING_FRAME_NUM): none can be left out between two"
    _require(cfg, "MODEL.IFC.CLIP_STRIDE", lambda x: x <= window, expected)
    expected = f"a multiple of MODEL.IFC.NHEADS, {num_heads}, and of 32 (group norm)"
    _require(cfg, "MODEL.IFC.HIDDEN_DIM", lambda x: x % num_heads == 0 and x % 32 == 0, expected)
    _require(cfg, "MODEL.PIXEL_MEAN", lambda x: len(x) == 3 and _are_within(x), "three numbers, one a channel")
    expected = "three numbers above 0, one a channel"
    _require(cfg, "MODEL.PIXEL_STD", lambda x: len(x) == 3 and _are_within(x, above=0), expected)
    if solver.CLIP_GRADIENTS.ENABLED:
        _require(cfg, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE", lambda x: x > 0, "more than 0")
    if world_size := solver.REFERENCE_WORLD_SIZE:
        expected = f"a multiple of SOLVER.REFERENCE_WORLD_SIZE, {world_size}"
        _require(cfg, "SOLVER.IMS_PER_BATCH", lambda x: x % world_size == 0, expected)
    num_datasets = len(cfg.DATASETS.TRAIN)
    expected = f"{num_datasets} numbers above 0, one for each of DATASETS.TRAIN, or none"
    _require(cfg, "DATASETS.TRAIN_RATIO", lambda x: len(x) in (0, num_datasets) and _are_within(x, above=0), expected)


def _check_tracker(cfg: CfgNode) -> None:
    """How windows are joined, of which most has no meaning without embeddings."""
    tracker, key = cfg.MODEL.IFC.TRACKER, "MODEL.IFC.TRACKER."
    not_negative = f"{key}MASK_WEIGHT {key}EMBEDDING_WEIGHT {key}EXEMPLARS {key}MEMORY_FRAMES {key}MEMORY_TRACKS"
    _require(cfg, not_negative, lambda x: 0 <= x < math.inf, "a number, 0 or more")
    _require(cfg, f"{key}SIMILARITY", lambda x: 0 <= x <= 1, "a number from 0 to 1")
    _require(cfg, f"{key}MOMENTUM", lambda x: 0 < x <= 1, "more than 0, and at most 1")
    if tracker.ASSOCIATION == "mask":
        _require(cfg, f"{key}MEMORY_FRAMES", lambda x: x == 0, f"0 with {key}ASSOCIATION 'mask', which has no memory")
    else:
        _require(cfg, f"{key}EMBEDDING_WEIGHT", lambda x: x > 0, f"more than 0 with {key}ASSOCIATION 'mask+embedding'")
    if tracker.MEMORY_FRAMES:
        _require(cfg, f"{key}MEMORY_TRACKS", lambda x: x > 0, f"1 or more with {key}MEMORY_FRAMES above 0")


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2


def _are_within(values: Sequence[Any], above: float = -math.inf, below: float = math.inf) -> bool:
    return all(type(value) in (int, float) and above < value < below for value in values)


def _check_input(cfg: CfgNode) -> None:
    """Augmentations, of which some values fit only some others."""
    inputs = cfg.INPUT
    expected = f"any of {', '.join(map(repr, EXTRA_AUGMENTATIONS))}"
    _require(cfg, "INPUT.AUGMENTATIONS", lambda names: all(name in EXTRA_AUGMENTATIONS for name in names), expected)
    _require(cfg, "INPUT.MOTION", _is_motion, "[degrees up to 180, share of the frame from 0 to 1, factor from 1]")
    most = 1 if inputs.PSEUDO_CLIP == "smooth" else 0
    expected = "a probability" if most else "0 with INPUT.PSEUDO_CLIP 'independent'"
    _require(cfg, "INPUT.COPY_PASTE", lambda x: 0 <= x <= most, expected)
    expected = "whole numbers of pixels, 0 or more"
    _require(cfg, "INPUT.MIN_SIZE_TRAIN", lambda x: x and _are_within(x, above=-1) and _are_whole(x), expected)
    if inputs.MIN_SIZE_TRAIN_SAMPLING.startswith("range"):
        expected = f"(smallest, largest) for {inputs.MIN_SIZE_TRAIN_SAMPLING!r}"
        _require(cfg, "INPUT.MIN_SIZE_TRAIN", lambda x: len(x) == 2 and x[0] <= x[1], expected)
    if inputs.CROP.ENABLED:
        if inputs.CROP.TYPE.startswith("relative"):
            fits, expected = (lambda x: _are_within(x, above=0, below=math.nextafter(1, 2))), "fractions, at most 1"
        else:
            fits, expected = (lambda x: _are_within(x, above=0) and _are_whole(x)), "whole numbers of pixels"
        _require(cfg, "INPUT.CROP.SIZE", lambda x: len(x) == 2 and fits(x), f"two {expected}")
        if inputs.CROP.TYPE == "absolute_range":
            _require(cfg, "INPUT.CROP.SIZE", lambda x: x[0] <= x[1], "the smallest number of pixels, then the largest")
        _require(cfg, "INPUT.REDUCED_DECODE", lambda x: not x, "False with INPUT.CROP.ENABLED")


def _is_motion(values: Sequence[Any]) -> bool:
    return len(values) == 3 and _are_within(values) and 0 <= values[0] <= 180 and 0 <= values[1] <= 1 <= values[2]


def _are_whole(values: Sequence[float]) -> bool:
    return all(value == int(value) for value in values)


def _check_expected_results(cfg: CfgNode) -> None:
    if not cfg.TEST.EXPECTED_RESULTS:
        return
    names = list(cfg.DATASETS.TEST)
    _require(cfg, "TEST.EXPECTED_RESULTS", lambda _: len(names) == 1, f"none with {len(names)} sets in DATASETS.TEST")
    tasks = ["segm"] if is_video_dataset(names[0]) else ["bbox", "segm"]
    for entry in cfg.TEST.EXPECTED_RESULTS:
        if not isinstance(entry, list | tuple) or len(entry) != 4 or entry[0] not in tasks:
            expected = f"[task, metric, value, tolerance] with a task of {tasks} for data set '{names[0]}'"
            raise ValueError(f"TEST.EXPECTED_RESULTS: found {entry!r}, expected {expected}")


def _check_device(cfg: CfgNode) -> None:
    try:
        device = torch.device(cfg.MODEL.DEVICE)
    except RuntimeError as error:
        raise ValueError(f"MODEL.DEVICE: found {cfg.MODEL.DEVICE!r}, expected 'cuda' or 'cpu'") from error
    is_gpu = device.type == "cuda"
    num_gpus = torch.cuda.device_count() if is_gpu and torch.cuda.is_available() else 0
    if is_gpu and (device.index or 0) >= num_gpus:
        raise ValueError(
            f"MODEL.DEVICE: found {cfg.MODEL.DEVICE!r}, but {num_gpus or 'no'} GPU is visible; add MODEL.DEVICE cpu to "
            "run on the CPU"
        )
    if is_gpu:
        expected = "another on this GPU, which has no bfloat16"
        _require(cfg, "MODEL.IFC.PRECISION", lambda x: x != "bfloat16" or torch.cuda.is_bf16_supported(), expected)
