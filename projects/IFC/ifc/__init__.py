# SPDX-License-Identifier: Apache-2.0
"""IFC for detectron2: video instance segmentation with Inter-frame Communication Transformers (NeurIPS 2021)."""

from .config import add_ifc_config

__all__ = ["add_ifc_config"]
