# SPDX-License-Identifier: Apache-2.0
"""Lets a program use the parts of `ifc` that need no model where torch and detectron2 are not installed.

`import ifc` registers the model with detectron2, and so does the import of any of its modules, which runs the package's
own first. After `import bare_ifc` the package is an empty one in the same folder, and its modules load what they
themselves need. Where `ifc` is loaded already it stays.
"""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

if "ifc" not in sys.modules:
    _spec = importlib.machinery.ModuleSpec("ifc", loader=None, is_package=True)
    _spec.submodule_search_locations = [str(Path(__file__).resolve().parents[1] / "projects" / "IFC" / "ifc")]
    sys.modules["ifc"] = importlib.util.module_from_spec(_spec)
