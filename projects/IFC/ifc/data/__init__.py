# SPDX-License-Identifier: Apache-2.0
"""Data sets and everything between their files and a training or test sample."""

import detectron2.modeling  # noqa: F401 - first, so that ifc registers while nothing of it is half imported

from .dataset_dicts import load_ytvis_json, register_ytvis_instances
from .image_mapper import CocoClipDatasetMapper
from .loaders import build_test_loader, build_train_loader
from .mapper import YTVISDatasetMapper

__all__ = [
    "CocoClipDatasetMapper",
    "YTVISDatasetMapper",
    "build_test_loader",
    "build_train_loader",
    "load_ytvis_json",
    "register_ytvis_instances",
]
