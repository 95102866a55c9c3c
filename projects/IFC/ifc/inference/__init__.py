# SPDX-License-Identifier: Apache-2.0
"""Inference: a network's windows and images → tracks and instances."""

import detectron2.modeling  # noqa: F401 - first, so that ifc registers while nothing of it is half imported

from .accelerated_network import COMPILE_MODES, CUDA_GRAPH_MODES, PRECISIONS, InferenceNetwork
from .live_instances import FinishedInstances
from .onnx_network import OnnxNetwork
from .results import FrameMasks, Track, VideoPrediction
from .segmented_frame import SegmentedFrame
from .settings import ASSOCIATIONS, AssociationSettings, InferenceSettings
from .video import StreamOutput, VideoInference

__all__ = [
    "ASSOCIATIONS",
    "COMPILE_MODES",
    "CUDA_GRAPH_MODES",
    "PRECISIONS",
    "AssociationSettings",
    "FinishedInstances",
    "FrameMasks",
    "InferenceNetwork",
    "InferenceSettings",
    "OnnxNetwork",
    "SegmentedFrame",
    "StreamOutput",
    "Track",
    "VideoInference",
    "VideoPrediction",
]
