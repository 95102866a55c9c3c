# SPDX-License-Identifier: Apache-2.0
"""Runs a tool as a user calls it, in a Python in which some libraries cannot be imported."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS, PACKAGE = ROOT / "tools", ROOT / "projects" / "IFC"
BLOCKER = """\
import os
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in os.environ["BLOCKED"].split():
            raise ModuleNotFoundError(f"{name} is not there", name=top)

sys.meta_path.insert(0, Blocker())
"""


def run_tool(
    tool: str | Path, folder: Path, *arguments: object, blocked: str = "", unblocked: str = ""
) -> subprocess.CompletedProcess:
    """Run `tool` of tools/, or `ifc`, in `folder`, without torch, detectron2 and what else is `blocked` but for what is
    `unblocked`, on an ASCII terminal."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(BLOCKER)
    missing = {"torch", "torchvision", "detectron2", "fvcore", *blocked.split()} - {*unblocked.split()}
    environment = {
        "PYTHONPATH": f"{site}{os.pathsep}{PACKAGE}",
        "PYTHONIOENCODING": "ascii",
        "OMP_NUM_THREADS": "1",
        "BLOCKED": " ".join(missing),
    }
    program = ["-m", "ifc"] if tool == "ifc" else [str(TOOLS / tool)]
    command = [sys.executable, *program, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
