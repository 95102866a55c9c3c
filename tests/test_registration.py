# SPDX-License-Identifier: Apache-2.0
"""Importing ifc, before and after detectron2 and from any of its modules: what is registered and what is printed."""

import subprocess
import sys

import pytest

CHECK = """
from detectron2.data import DatasetCatalog
from detectron2.modeling import META_ARCH_REGISTRY
assert META_ARCH_REGISTRY.get("Ifc").__module__ == "ifc.meta_arch" and "shapes_val" in DatasetCatalog
"""


def run(program: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    "imports",
    [
        "import ifc, detectron2.layers",
        "from ifc import Ifc, VideoSegmenter",
        "import ifc.data.mapper",
        "import ifc.meta_arch",
        "import ifc.modeling.network",
    ],
)
def test_registers_as_soon_as_detectron2_is_loaded_and_prints_nothing(imports):
    ended = run(imports + CHECK)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_registers_at_once_where_detectron2_is_loaded():
    ended = run(f"import warnings; warnings.simplefilter('ignore'); import detectron2.layers, ifc{CHECK}")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_warnings_of_other_code_are_printed(tmp_path):
    program = tmp_path / "program.py"  # as scripting needs its source
    program.write_text("import ifc.config, torch\n\n\ndef one():\n    return 1\n\n\ntorch.jit.script(one)\n")
    ended = subprocess.run([sys.executable, "-W", "default", program], capture_output=True, text=True, timeout=300)
    assert "`torch.jit.script` is deprecated" in ended.stderr


def test_without_detectron2_torch_is_not_loaded():
    ended = run("import sys, ifc.ytvis.format, ifc.video.reading, ifc.cli.main; assert 'torch' not in sys.modules")
    assert (ended.returncode, ended.stderr) == (0, "")
