# SPDX-License-Identifier: Apache-2.0
"""IFC for detectron2: video instance segmentation with Inter-frame Communication Transformers (NeurIPS 2021).

Importing it registers the meta-architecture `Ifc` and the data sets of `ifc.data.catalog`: at once where detectron2 is
loaded, else as soon as it is. So `ifc.ytvis`, `ifc.video` and the programs' --help need neither torch nor detectron2.
"""

from importlib import import_module
from typing import Any

from wrapt import when_imported

_HOMES = {"Ifc": "meta_arch", "VideoSegmenter": "predictor", "add_ifc_config": "config"}

__all__ = ["Ifc", "VideoSegmenter", "add_ifc_config"]

# By module, not by name: such a module may itself be what is loading detectron2.
when_imported("detectron2.data")(lambda _: import_module(".data.catalog", __name__))
when_imported("detectron2.modeling")(lambda _: import_module(".meta_arch", __name__))


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
