# SPDX-License-Identifier: Apache-2.0
"""Data sets and everything between their files and a training or test sample."""

from .build import build_test_loader, build_train_loader
from .mapper import CocoClipDatasetMapper, YTVISDatasetMapper
from .ytvis import load_ytvis_json, register_ytvis_instances

__all__ = [
    "CocoClipDatasetMapper",
    "YTVISDatasetMapper",
    "build_test_loader",
    "build_train_loader",
    "load_ytvis_json",
    "register_ytvis_instances",
]
