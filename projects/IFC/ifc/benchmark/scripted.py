# SPDX-License-Identifier: Apache-2.0
"""A network that reports as many instances as it is told: one of random weights finds nothing that can be tracked."""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..inference import InferenceNetwork
from ..modeling import ClipPrediction, FrameFeatures
from ..regions import region
from ..ytvis.datasets.shapes import MIN_IMAGE_SIDE, render_video
from .runs import UNTIMED

CLASSES_OF_AN_INSTANCE = 6  # the last one's probability is 1 / 63, above the default APPLY_CLS_THRES of 0.01


class ScriptedNetwork:
    """An `InferenceNetwork` whose predictions are replaced after they were computed in full.

    N of the queries, spread over all, report an instance on every frame, the others "no object". Each is a shape, the
    same in every window, so that tracker and encoder have N instances of a realistic size from the first frame to the
    last; that they do not move is nothing to either. Predictions are overwritten where they are, and so take no memory
    of their own; the time is in no number. The device is not waited for: the time of the network would be in none, too.
    """

    def __init__(self, network: InferenceNetwork, num_instances: int):
        self._network = network
        self._num_instances = num_instances
        self._script: tuple[Tensor, Tensor, Tensor] | None = None  # on the device, see `_written`

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def predict_clips(self, features: FrameFeatures, num_frames: int) -> ClipPrediction:
        """See `InferenceNetwork.predict_clips`."""
        prediction = self._network.predict_clips(features, num_frames)
        with region(UNTIMED):
            logits, masks = prediction.pred_logits, prediction.pred_masks  # (B, Q, C + 1), (B, Q, T, h, w)
            self._script = self._script or self._written(logits, masks)
            queries, wanted_logits, wanted_masks = self._script
            logits.copy_(wanted_logits)
            masks[:, queries] = wanted_masks
        return prediction

    def _written(self, logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The N queries that report an instance, the class logits (Q, C + 1) and those queries' masks (N, 1, h, w)."""
        queries = torch.arange(self._num_instances) * masks.shape[1] // self._num_instances
        wanted_logits = class_logits(queries, logits.shape[1], logits.shape[2] - 1)
        wanted_masks = shape_logits(self._num_instances, masks.shape[-2:])[:, None]
        return queries.to(masks.device), wanted_logits.to(logits), wanted_masks.to(masks)


def shape_logits(num_instances: int, size: tuple[int, int], seed: int = 0) -> Tensor:
    """Mask logits of N different shapes, (N, h, w) float32 between -10 and 10, each positive somewhere."""
    height, width = (max(4 * side, MIN_IMAGE_SIDE) for side in size)
    videos = (render_video(seed, height, width, 1, num_instances=1, video_index=i) for i in range(num_instances))
    masks = torch.from_numpy(np.stack([video.masks[0] for video in videos]))  # (N, 1, H, W)
    cover = F.interpolate(masks.float(), size=tuple(size), mode="area")[:, 0]
    return 20 * cover / cover.amax((1, 2), keepdim=True) - 10


def class_logits(queries: Tensor, num_queries: int, num_classes: int) -> Tensor:
    """Class logits (Q, C + 1): for `queries`, (N,) indices, halving probabilities of up to `CLASSES_OF_AN_INSTANCE`
    classes, a different one first each time; for all other queries "no object"."""
    num_labels = min(CLASSES_OF_AN_INSTANCE, num_classes)
    logits = torch.full((num_queries, num_classes + 1), -20.0)
    logits[:, -1] = 20.0
    logits[queries, -1] = -20.0
    labels = (torch.arange(len(queries))[:, None] + torch.arange(num_labels)) % num_classes  # (N, labels)
    logits[queries[:, None], labels] = -math.log(2) * torch.arange(num_labels)
    return logits
