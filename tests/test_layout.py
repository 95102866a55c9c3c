# SPDX-License-Identifier: Apache-2.0
"""The layout of the package: its floors, its relative imports, and that it works inside a detectron2 tree."""

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import detectron2
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "projects" / "IFC" / "ifc"
without_caches = shutil.ignore_patterns("__pycache__")


def lint_imports(root: Path) -> subprocess.CompletedProcess:
    """Run import-linter on the copy of the package in `root`."""
    command = [Path(sysconfig.get_path("scripts")) / "lint-imports", "--no-cache", "--no-logo"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with a copy of the package and of the contract."""
    shutil.copytree(PACKAGE, tmp_path / "ifc", ignore=without_caches)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_floors_hold(copy: Path) -> None:
    result = lint_imports(copy)
    assert result.returncode == 0, result.stdout
    assert "2 kept, 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("modeling/network.py", "from ..training import losses", "Imports point one way BROKEN"),
        ("modeling/network.py", "from .. import config", "Imports point one way BROKEN"),
        ("modeling/network.py", "import ifc", "Imports point one way BROKEN"),
        ("config.py", "from . import modeling", "Imports point one way BROKEN"),
        ("training/matcher.py", "from ..inference import tracker", "Imports point one way BROKEN"),
        ("inference/tracker.py", "from ..training import matcher", "Imports point one way BROKEN"),
        ("data/mapper.py", "from ..evaluation import video_ap", "Imports point one way BROKEN"),
        ("evaluation/video_ap.py", "from ..data import ytvis", "Imports point one way BROKEN"),
        ("visualization/__init__.py", "from .. import inference", "Imports point one way BROKEN"),
        ("data/mapper.py", "from .. import meta_arch", "Imports point one way BROKEN"),
        ("meta_arch.py", "from . import engine", "Imports point one way BROKEN"),
        ("meta_arch.py", "from . import data", "nothing else BROKEN"),
        ("helpers.py", "", "Imports point one way BROKEN"),
    ],
)
def test_floors_refuse(copy: Path, module: str, line: str, broken: str) -> None:
    with (copy / "ifc" / module).open("a") as file:
        file.write(f"\n{line}\n")
    result = lint_imports(copy)
    assert result.returncode != 0
    assert broken in result.stdout


def test_imports_of_its_own_are_relative() -> None:
    absolute = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            absolute += [f"{path}:{node.lineno}" for name in names if name.split(".")[0] == "ifc"]
    assert absolute == []


def test_works_inside_a_detectron2_tree(tmp_path: Path) -> None:
    tree = tmp_path / "detectron2"
    shutil.copytree(Path(detectron2.__file__).parent, tree, ignore=without_caches)
    shutil.copytree(PACKAGE, tree / "projects" / "ifc", ignore=without_caches)
    code = """
        import importlib, pkgutil, sys
        sys.modules["ifc"] = None  # so that importing it fails
        import detectron2.projects.ifc as ifc
        from detectron2.data import DatasetCatalog
        from detectron2.modeling import META_ARCH_REGISTRY

        assert META_ARCH_REGISTRY.get("Ifc").__module__ == "detectron2.projects.ifc.meta_arch"
        assert "ytvis_2019_train" in DatasetCatalog.list()
        for module in pkgutil.walk_packages(ifc.__path__, ifc.__name__ + "."):
            importlib.import_module(module.name)
        print(ifc.__file__)
        """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(tree / "projects" / "ifc" / "__init__.py")
