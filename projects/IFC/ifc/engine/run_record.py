# SPDX-License-Identifier: Apache-2.0
"""What was started in an output folder, when, and with which code."""

import datetime
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm

from ..version import package_version
from ..ytvis.files import read_json, write_list

RUNS_FILE = "runs.json"
PACKAGES = ("detectron2-ifc", "detectron2", "torch", "torchvision")


def record_start(cfg: CfgNode) -> None:
    """Add this start to OUTPUT_DIR/runs.json, a list of all starts there, the first one first.

    Each has the time, the command line, the versions of what computes, the device, the number of processes, the seed,
    and the state of git where the code lies. Nothing tells on which machine it was, but for paths on the command line.

    Raises:
        ValueError: what is there is no json list.
    """
    path = os.path.join(cfg.OUTPUT_DIR, RUNS_FILE)
    earlier = read_json(path) if os.path.exists(path) else []
    if not isinstance(earlier, list):
        raise ValueError(f"{path}: found {type(earlier).__name__}, expected a list of the starts in this folder")
    device = torch.device(cfg.MODEL.DEVICE)
    start = {
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join([sys.executable, *sys.argv]),
        "versions": {
            "python": sys.version.split()[0],
            **{name: package_version(name) for name in PACKAGES},
            "cuda": torch.version.cuda,
        },
        "git": git_state(Path(__file__)),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processes": comm.get_world_size(),
        "seed": cfg.SEED,
    }
    write_list(path, [*earlier, start])


def git_state(file: Path) -> dict[str, Any] | None:
    """The commit that a file is of, and whether tracked files of its repository differ from it; None without git."""

    def git(*words: str) -> str:
        command = ["git", "--no-optional-locks", *words]
        return subprocess.run(command, cwd=file.parent, check=True, capture_output=True, text=True, timeout=20).stdout

    try:
        git("ls-files", "--error-unmatch", file.name)  # or it is a package that is installed inside of some repository
        changed = git("status", "--porcelain", "--untracked-files=no")
        return {"commit": git("rev-parse", "HEAD").strip(), "has_changes": bool(changed)}
    except (OSError, subprocess.SubprocessError):
        return None
