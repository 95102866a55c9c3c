# SPDX-License-Identifier: Apache-2.0
"""The network: frames in, class logits and mask logits out. Knows no config, no data set and no file."""

import detectron2.modeling  # noqa: F401 - first, so that ifc registers while nothing of it is half imported

from .appearance import AppearanceHead
from .mask_head import MaskHead
from .network import ClipPrediction, FrameFeatures, IfcNetwork, LayerPredictions
from .normalization import FrameNormalizer
from .timm_backbone import TimmBackbone
from .transformer import LayerSettings, Transformer

__all__ = [
    "AppearanceHead",
    "ClipPrediction",
    "FrameFeatures",
    "FrameNormalizer",
    "IfcNetwork",
    "LayerPredictions",
    "LayerSettings",
    "MaskHead",
    "TimmBackbone",
    "Transformer",
]
