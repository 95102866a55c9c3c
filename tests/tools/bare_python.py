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
        if name.partition(".")[0] in os.environ["BLOCKED"].split():
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Blocker())
"""


def run_tool(tool: str | Path, folder: Path, *arguments: object, blocked: str = "") -> subprocess.CompletedProcess:
    """Run `tool` of tools/ in `folder`, without torch, detectron2 and what else is `blocked`, on an ASCII terminal."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(BLOCKER)
    environment = {
        "PYTHONPATH": f"{site}{os.pathsep}{PACKAGE}",
        "PYTHONIOENCODING": "ascii",
        "OMP_NUM_THREADS": "1",
        "BLOCKED": f"torch torchvision detectron2 fvcore {blocked}",
    }
    command = [sys.executable, str(TOOLS / tool), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
