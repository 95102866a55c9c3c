# SPDX-License-Identifier: Apache-2.0
"""The loop around it all: optimizer, checkpoints, processes, trainer."""

import detectron2.modeling  # noqa: F401 - first, so that ifc registers while nothing of it is half imported

from .checkpoint import IfcCheckpointer, WholeCheckpointer
from .config_checks import check_config
from .config_file import build_model, setup_config
from .launch import Processes, launch
from .optimizer import build_optimizer
from .trainer import Trainer

__all__ = [
    "IfcCheckpointer",
    "Processes",
    "Trainer",
    "WholeCheckpointer",
    "build_model",
    "build_optimizer",
    "check_config",
    "launch",
    "setup_config",
]
