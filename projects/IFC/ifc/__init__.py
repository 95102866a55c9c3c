# SPDX-License-Identifier: Apache-2.0
"""IFC for detectron2: video instance segmentation with Inter-frame Communication Transformers (NeurIPS 2021).

Importing it registers the meta-architecture `Ifc` and the data sets of `ifc.data.catalog`: at once where detectron2 is
loaded, else as soon as it is. So `ifc.ytvis`, `ifc.video` and the programs' --help need neither torch nor detectron2.
"""

import warnings
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from wrapt import when_imported

if TYPE_CHECKING:
    from .config import add_ifc_config
    from .meta_arch import Ifc
    from .predictor import VideoSegmenter
    from .pretrained import load

_HOMES = {
    "Ifc": "meta_arch",
    "VideoSegmenter": "predictor",
    "add_ifc_config": "config",
    "load": "pretrained",
    "__version__": "version",
}

__all__ = ["Ifc", "VideoSegmenter", "add_ifc_config", "load"]


@when_imported("detectron2")
def _register(_: ModuleType) -> None:
    # detectron2 v0.5 was written for torch 1.9. What it uses that has come out of fashion since, users cannot change.
    for kind in (FutureWarning, UserWarning):
        warnings.filterwarnings("ignore", r".*\bdeprecated\b", kind, r"detectron2\.(?!projects\.)")
    with warnings.catch_warnings():  # these, of what detectron2 and fvcore script, have torch's own address
        warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", FutureWarning)
        import_module("detectron2.modeling")
    for name in ("data.catalog", "meta_arch"):  # either may itself be what is loading detectron2
        import_module(f".{name}", __name__)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
