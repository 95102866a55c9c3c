# SPDX-License-Identifier: Apache-2.0
"""IFC for detectron2: video instance segmentation with Inter-frame Communication Transformers (NeurIPS 2021).

Importing it registers the meta-architecture `Ifc` and the data sets of `ifc.data.builtin`.
"""

from .config import add_ifc_config
from .data import builtin as _builtin  # noqa: F401 - registers the data sets
from .meta_arch import Ifc

__all__ = ["Ifc", "add_ifc_config"]
