# SPDX-License-Identifier: Apache-2.0
"""Install detectron2 without its compiled operators, into the Python that runs this file.

IFC uses none of detectron2's C++ and CUDA operators, and building them is where most installations fail. This program
takes detectron2's Python files (release v0.5, v0.6 or the main branch), makes the few changes that today's NumPy,
Pillow and setuptools ask for, and installs them as ``detectron2`` with the local version suffix ``+ifc.pure``:

    ifc install-detectron2                                   # v0.5, from the package index that pip is set to
    ifc install-detectron2 --source ~/src/detectron2         # a checkout, which is left as it is
    ifc install-detectron2 --source https://github.com/facebookresearch/detectron2.git@v0.6

A detectron2 that can be imported already is left alone unless ``--force`` is given. Nothing of the source is run to
install it: its setup.py is only read. Needs pip and, as detectron2 itself does, an installed torch.
"""

import argparse
import ast
import base64
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# docs/detectron2.md says what this file is, and what of it is checked.
SDIST_NAME, SDIST_VERSION, SDIST_INFO = "detectron2-cdo", "0.5", "detectron2_cdo-0.5.dist-info"
SDIST_SHA256 = "53c9e79e9cc943e80419c588ea44b5479507a8628ed14a4e06bd093e29311b18"
LOCAL_VERSION = "+ifc.pure"

# detectron2's own list without what only its exporters and formatters use (black, pydot, future) and without its
# upper bound on iopath, which has no release that satisfies it and today's Python alike.
REQUIREMENTS = (
    *("pillow>=7.1", "matplotlib", "pycocotools>=2.0.2", "termcolor>=1.1", "yacs>=0.1.8", "tabulate", "cloudpickle"),
    *("tqdm>4.29.0", "tensorboard", "fvcore>=0.1.5,<0.1.6", "iopath>=0.1.9", "omegaconf>=2.1", "hydra-core>=1.1"),
    "packaging",
)

# What NumPy 1.24, Pillow 10 and setuptools 82 have removed, and what says the same today.
REPLACEMENTS = (
    (r"(?<![\w.])np\.(bool|int|float|str)\b", r"\1"),
    (r"\bImage\.LINEAR\b", "Image.BILINEAR"),
    (r"(?m)^import pkg_resources$", "from detectron2 import _pkg_resources as pkg_resources"),
)

RESOURCES_STAND_IN = '''\
"""Stands in for the one function of setuptools' pkg_resources that detectron2 calls."""

from importlib.resources import files


def resource_filename(package, path):
    return str(files(package).joinpath(path))
'''

OPERATORS_STAND_IN = '''\
"""Stands in for detectron2's compiled operators, which this installation was made without."""

import torch

_HOW_TO_GET_THEM = """{} is one of detectron2's compiled operators, and this detectron2 was installed without them \\
(by IFC's `ifc install-detectron2`). To get them, install a C++ compiler, for a GPU also the CUDA toolkit of your \\
torch's version, then build detectron2 from its sources:
    python -m pip install --force-reinstall --no-deps --no-build-isolation \\
git+https://github.com/facebookresearch/detectron2.git"""


class _Missing:
    """Has every attribute, and raises a RuntimeError when it is called."""

    def __init__(self, name):
        self.__name__ = self.__qualname__ = name

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Missing(f"{self.__name__}.{name}")

    def __call__(self, *args, **kwargs):
        raise RuntimeError(_HOW_TO_GET_THEM.format(self.__name__))


__getattr__ = _Missing("detectron2._C").__getattr__
torch.ops.detectron2 = _Missing("torch.ops.detectron2")


# The three that detectron2 asks when it logs its environment are no operators.
def get_compiler_version():
    return "none: installed without compiled operators"


get_cuda_version = get_compiler_version


def has_cuda():
    return False
'''

# pip asks the build backend for an sdist's name and version before it hands the file over, and detectron2's setup.py
# answers only where torch and setuptools are at hand. This backend takes setuptools' place for that one question.
METADATA_BACKEND = f"""\
import os


class _Backend:
    def prepare_metadata_for_build_wheel(self, folder, config_settings=None):
        os.makedirs(os.path.join(folder, "{SDIST_INFO}"))
        with open(os.path.join(folder, "{SDIST_INFO}", "METADATA"), "w") as f:
            f.write("Metadata-Version: 2.1\\nName: {SDIST_NAME}\\nVersion: {SDIST_VERSION}\\n")
        return "{SDIST_INFO}"


__legacy__ = _Backend()
"""

PROBE = "import detectron2, json; print(json.dumps([detectron2.__version__, detectron2.__path__[0]]))"


def main(argv: list[str] | None = None, program: str | None = None) -> None:
    """Run the command line. Errors end it with status 1 and say what is wrong, where, and what was expected."""
    parser = argparse.ArgumentParser(program, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.description, _, parser.epilog = __doc__.partition("\n\n")
    sources = "the release v0.5 from the package index (default), a checkout, or a git repository"
    parser.add_argument("--source", default="pypi", metavar="pypi|PATH|URL[@REF]", help=sources)
    parser.add_argument("--force", action="store_true", help="replace a detectron2 that can be imported")
    args = parser.parse_args(argv)
    print(install(args.source, force=args.force))


def install(source: str, force: bool = False) -> str:
    """Install detectron2 from `source` and return one line that says what is installed where."""
    if importlib.util.find_spec("torch") is None:
        sys.exit(f"error: {sys.executable} has no torch, which detectron2 needs: install torch and torchvision")
    found, location = probe()
    if found is not None and not force:
        return f"detectron2 {found} in {location} is left alone (--force replaces it)"
    with tempfile.TemporaryDirectory(prefix="detectron2-") as directory:
        version, files = read_tree(fetch(source, Path(directory)))
        wheel = write_wheel(version, files, Path(directory))
        pip("install", *REQUIREMENTS)
        pip("install", "--no-deps", "--force-reinstall", str(wheel))
    return check_installed(version)


def probe() -> tuple[str | None, str]:
    """Version and folder of the detectron2 that Python imports, wherever it runs; or None, and why it has none."""
    result = subprocess.run([sys.executable, "-c", PROBE], cwd=sys.prefix, capture_output=True, text=True)
    if result.returncode != 0:
        return None, (result.stderr.strip().splitlines() or ["no message"])[-1]
    version, location = json.loads(result.stdout.splitlines()[-1])
    return version, location


def check_installed(expected: str) -> str:
    """Say what was installed where, or end with an error if Python imports something else."""
    version, location = probe()
    if version is None:
        sys.exit(f"error: detectron2 {expected} was installed, but importing it fails: {location}")
    if version != expected:
        sys.exit(
            f"error: detectron2 {expected} was installed, but Python imports {version} from {location}: "
            "remove that folder, or the entry of sys.path that leads there"
        )
    leftovers = sorted(path.name for path in Path(location).glob("_C.*") if path.name != "_C.py")
    if leftovers:
        sys.exit(f"error: {location} holds {leftovers[0]} of an older build: remove it")
    return f"detectron2 {version} is installed in {location}"


def fetch(source: str, directory: Path) -> Path:
    """The root of the source tree that `source` names; what has to be fetched for it lands in `directory`."""
    if source == "pypi":
        return download_sdist(directory)
    if "://" not in source and Path(source).expanduser().is_dir():
        return Path(source).expanduser()
    # What pip takes: git+URL@REF, where a user's name may stand before an "@" of the URL's own.
    url = re.fullmatch(r"(?:git\+)?((?:[\w.-]+://[^/]*/|[^/:]+:)[^@]+)(?:@([^-].*))?", source)
    if url is None:
        sys.exit(f"error: --source {source}: expected pypi, a folder, or a git repository's URL or URL@REF")
    root = directory / "clone"
    run("git", "clone", "--quiet", "--", url[1], str(root))
    if url[2] is not None:
        run("git", "-C", str(root), "checkout", "--quiet", url[2])
    return root


def download_sdist(directory: Path) -> Path:
    """Fetch the release v0.5 with pip, so with the index, proxy and certificates that pip is set to, and unpack it."""
    backend = directory / "backend" / "setuptools"
    backend.mkdir(parents=True)
    (backend / "__init__.py").touch()
    (backend / "build_meta.py").write_text(METADATA_BACKEND)
    wanted = directory / "wanted.txt"
    wanted.write_text(f"{SDIST_NAME}=={SDIST_VERSION} --hash=sha256:{SDIST_SHA256}\n")
    search_path = os.pathsep.join(filter(None, [str(backend.parent), os.environ.get("PYTHONPATH")]))
    pip(
        *("download", "--no-deps", "--no-build-isolation", "--no-binary", SDIST_NAME),
        *("--requirement", str(wanted), "--dest", str(directory / "sdist")),
        PYTHONPATH=search_path,
        PIP_USE_PEP517="1",
    )
    (archive,) = (directory / "sdist").iterdir()
    shutil.unpack_archive(archive, directory / "unpacked")  # pip has compared the checksum, so it is what it should be
    (root,) = (directory / "unpacked").iterdir()
    return root


def read_tree(root: Path) -> tuple[str, dict[str, str]]:
    """What to install from a source tree: the version, and by name the files that its setup.py would install."""
    init, setup = read(root, "detectron2/__init__.py"), read(root, "setup.py")
    found = re.search(r"(?m)^__version__ = \"(\d[\w.]*)(?:\+[\w.]+)?\"", init)
    if found is None:
        sys.exit(f"error: {root}/detectron2/__init__.py: found no __version__, expected one such as '0.6'")
    version = found[1] + LOCAL_VERSION
    zoo = "detectron2/model_zoo/configs"
    configs = next((path for path in (root / "configs", root / zoo) if path.is_dir()), None)
    if configs is None:
        sys.exit(f"error: {root}: found no model zoo, expected configs or {zoo}")
    files = python_files(root / "detectron2", "detectron2")
    # The model zoo follows from its own folder: in the package it can be a copy, or what an earlier build left.
    files = {name: text for name, text in files.items() if not name.startswith(f"{zoo}/")}
    for path in sorted(configs.rglob("*")):
        if path.suffix in (".py", ".yaml"):
            files[f"{zoo}/{path.relative_to(configs).as_posix()}"] = path.read_text(encoding="utf-8")
    projects = re.search(r"(?m)^PROJECTS = (\{[^}]*\})", setup)
    for package, folder in (ast.literal_eval(projects[1]) if projects else {}).items():
        read(root, f"{folder}/__init__.py")
        files |= python_files(root / folder, package.replace(".", "/"))
    files["detectron2/__init__.py"] = init.replace(found[0], f'__version__ = "{version}"')
    files |= {"detectron2/_C.py": OPERATORS_STAND_IN, "detectron2/_pkg_resources.py": RESOURCES_STAND_IN}
    files[f"detectron2-{version}.dist-info/LICENSE"] = read(root, "LICENSE")
    return version, files


def write_wheel(version: str, files: dict[str, str], directory: Path) -> Path:
    """Write the wheel that installs `files`."""
    info = f"detectron2-{version}.dist-info"
    metadata = (
        f"Metadata-Version: 2.1\nName: detectron2\nVersion: {version}\nLicense: Apache-2.0\n"
        "Summary: detectron2 without its compiled operators, as `ifc install-detectron2` installs it\n"
        "Requires-Python: >=3.10\n"
    ) + "".join(f"Requires-Dist: {requirement}\n" for requirement in REQUIREMENTS)
    tag = "Wheel-Version: 1.0\nGenerator: IFC\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {**files, f"{info}/METADATA": metadata, f"{info}/WHEEL": tag}
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        record += f"{name},sha256={digest},{len(text.encode())}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    wheel = directory / f"detectron2-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text.encode())
    return wheel


def read(root: Path, name: str) -> str:
    """A text of a source tree, which has to be there."""
    if not (root / name).is_file():
        sys.exit(f"error: {root} is not a detectron2 source tree: {name} is missing")
    return (root / name).read_text(encoding="utf-8")


def python_files(folder: Path, package: str) -> dict[str, str]:
    """Name in the wheel -> text, as today's libraries take it, of the Python files of a folder and those below it."""
    files = {}
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for pattern, replacement in REPLACEMENTS:
            text = re.sub(pattern, replacement, text)
        if re.search(r"(?m)^\s*(import|from) pkg_resources|\bpkg_resources\.(?!resource_filename\()", text):
            sys.exit(f"error: {path}: found a use of pkg_resources other than resource_filename, expected none")
        files[f"{package}/{path.relative_to(folder).as_posix()}"] = text
    return files


def pip(*arguments: str, **environment: str) -> None:
    """Run this Python's pip, with variables added to its environment."""
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments, **environment)


def run(*command: str, **environment: str) -> None:
    """Run a program quietly; end with all that it printed if it fails."""
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", **environment}
    output = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        result = subprocess.run(command, env=environment, text=True, errors="replace", **output)
    except FileNotFoundError:
        sys.exit(f"error: {command[0]} is needed for this --source and is not installed")
    if result.returncode != 0:
        sys.exit(f"error: {' '.join(command)} failed with exit code {result.returncode}:\n{result.stdout.strip()}")


if __name__ == "__main__":
    main()
