# SPDX-License-Identifier: Apache-2.0
"""How far the device is from the reference numbers, see docs/golden.md, in each way of running the network."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from pycocotools import mask as coco_mask

from ...engine import build_model, setup_config
from ...inference import InferenceNetwork, VideoInference
from ...meta_arch import Ifc
from ..golden_weights import fill_with_recipe
from .settings import NotAvailable, Parts, Row, Rows, Settings
from .variants import VARIANTS, Variant, as_in

CLIPS = ("eval_r50", "eval_r101", "eval_prenorm")
VIDEOS = ("video_short", "video_singlecls", "video_stride1", "video_stride3")


def parts(settings: Settings) -> Parts:
    """All variants against the same numbers.

    Raises:
        NotAvailable: there are no numbers.
    """
    folder = Path(settings.golden)
    if not (folder / f"{VIDEOS[0]}.json").is_file():
        raise NotAvailable(f"no reference numbers in {folder}, expected tests/golden of a checkout (--golden)")
    device, models = torch.device(settings.device), cache(partial(_model, folder, settings.device))
    clips, videos = (CLIPS[:1], VIDEOS[:1]) if settings.is_toy else (CLIPS, VIDEOS)

    def distances(name: str) -> Rows:
        variant = VARIANTS[name]
        with as_in(variant, device), torch.no_grad():
            if variant.compile_mode:  # anew for each model
                return {name: _clip_distances(folder, CLIPS[:1], models, variant)}
            numbers = _clip_distances(folder, clips, models, variant)
            return {name: numbers | _video_distances(folder, videos, models, variant)}

    return {name: lambda name=name: distances(name) for name in VARIANTS}


def _model(folder: Path, device: str, name: str) -> Ifc:
    """The model of a golden file, whose first option is the name of a published config."""
    weights = {}
    if name in VIDEOS:
        golden = json.loads((folder / f"{name}.json").read_text())
        opts, weights = golden["opts"], {key: golden[key] for key in ("no_object_bias", "class_scale")}
    else:
        with np.load(folder / f"{name}.npz") as arrays:
            opts = json.loads(str(arrays["opts"]))
    model = build_model(setup_config(opts[0], ["MODEL.WEIGHTS", "", *opts[1:], "MODEL.DEVICE", device])).eval()
    fill_with_recipe(model, **weights)
    return model


def _inference(model: Ifc, variant: Variant) -> VideoInference:
    """That of a model, in another way."""
    settings = replace(model.inference.settings, precision=variant.precision, compile_mode=variant.compile_mode)
    return VideoInference(InferenceNetwork(model.detr, model.normalize, settings), settings)


def _clip_distances(folder: Path, names: Sequence[str], models: Callable[[str], Ifc], variant: Variant) -> Row:
    """The largest difference of a logit."""
    logits, masks = [], []
    for name in names:
        network = _inference(models(name), variant).network
        network.prepare()
        with np.load(folder / f"{name}.npz") as golden:
            frames = torch.from_numpy(golden["frames"])
            prediction = network.predict_clips(network.encode_frames(frames), len(frames))
            logits.append(_farthest(prediction.pred_logits.float().cpu(), golden["pred_logits"]))
            masks.append(_farthest(prediction.pred_masks.float().cpu(), golden["pred_masks"]))
    return {"class logits differ by": max(logits), "mask logits differ by": max(masks)}


def _video_distances(folder: Path, names: Sequence[str], models: Callable[[str], Ifc], variant: Variant) -> Row:
    """From frames to tracks; scores and masks are those of the videos whose tracks are the same."""
    scores, ious = [], []
    for name in names:
        golden = json.loads((folder / f"{name}.json").read_text())
        with np.load(folder / f"{name}.npz") as arrays:
            frames = torch.from_numpy(arrays["frames"])
        result = _inference(models(name), variant)(frames, tuple(golden["out_size"]))
        if result.labels == golden["labels"]:
            scores.append(_farthest(result.scores, golden["scores"]))
            ious += [_iou(*pair) for pair in zip(result.masks, golden["masks"], strict=True)]
    row: Row = {"videos with the same tracks": f"{len(scores)} of {len(names)}"}
    if scores:
        row |= {"scores differ by": max(scores), "least IoU": min(ious), "mean IoU": sum(ious) / len(ious)}
    return row


def _farthest(found: object, expected: object) -> float:
    return float(np.abs(np.subtract(found, expected)).max())


def _iou(found: Sequence[dict | None], expected: Sequence[dict | None]) -> float:
    """That of two tracks' masks, over all frames; 1 if both are empty."""
    shared = united = 0
    for pair in zip(found, expected, strict=True):
        areas = [0 if rle is None else int(coco_mask.area(rle)) for rle in pair]
        both = 0 if None in pair else int(coco_mask.area(coco_mask.merge(list(pair), intersect=True)))
        shared, united = shared + both, united + sum(areas) - both
    return shared / united if united else 1.0
