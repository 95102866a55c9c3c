# SPDX-License-Identifier: Apache-2.0
"""setup.py, the lock and the Makefile: what they ask for, that they agree, and what they say when they cannot work."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import metadata, requires
from pathlib import Path

import detectron2
import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[1]
SUPPORTED = SpecifierSet(metadata("detectron2-ifc")["Requires-Python"])
CPU_WITHOUT_WEIGHTS = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""]
PYTHONS = [f"3.{minor}" for minor in range(20) if f"3.{minor}.1" in SUPPORTED]


def plugin_requirements() -> dict[str, Requirement]:
    """What setup.py asks for, with the extra ``dev``, by name."""
    found = map(Requirement, requires("detectron2-ifc"))
    return {each.name: each for each in found if each.marker is None or each.marker.evaluate({"extra": "dev"})}


def locked_versions(python: str) -> dict[str, str]:
    """Package -> version that the lock pins for a Python on 64-bit Linux."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
    }
    versions = {}
    lines = (ROOT / "requirements.lock").read_text().replace("\\\n", " ").splitlines()
    for line in (line for line in lines if line.strip() and not line.startswith("#")):
        requirement = Requirement(line.split(" --hash=")[0].strip())
        (pin,) = requirement.specifier
        assert pin.operator == "==" and "*" not in pin.version, line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", line), f"{requirement.name} has no checksum"
        if requirement.marker is None or requirement.marker.evaluate(environment):
            assert requirement.name not in versions, f"{requirement.name} is pinned twice for Python {python}"
            versions[requirement.name] = pin.version
    return versions


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_pins_all_that_is_needed(python: str) -> None:
    locked = locked_versions(python)
    needed = [*plugin_requirements().values(), *map(Requirement, requires("detectron2"))]
    for requirement in needed:
        assert locked[requirement.name] in requirement.specifier, requirement.name


def test_lock_names_no_index() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"://|--(extra-)?index|--find-links| @ ", lock)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of a copy of the sources."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "projects", source / "projects", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist"], check=True, cwd=source
    )
    (wheel,) = (source / "dist").iterdir()
    return wheel


def test_wheel_holds_the_whole_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    folders = {"ifc": ROOT / "projects" / "IFC" / "ifc", "ifc/configs": ROOT / "projects" / "IFC" / "configs"}
    assert names == {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in folders.items()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The programs of an environment that has neither IFC nor detectron2, and a pip without an index.

    A torch of its own would be gigabytes a run. So the environment sees what the running one has, package by package,
    as if it had been installed from the lock; but of IFC and detectron2 only what is installed into it.
    """
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    others = tmp_path / "others"
    others.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(("__editable__", "detectron2")):
            (others / path.name).symlink_to(path)
    programs = tmp_path / "venv" / "bin"
    command = [programs / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    own = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    Path(own, "others.pth").write_text(f"{others}\n")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.chdir(tmp_path)
    return programs


@pytest.fixture
def detectron2_sources(tmp_path: Path) -> Path:
    """The installed detectron2 as a checkout."""
    root, package = tmp_path / "checkout", Path(detectron2.__file__).parent
    shutil.copytree(package, root / "detectron2", ignore=shutil.ignore_patterns("__pycache__", "_C.*"))
    for name in ("setup.py", "LICENSE"):
        (root / name).touch()
    return root


def test_wheel_in_an_empty_environment(wheel: Path, empty: Path, detectron2_sources: Path, tmp_path: Path) -> None:
    def run(program: str, *words: object) -> str:
        ended = subprocess.run([empty / program, *map(str, words)], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    run("python", "-m", "pip", "install", "--quiet", wheel)
    assert "missing: detectron2" in run("ifc", "info")
    assert str(empty.parent) in run("ifc", "install-detectron2", "--source", detectron2_sources)
    run("ifc", "data", "shapes", "--video", "shapes.mp4", "--length", "6", "--seed", "3")
    code = f"import ifc.engine; ifc.engine.setup_config('base_ytvis.yaml', {CPU_WITHOUT_WEIGHTS})"
    assert Path(run("python", "-c", f"{code}; print(ifc.__path__[0])").strip()).is_relative_to(empty.parent)
    run("ifc", "segment", "shapes.mp4", "-o", "out")
    assert json.loads((tmp_path / "out" / "shapes" / "results.json").read_text())
    run("ifc", "view", "out")
    assert list((tmp_path / "out").rglob("*.html"))


def fake_python(folder: Path, version: tuple[int, int]) -> Path:
    """A python3 that answers every question about its version with `version`, and works otherwise."""
    python = folder / "python3"
    pretend = f"import sys; sys.version_info = {(*version, 0, 'final', 0)}; exec(sys.argv[1])"
    python.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = -V ] && {{ echo Python {version[0]}.{version[1]}.0; exit; }}\n'
        f'[ "$1" = -c ] && exec "{sys.executable}" -c "{pretend}" "$2"\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    return python


@pytest.fixture
def makefile(tmp_path: Path) -> Path:
    """A folder with the Makefile alone, where every set-up starts anew."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    return tmp_path


def make(folder: Path, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess:
    """Run make; `path` replaces the folders in which it looks for programs."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "MAKEFLAGS")}
    if path is not None:
        environment["PATH"] = str(path)
    return subprocess.run(
        [shutil.which("make"), *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("version", [(3, 9), (3, 14), (2, 7)])
def test_make_refuses_other_pythons(makefile: Path, version: tuple[int, int]) -> None:
    python = fake_python(makefile, version)
    result = make(makefile, ".venv/.made", f"PYTHON={python}")
    assert result.returncode != 0
    assert "3.10 to 3.13" in result.stderr and f"{python} is Python {version[0]}.{version[1]}.0" in result.stderr
    assert not (makefile / ".venv").exists()


def test_make_says_that_no_python_fits(makefile: Path) -> None:
    folder = makefile / "bin"
    folder.mkdir()
    (folder / "sh").symlink_to("/bin/sh")
    fake_python(folder, (3, 14))
    result = make(makefile, ".venv/.made", path=folder)
    assert result.returncode != 0
    assert "3.10 to 3.13" in result.stderr and "PATH" in result.stderr


def test_make_says_that_python_does_not_run(makefile: Path) -> None:
    result = make(makefile, ".venv/.made", "PYTHON=/no/such/python")
    assert result.returncode != 0
    assert "/no/such/python does not run" in result.stderr


@pytest.mark.parametrize("version", [(3, 10), (3, 13)])
def test_make_takes_the_python_it_is_given(makefile: Path, version: tuple[int, int]) -> None:
    result = make(makefile, ".venv/.made", f"PYTHON={fake_python(makefile, version)}")
    assert result.returncode == 0, result.stderr
    assert (makefile / ".venv" / "bin" / "python").exists()
    assert make(makefile, "--question", ".venv/.made").returncode == 0
