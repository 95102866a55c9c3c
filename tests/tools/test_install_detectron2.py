# SPDX-License-Identifier: Apache-2.0
"""tools/install_detectron2.py: what it changes, where it takes sources from, what it installs, how it fails.

A miniature detectron2 tree stands for the real one, so no test needs a network; the last tests look at the detectron2
that this environment holds.
"""

import base64
import csv
import hashlib
import importlib
import importlib.metadata
import os
import subprocess
import sysconfig
import tarfile
import textwrap
import venv
import zipfile
from pathlib import Path

import detectron2
import pytest
import torch
from tools.bare_python import TOOLS

from ifc.cli import install_detectron2 as tool

MINIATURE = {
    "LICENSE": "Apache License\n",
    # The real one needs torch and a compiler's headers; none of it may run.
    "setup.py": """
        import torch
        from torch.utils.cpp_extension import CUDA_HOME, CppExtension, CUDAExtension
        open("setup_was_run", "w").close()
        PROJECTS = {
            "detectron2.projects.point_rend": "projects/PointRend/point_rend",
        }
        raise SystemExit("setup.py was run")
        """,
    "detectron2/__init__.py": '__version__ = "0.6"\n',
    "detectron2/structures/__init__.py": "",
    "detectron2/structures/masks.py": """
        import numpy as np

        KINDS = [np.array([1]).astype(kind).dtype for kind in (np.bool, np.int, np.float, np.float32)]
        TEXT = np.str
        """,
    "detectron2/data/__init__.py": "",
    "detectron2/data/transform.py": """
        from PIL import Image

        def extent(interp=Image.LINEAR):
            return interp
        """,
    "detectron2/model_zoo/__init__.py": "",
    "detectron2/model_zoo/model_zoo.py": """
        import os
        import pkg_resources

        def get_config_file(config_path):
            return pkg_resources.resource_filename(
                "detectron2.model_zoo", os.path.join("configs", config_path)
            )
        """,
    "detectron2/model_zoo/configs/stale.yaml": "left by an earlier build\n",
    "detectron2/layers/__init__.py": "from .nms import nms_rotated\n",
    "detectron2/layers/nms.py": """
        import torch
        from detectron2 import _C

        def nms_rotated(boxes):
            return _C.nms_rotated(boxes)

        def batched(boxes):
            return torch.ops.detectron2.nms_rotated(boxes)
        """,
    "detectron2/layers/csrc/vision.cpp": "int main() {}\n",
    "detectron2/_C.cpython-38-x86_64-linux-gnu.so": "of an earlier build\n",
    "detectron2/projects/__init__.py": "",
    "projects/PointRend/point_rend/__init__.py": "from .head import NAME\n",
    "projects/PointRend/point_rend/head.py": 'NAME = "point"\n',
    "projects/PointRend/train_net.py": "",
    "configs/Base.yaml": "VERSION: 2\n",
    "configs/COCO/mask_rcnn.yaml": "_BASE_: ../Base.yaml\n",
    "configs/common/optim.py": "LR = 0.02\n",
    "configs/README.md": "",
}


def write_miniature(root: Path) -> Path:
    for name, text in MINIATURE.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_miniature(tmp_path / "detectron2-src")


@pytest.fixture
def no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pip that knows one folder and nothing else."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = np.bool, np.bool_, np.int8, np.float32, np.str_", "x = bool, np.bool_, np.int8, np.float32, np.str_"),
        ("f(np.int, dtype=np.float, k=np.str('é'))", "f(int, dtype=float, k=str('é'))"),
        ("x = self.np.int, xnp.int", "x = self.np.int, xnp.int"),
        ("x = f(PIL.Image.LINEAR, Image.BILINEAR)", "x = f(PIL.Image.BILINEAR, Image.BILINEAR)"),
    ],
)
def test_what_numpy_and_pillow_have_removed_is_replaced(tmp_path: Path, before: str, after: str) -> None:
    (tmp_path / "file.py").write_text(before, encoding="utf-8")
    assert tool.python_files(tmp_path, "a/b") == {"a/b/file.py": after}


@pytest.mark.parametrize(
    "use",
    [
        "import pkg_resources\npkg_resources.require('torch')",
        "import pkg_resources as pr",
        "from pkg_resources import parse_version",
    ],
)
def test_a_use_of_pkg_resources_that_has_no_stand_in_is_named(tmp_path: Path, use: str) -> None:
    (tmp_path / "zoo.py").write_text(use)
    with pytest.raises(SystemExit, match=r"zoo\.py: found a use of pkg_resources"):
        tool.python_files(tmp_path, "a")


def test_wheel_holds_what_setup_py_would_install(tree: Path, tmp_path: Path) -> None:
    wheel = tool.write_wheel(*tool.read_tree(tree), tmp_path)
    assert wheel.name == "detectron2-0.6+ifc.pure-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read("detectron2-0.6+ifc.pure.dist-info/METADATA").decode()
        record = list(csv.reader(archive.read("detectron2-0.6+ifc.pure.dist-info/RECORD").decode().splitlines()))
        for name, digest, size in record[:-1]:
            data = archive.read(name)
            assert digest == "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            assert int(size) == len(data)
    assert sorted(row[0] for row in record) == sorted(names)
    assert sorted(name for name in names if ".dist-info/" not in name) == [
        "detectron2/_C.py",
        "detectron2/__init__.py",
        "detectron2/_pkg_resources.py",
        "detectron2/data/__init__.py",
        "detectron2/data/transform.py",
        "detectron2/layers/__init__.py",
        "detectron2/layers/nms.py",
        "detectron2/model_zoo/__init__.py",
        "detectron2/model_zoo/configs/Base.yaml",
        "detectron2/model_zoo/configs/COCO/mask_rcnn.yaml",
        "detectron2/model_zoo/configs/common/optim.py",
        "detectron2/model_zoo/model_zoo.py",
        "detectron2/projects/__init__.py",
        "detectron2/projects/point_rend/__init__.py",
        "detectron2/projects/point_rend/head.py",
        "detectron2/structures/__init__.py",
        "detectron2/structures/masks.py",
    ]
    assert "Name: detectron2\nVersion: 0.6+ifc.pure\n" in metadata
    assert not any(unwanted in metadata for unwanted in ("black", "pydot", "future", "iopath>=0.1.7", "<0.1.10"))
    assert not (tree / "setup_was_run").exists()


def test_tree_of_a_source_distribution_has_its_configs_inside(tree: Path, tmp_path: Path) -> None:
    (tree / "configs").rename(tmp_path / "elsewhere")
    _, files = tool.read_tree(tree)
    assert [name for name in files if "/configs/" in name] == ["detectron2/model_zoo/configs/stale.yaml"]


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The Python of a fresh virtual environment that sees this one's packages behind its own."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    command = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site_packages = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    (Path(site_packages) / "this_one.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def run_tool(python: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([python, TOOLS / "install_detectron2.py", *arguments], capture_output=True, text=True)


def test_install_from_a_checkout(environment: Path, tree: Path, no_index: Path) -> None:
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}

    left_alone = run_tool(environment, "--source", str(tree))
    assert left_alone.returncode == 0, left_alone.stderr
    assert left_alone.stdout.startswith(f"detectron2 {detectron2.__version__} in {Path(detectron2.__file__).parent}")

    forced = run_tool(environment, "--source", str(tree), "--force")
    assert forced.returncode == 0, forced.stderr
    assert forced.stdout.startswith(f"detectron2 0.6+ifc.pure is installed in {environment.parents[1]}")

    check = """
        import importlib.metadata, torch
        from detectron2 import layers, model_zoo
        from detectron2.data import transform
        from detectron2.layers import nms
        from detectron2.model_zoo import model_zoo
        from detectron2.projects import point_rend
        from detectron2.structures import masks
        from PIL import Image
        assert importlib.metadata.version("detectron2") == "0.6+ifc.pure"
        assert [str(kind) for kind in masks.KINDS] == ["bool", "int64", "float64", "float32"] and masks.TEXT is str
        assert transform.extent() == Image.BILINEAR
        assert open(model_zoo.get_config_file("COCO/mask_rcnn.yaml")).read() == "_BASE_: ../Base.yaml\\n"
        assert point_rend.NAME == "point"
        for op in (nms.nms_rotated, nms.batched):
            try:
                op(None)
            except RuntimeError as error:
                assert "nms_rotated is one of detectron2's compiled operators" in str(error)
                assert "pip install" in str(error)
            else:
                raise AssertionError("the missing operator gave a result")
        """
    result = subprocess.run([environment, "-c", textwrap.dedent(check)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before


def test_another_detectron2_ahead_on_the_path_is_named(environment, tree, no_index, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(write_miniature(tmp_path / "ahead")))
    result = run_tool(environment, "--source", str(tree), "--force")
    assert result.returncode == 1
    assert f"but Python imports 0.6 from {tmp_path / 'ahead' / 'detectron2'}" in result.stderr


def test_what_an_older_build_left_is_named(environment, tree: Path, no_index) -> None:
    assert run_tool(environment, "--source", str(tree), "--force").returncode == 0
    (left,) = [path / "_C.cpython-38-x86_64-linux-gnu.so" for path in environment.parents[1].rglob("detectron2")]
    left.touch()
    result = run_tool(environment, "--source", str(tree), "--force")
    assert result.returncode == 1
    assert f"{left.parent} holds {left.name} of an older build" in result.stderr


def pack_sdist(tree: Path, folder: Path) -> str:
    """Write the tree as detectron2_cdo-0.5.tar.gz; return its sha256."""
    archive = folder / "detectron2_cdo-0.5.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tree, "detectron2_cdo-0.5")
    return hashlib.sha256(archive.read_bytes()).hexdigest()


def test_release_comes_through_pip_and_is_not_run(tree, no_index, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tool, "SDIST_SHA256", pack_sdist(tree, no_index))
    root = tool.fetch("pypi", tmp_path / "work")
    assert root == tmp_path / "work" / "unpacked" / "detectron2_cdo-0.5"
    assert tool.read_tree(root)[0] == "0.6+ifc.pure"
    assert not (root / "setup_was_run").exists()


def test_release_with_another_checksum_is_not_unpacked(tree, no_index, tmp_path) -> None:
    found = pack_sdist(tree, no_index)
    with pytest.raises(SystemExit, match=f"(?s)DO NOT MATCH THE HASHES.*{tool.SDIST_SHA256}.*{found}"):
        tool.fetch("pypi", tmp_path / "work")
    assert not (tmp_path / "work" / "unpacked").exists()


def test_index_without_the_release_shows_pips_words(no_index: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="(?s)pip .*download .*failed .*No matching distribution found"):
        tool.fetch("pypi", tmp_path / "work")


@pytest.fixture
def repository(tree: Path) -> Path:
    """The tree as a git repository: 0.6 as tag v0.6, then 0.7 on the branch main."""

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(tree), *identity, *arguments], check=True, capture_output=True)

    git("init", "--initial-branch", "main")
    git("add", ".")
    git("commit", "-m", "one")
    git("tag", "v0.6")
    (tree / "detectron2" / "__init__.py").write_text('__version__ = "0.7"\n')
    git("commit", "-am", "two")
    return tree


@pytest.mark.parametrize(("suffix", "version"), [("", "0.7"), ("@main", "0.7"), ("@v0.6", "0.6")])
@pytest.mark.parametrize("prefix", ["", "git+"])
def test_fetch_clones(repository: Path, tmp_path: Path, prefix: str, suffix: str, version: str) -> None:
    root = tool.fetch(f"{prefix}file://{repository}{suffix}", tmp_path / "work")
    assert tool.read_tree(root)[0] == f"{version}+ifc.pure"


def test_fetch_clones_a_commit(repository: Path, tmp_path: Path) -> None:
    command = ["git", "-C", str(repository), "rev-parse", "v0.6"]
    commit = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert tool.read_tree(tool.fetch(f"file://{repository}@{commit}", tmp_path / "work"))[0] == "0.6+ifc.pure"


@pytest.mark.parametrize(
    ("url", "repository", "reference"),
    [
        ("https://example.org/o/detectron2.git", "https://example.org/o/detectron2.git", None),
        ("git+https://example.org/o/detectron2@v0.6", "https://example.org/o/detectron2", "v0.6"),
        ("https://user@example.org/o/detectron2.git@a/b", "https://user@example.org/o/detectron2.git", "a/b"),
        ("git@example.org:o/detectron2.git", "git@example.org:o/detectron2.git", None),
        ("git@example.org:o/detectron2.git@v0.6", "git@example.org:o/detectron2.git", "v0.6"),
        ("git+ssh://git@example.org/o/detectron2.git@v0.6", "ssh://git@example.org/o/detectron2.git", "v0.6"),
    ],
)
def test_urls_are_read_as_pip_reads_them(monkeypatch, tmp_path, url: str, repository: str, reference: str) -> None:
    calls = []
    monkeypatch.setattr(tool, "run", lambda *arguments: calls.append(arguments))
    tool.fetch(url, tmp_path)
    assert calls[0][-2] == repository
    assert [call[-1] for call in calls[1:]] == ([reference] if reference else [])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("detectron2/__init__.py", None, r"is not a detectron2 source tree: detectron2/__init__\.py is missing"),
        ("setup.py", None, r"is not a detectron2 source tree: setup\.py is missing"),
        ("detectron2/__init__.py", "", r"__init__\.py: found no __version__"),
        ("detectron2/__init__.py", '__version__ = "../x"', r"__init__\.py: found no __version__"),
        ("projects/PointRend/point_rend/__init__.py", None, r"projects/PointRend/point_rend/__init__\.py is missing"),
    ],
)
def test_incomplete_trees_are_refused(tree: Path, name: str, text: str | None, message: str) -> None:
    (tree / name).unlink()
    if text is not None:
        (tree / name).write_text(text)
    with pytest.raises(SystemExit, match=message):
        tool.read_tree(tree)


def test_tree_without_configs_is_refused(tree: Path) -> None:
    for folder in (tree / "configs", tree / "detectron2/model_zoo/configs"):
        folder.rename(folder.with_name("moved"))
    with pytest.raises(SystemExit, match="found no model zoo"):
        tool.read_tree(tree)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no/such/folder", "--source no/such/folder: expected pypi, a folder, or a git repository"),
        ("file:///no/such/repository.git", "git clone .* failed with exit code"),
    ],
)
def test_sources_that_are_none(tmp_path, source: str, message: str) -> None:
    with pytest.raises(SystemExit, match=f"error: {message}"):
        tool.fetch(source, tmp_path)


def test_reference_that_does_not_exist(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="(?s)git .*failed .*v9.9"):
        tool.fetch(f"file://{repository}@v9.9", tmp_path / "work")


def test_torch_has_to_be_there(tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    result = run_tool(tmp_path / "venv" / "bin" / "python")
    assert result.returncode == 1
    assert "has no torch, which detectron2 needs" in result.stderr


def test_environment_holds_its_product() -> None:
    version = importlib.metadata.version("detectron2")
    assert version.endswith(tool.LOCAL_VERSION)
    assert importlib.metadata.requires("detectron2") == list(tool.REQUIREMENTS)


@pytest.mark.parametrize(
    "module",
    [
        "config",
        "data",
        "structures",
        "layers",
        "modeling",
        "checkpoint",
        "engine",
        "evaluation",
        "model_zoo",
        "solver",
        "utils.visualizer",
        "utils.collect_env",
        "projects.point_rend",
        "projects.deeplab",
    ],
)
def test_detectron2_imports(module: str) -> None:
    assert importlib.import_module(f"detectron2.{module}").__name__ == f"detectron2.{module}"


def test_compiled_operators_say_how_to_get_them() -> None:
    from detectron2 import _C
    from detectron2.layers import nms_rotated

    boxes, scores = torch.zeros(1, 5), torch.zeros(1)
    for use in (
        lambda: _C.InstanceAnnotation(1, 2.0),
        lambda: _C.InstanceAnnotation.area(),
        lambda: nms_rotated(boxes, scores, 0.5),
    ):
        with pytest.raises(RuntimeError, match="(?s)one of detectron2's compiled operators.*python -m pip install"):
            use()


def test_environment_can_be_logged() -> None:
    from detectron2.utils.collect_env import collect_env_info

    assert "none: installed without compiled operators" in collect_env_info()


def test_model_zoo_has_its_configs() -> None:
    from detectron2 import model_zoo

    name = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"
    assert Path(model_zoo.get_config_file(name)).is_file()
    assert model_zoo.get_config(name).MODEL.META_ARCHITECTURE == "GeneralizedRCNN"
