#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`ifc install-detectron2`, also where nothing of IFC is installed yet."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    package = Path(__file__).resolve().parents[1] / "projects" / "IFC" / "ifc"
    runpy.run_path(str(package / "cli" / "install_detectron2.py"), run_name="__main__")
