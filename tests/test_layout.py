# SPDX-License-Identifier: Apache-2.0
"""The layout of the package: its relative imports, and that it works inside a detectron2 tree."""

import ast
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import detectron2

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "projects" / "IFC" / "ifc"
without_caches = shutil.ignore_patterns("__pycache__")


def test_imports_of_its_own_are_relative() -> None:
    absolute = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            absolute += [f"{path}:{node.lineno}" for name in names if name.split(".")[0] == "ifc"]
    assert absolute == []


def test_all_functions_have_type_hints() -> None:
    """As py.typed promises."""
    bare = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                arguments = [
                    x for x in (*named, node.args.vararg, node.args.kwarg) if x and x.arg not in ("self", "cls")
                ]
                hints = [argument.annotation for argument in arguments]
                if None in hints or (node.returns is None and node.name != "__init__"):
                    bare.append(f"{path}:{node.lineno}")
    assert bare == []


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
