# SPDX-License-Identifier: Apache-2.0
"""Install detectron2 without its compiled operators, into the Python that runs this file.

IFC uses none of detectron2's C++ and CUDA operators, and building them is where most installations fail. This program
takes detectron2's Python files (release v0.5, v0.6 or the main branch), makes the few changes that today's NumPy,
Pillow and setuptools ask for, and installs them as ``detectron2`` with the local version suffix ``+ifc.pure``:

    python tools/install_detectron2.py                                   # v0.5, from the package index pip is set to
    python tools/install_detectron2.py --source ~/src/detectron2         # a checkout, which is left as it is
    python tools/install_detectron2.py --source https://github.com/facebookresearch/detectron2.git@v0.6

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
import subprocess
import sys
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SDIST_NAME, SDIST_VERSION = "detectron2-cdo", "0.5"
SDIST_SHA256 = "53c9e79e9cc943e80419c588ea44b5479507a8628ed14a4e06bd093e29311b18"
LOCAL_VERSION = "ifc.pure"

# detectron2's own list without what only its exporters and formatters use (black, pydot, future) and without its
# upper bound on iopath, which has no release that satisfies it and today's Python alike.
REQUIREMENTS = (
    "pillow>=7.1",
    "matplotlib",
    "pycocotools>=2.0.2",
    "termcolor>=1.1",
    "yacs>=0.1.8",
    "tabulate",
    "cloudpickle",
    "tqdm>4.29.0",
    "tensorboard",
    "fvcore>=0.1.5,<0.1.6",
    "iopath>=0.1.9",
    "omegaconf>=2.1",
    "hydra-core>=1.1",
    "packaging",
)

COMPILED_OPS_STAND_IN = '''\
"""Stands in for detectron2's compiled operators, which this installation was made without."""

import torch

_HOW_TO_GET_THEM = """{} is one of detectron2's compiled operators, and this detectron2 was installed without them \\
(by IFC's tools/install_detectron2.py). To get them, install a C++ compiler, for a GPU also the CUDA toolkit of your \\
torch's version, then build detectron2 from its sources:
    python -m pip install --force-reinstall --no-deps --no-build-isolation \\
git+https://github.com/facebookresearch/detectron2.git"""


class _MissingOp:
    """Raises a RuntimeError on any use."""

    def __init__(self, name):
        self.__name__ = self.__qualname__ = name

    def __call__(self, *args, **kwargs):
        raise RuntimeError(_HOW_TO_GET_THEM.format(self.__name__))

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise RuntimeError(_HOW_TO_GET_THEM.format(self.__name__))


class _MissingNamespace:
    """What torch.ops.detectron2 is without the operators."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _MissingOp("torch.ops.detectron2." + name)


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return _MissingOp("detectron2._C." + name)


# The three that detectron2 asks when it logs its environment are no operators.
def get_compiler_version():
    return "none: installed without compiled operators"


def get_cuda_version():
    return "none: installed without compiled operators"


def has_cuda():
    return False


torch.ops.detectron2 = _MissingNamespace()
'''

# pip asks the build backend for an sdist's name and version before it hands the file over, and detectron2's setup.py
# answers only where torch and setuptools are at hand. This backend takes setuptools' place for that one question.
METADATA_BACKEND = f'''\
import os


class _Backend:
    def prepare_metadata_for_build_wheel(self, metadata_directory, config_settings=None):
        dist_info = "{SDIST_NAME.replace("-", "_")}-{SDIST_VERSION}.dist-info"
        os.makedirs(os.path.join(metadata_directory, dist_info))
        with open(os.path.join(metadata_directory, dist_info, "METADATA"), "w") as f:
            f.write("Metadata-Version: 2.1\\nName: {SDIST_NAME}\\nVersion: {SDIST_VERSION}\\n")
        return dist_info


__legacy__ = _Backend()
'''

PROBE = """\
import importlib.metadata, json, os
import detectron2
try:
    distribution = importlib.metadata.distribution("detectron2")
    version, owned = distribution.version, str(distribution.locate_file("detectron2/__init__.py"))
except importlib.metadata.PackageNotFoundError:
    version, owned = detectron2.__version__, ""
owned = os.path.exists(owned) and os.path.samefile(owned, detectron2.__file__)
print(json.dumps([version if owned else detectron2.__version__, os.path.dirname(detectron2.__file__)]))
"""


class InstallError(Exception):
    """Says in one message what is wrong, where, and what was expected."""


@dataclass(frozen=True)
class SourceTree:
    """A detectron2 source tree: where its parts are, and what it calls itself.

    ``packages`` maps a package to the folder with its Python files, subpackages included; ``configs`` is the folder
    of the model zoo's configuration files.
    """

    root: Path
    version: str
    packages: dict[str, Path]
    configs: Path


@dataclass(frozen=True)
class Installed:
    """A detectron2 that this Python imports."""

    version: str
    location: str


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], epilog="See the head of this file for more.")
    parser.add_argument(
        "--source",
        default="pypi",
        metavar="pypi|PATH|URL[@REF]",
        help="the release v0.5 from the package index (default), a checkout, or a git repository",
    )
    parser.add_argument("--force", action="store_true", help="replace a detectron2 that can be imported")
    args = parser.parse_args(argv)
    try:
        print(install(args.source, force=args.force))
    except InstallError as error:
        print(f"install_detectron2: {error}", file=sys.stderr)
        return 1
    return 0


def install(source: str, force: bool = False) -> str:
    """Install detectron2 from `source` and return one line that says what is installed where."""
    if importlib.util.find_spec("torch") is None:
        raise InstallError(
            f"{sys.executable} has no torch, which detectron2 needs: install torch and torchvision first"
        )
    found = probe()
    if isinstance(found, Installed) and not force:
        return f"detectron2 {found.version} in {found.location} is left alone (--force replaces it)"
    with tempfile.TemporaryDirectory(prefix="detectron2-") as directory:
        tree = read_tree(fetch(source, Path(directory)))
        wheel = build_wheel(tree, Path(directory))
        run_pip("install", *REQUIREMENTS)
        run_pip("install", "--no-deps", "--force-reinstall", str(wheel))
    return f"detectron2 {check_installed(local_version(tree.version))}"


def probe() -> Installed | str:
    """The detectron2 that this Python imports outside of the current folder, or why it imports none."""
    with tempfile.TemporaryDirectory(prefix="detectron2-") as elsewhere:
        result = subprocess.run([sys.executable, "-c", PROBE], cwd=elsewhere, capture_output=True, text=True)
    if result.returncode != 0:
        return (result.stderr.strip().splitlines() or ["no message"])[-1]
    return Installed(*json.loads(result.stdout.splitlines()[-1]))


def check_installed(version: str) -> str:
    """Say what was installed where, or raise InstallError if Python imports another detectron2 than `version`."""
    found = probe()
    if isinstance(found, str):
        raise InstallError(f"detectron2 {version} was installed, but importing it fails: {found}")
    if found.version != version:
        raise InstallError(
            f"detectron2 {version} was installed, but Python imports {found.version} from {found.location}: "
            "remove that folder, or the entry of sys.path that leads there"
        )
    leftovers = sorted(path.name for path in Path(found.location).glob("_C.*") if path.name != "_C.py")
    if leftovers:
        raise InstallError(f"{found.location} holds {leftovers[0]} of an older build: remove it")
    return f"{found.version} is installed in {found.location}"


# Where the files come from


def fetch(source: str, directory: Path) -> Path:
    """The root of the source tree that `source` names; what has to be fetched for it lands in `directory`."""
    if source == "pypi":
        return download_sdist(directory)
    if "://" not in source and Path(source).expanduser().is_dir():
        return Path(source).expanduser()
    if "://" in source or source.startswith("git@") or source.endswith(".git"):
        return clone(source, directory / "clone")
    raise InstallError(f'--source {source}: neither "pypi" nor a folder nor the URL of a git repository')


def download_sdist(directory: Path) -> Path:
    """Fetch the release v0.5 with pip, so with the index, proxy and certificates that pip is set to, and unpack it."""
    backend = directory / "backend" / "setuptools"
    backend.mkdir(parents=True)
    (backend / "__init__.py").touch()
    (backend / "build_meta.py").write_text(METADATA_BACKEND)
    wanted = directory / "wanted.txt"
    wanted.write_text(f"{SDIST_NAME}=={SDIST_VERSION} --hash=sha256:{SDIST_SHA256}\n")
    search_path = os.pathsep.join(filter(None, [str(backend.parent), os.environ.get("PYTHONPATH")]))
    run_pip(
        *("download", "--no-deps", "--no-build-isolation", "--no-binary", SDIST_NAME),
        *("--requirement", str(wanted), "--dest", str(directory / "sdist")),
        environment={"PYTHONPATH": search_path, "PIP_USE_PEP517": "1"},
    )
    (archive,) = (directory / "sdist").iterdir()
    return unpack(archive, directory / "unpacked")


def unpack(archive: Path, directory: Path) -> Path:
    """Unpack the release's archive, having checked its sha256, and return the one folder in it."""
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SDIST_SHA256:
        raise InstallError(f"{archive.name}: its sha256 is {found}, expected {SDIST_SHA256}: not unpacked")
    with tarfile.open(archive) as tar:
        # Python before 3.10.12 and 3.11.4 has no filters; the checksum has said already what the archive holds.
        tar.extractall(directory, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (root,) = directory.iterdir()
    return root


def clone(url: str, directory: Path) -> Path:
    """Clone a git repository; after an "@" the URL may name a branch, tag or commit."""
    parts = re.fullmatch(r"(?:git\+)?((?:[\w.-]+://[^/]*/|[^/:]+:)?[^@]+)(?:@([^-].*))?", url)
    if parts is None:
        raise InstallError(f"--source {url}: expected a git repository's URL, or URL@BRANCH_TAG_OR_COMMIT")
    run_git("clone", "--quiet", "--", parts[1], str(directory))
    if parts[2] is not None:
        run_git("-C", str(directory), "checkout", "--quiet", parts[2])
    return directory


def read_tree(root: Path) -> SourceTree:
    """Look at a source tree without running any of it."""
    init, setup = root / "detectron2" / "__init__.py", root / "setup.py"
    for file in (init, setup):
        if not file.is_file():
            raise InstallError(f"{root} is not a detectron2 source tree: {file.relative_to(root)} is missing")
    version = literal_assigned(init, "__version__")
    if not isinstance(version, str) or not re.fullmatch(r"\d+(\.\d+)*[\w.]*(\+[\w.]+)?", version):
        raise InstallError(f"{init}: __version__ is {version!r}, expected a version such as '0.6'")
    configs = next((path for path in (root / "configs", root / "detectron2/model_zoo/configs") if path.is_dir()), None)
    if configs is None:
        raise InstallError(f"{root} has no model zoo: neither configs nor detectron2/model_zoo/configs is there")
    packages = {"detectron2": root / "detectron2"}
    for name, folder in (literal_assigned(setup, "PROJECTS") or {}).items():
        if not (root / folder / "__init__.py").is_file():
            raise InstallError(f"{root}: setup.py maps {name} to {folder}, which is no package")
        packages[name] = root / folder
    return SourceTree(root, version, packages, configs)


def literal_assigned(file: Path, name: str) -> object:
    """The literal that a Python file assigns to a name on its top level, or None."""
    for statement in parse(file.read_text(encoding="utf-8"), str(file)).body:
        match statement:
            case ast.Assign([ast.Name(target)], value) if target == name:
                try:
                    return ast.literal_eval(value)
                except ValueError as error:
                    raise InstallError(f"{file}, line {statement.lineno}: {name} is not a literal") from error
    return None


# What changes in them

Position = tuple[int, int]  # line from 1, column from 0 in UTF-8 bytes, as the syntax tree counts
Edit = tuple[Position, Position, str]  # replace what stands between the two


def modernize(source: str, name: str) -> str:
    """Replace, in one Python source, what NumPy 1.24, Pillow 10 and setuptools 82 have removed.

    ``np.bool``, ``np.int``, ``np.float`` and ``np.str`` become the builtins that they were, ``Image.LINEAR`` becomes
    ``Image.BILINEAR``, and ``pkg_resources.resource_filename`` the same through ``importlib.resources``. It works on
    the syntax tree, so comments, strings and names such as ``np.float32`` stay. `name` is the file's, for errors.
    """
    tree = parse(source, name)
    edits = [*removed_constants(tree), *resource_filenames(tree, name)]
    if not edits:
        return source
    data = source.encode()
    line_starts = [0]
    for line in data.splitlines(keepends=True):
        line_starts.append(line_starts[-1] + len(line))
    for (line, column), (end_line, end_column), text in sorted(edits, reverse=True):
        start, end = line_starts[line - 1] + column, line_starts[end_line - 1] + end_column
        data = data[:start] + text.encode() + data[end:]
    changed = data.decode()
    parse(changed, f"{name}, as changed for this installation,")
    return changed


def removed_constants(tree: ast.Module) -> Iterator[Edit]:
    """The edits that replace NumPy's aliases of builtins and Pillow's ``LINEAR``."""
    imports = (alias for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names)
    numpy_names = {alias.asname or alias.name for alias in imports if alias.name == "numpy"}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Name(module), "bool" | "int" | "float" | "str") if module in numpy_names:
                yield start_of(node), end_of(node), node.attr
            case ast.Attribute(ast.Name("Image") | ast.Attribute(attr="Image"), "LINEAR"):
                line, column = end_of(node)
                yield (line, column - len("LINEAR")), (line, column), "BILINEAR"


def resource_filenames(tree: ast.Module, name: str) -> Iterator[Edit]:
    """The edits that put ``importlib.resources`` in the place of ``pkg_resources``.

    Raises InstallError for a use of ``pkg_resources`` other than ``resource_filename(package, path)``.
    """
    functions = {}  # how the file writes resource_filename -> how it will write importlib.resources.files
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "pkg_resources":
                    module = alias.asname or "importlib.resources"
                    functions[f"{alias.asname or alias.name}.resource_filename"] = f"{module}.files"
                    yield (
                        start_of(alias),
                        end_of(alias),
                        "importlib.resources" + f" as {alias.asname}" * bool(alias.asname),
                    )
        elif isinstance(node, ast.ImportFrom) and node.module == "pkg_resources":
            if any(alias.name != "resource_filename" for alias in node.names):
                raise unknown_resource_use(name, node)
            names = [alias.asname or alias.name for alias in node.names]
            functions.update(zip(names, names, strict=True))
            imported = ", ".join(f"files as {alias}" for alias in names)
            yield start_of(node), end_of(node), f"from importlib.resources import {imported}"

    known = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Attribute() | ast.Name() as function, [package, path], []):
                if ast.unparse(function) in functions:
                    known.update(ast.walk(function))
                    yield start_of(function), end_of(function), f"str({functions[ast.unparse(function)]}"
                    yield end_of(package), start_of(path), ").joinpath("
                    yield end_of(node), end_of(node), ")"
    names = {function.split(".")[0] for function in functions}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in names and node not in known:
            raise unknown_resource_use(name, node)


def unknown_resource_use(name: str, node: ast.stmt | ast.expr) -> InstallError:
    """The error for a use of ``pkg_resources`` that nobody has seen in detectron2 so far."""
    return InstallError(
        f"{name}, line {node.lineno}: a use of pkg_resources that this program cannot replace, "
        "expected resource_filename(package, path) only"
    )


def parse(source: str, name: str) -> ast.Module:
    """The syntax tree of a Python source; InstallError if it has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what later Pythons say of old escapes is detectron2's own matter
            return ast.parse(source, name)
    except (SyntaxError, ValueError) as error:
        raise InstallError(f"{name} is not valid Python: {error}") from error


def start_of(node: ast.stmt | ast.expr | ast.alias) -> Position:
    return node.lineno, node.col_offset


def end_of(node: ast.stmt | ast.expr | ast.alias) -> Position:
    return node.end_lineno, node.end_col_offset


# How they are installed


def build_wheel(tree: SourceTree, directory: Path) -> Path:
    """Write the wheel of a source tree: its Python files, modernized, its model zoo, and the operators' stand-in."""
    version = local_version(tree.version)
    dist_info = f"detectron2-{version}.dist-info"
    files = wheel_files(tree)
    files[f"{dist_info}/METADATA"] = metadata(version)
    files[f"{dist_info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: IFC\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{dist_info}/top_level.txt"] = "detectron2\n"
    if (tree.root / "LICENSE").is_file():
        files[f"{dist_info}/LICENSE"] = (tree.root / "LICENSE").read_text(encoding="utf-8")
    record = [f"{name},{record_hash(text)},{len(text.encode())}\n" for name, text in files.items()]
    files[f"{dist_info}/RECORD"] = "".join(record) + f"{dist_info}/RECORD,,\n"

    wheel = directory / f"detectron2-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text.encode())
    return wheel


def wheel_files(tree: SourceTree) -> dict[str, str]:
    """Name in the wheel -> content, of everything that detectron2's own setup.py would install."""
    model_zoo = "detectron2/model_zoo/configs"
    files = {}
    for package, folder in tree.packages.items():
        for path in sorted(folder.rglob("*.py")):
            name = f"{package.replace('.', '/')}/{path.relative_to(folder).as_posix()}"
            # The model zoo follows from its own folder: here it can be a copy, or what an earlier build left.
            if not name.startswith(f"{model_zoo}/"):
                files[name] = modernize(path.read_text(encoding="utf-8"), str(path))
    for path in sorted(tree.configs.rglob("*")):
        if path.suffix in (".py", ".yaml"):
            files[f"{model_zoo}/{path.relative_to(tree.configs).as_posix()}"] = path.read_text(encoding="utf-8")
    files["detectron2/_C.py"] = COMPILED_OPS_STAND_IN
    return files


def local_version(version: str) -> str:
    """The version to install under: that of the sources, and a suffix that says what was done to them."""
    return f"{version.split('+')[0]}+{LOCAL_VERSION}"


def metadata(version: str) -> str:
    """The wheel's METADATA."""
    fields = [
        "Metadata-Version: 2.1",
        "Name: detectron2",
        f"Version: {version}",
        "Summary: detectron2 without its compiled operators, as IFC's tools/install_detectron2.py installs it",
        "Home-page: https://github.com/facebookresearch/detectron2",
        "License: Apache-2.0",
        "Requires-Python: >=3.10",
        *(f"Requires-Dist: {requirement}" for requirement in REQUIREMENTS),
    ]
    return "\n".join(fields) + "\n"


def record_hash(text: str) -> str:
    """A file's checksum as a wheel's RECORD writes it."""
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


# The programs that it calls


def run_pip(*arguments: str, environment: dict[str, str] | None = None) -> None:
    """Run this Python's pip; InstallError with all that it printed if it fails."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    run(command, f"pip {arguments[0]}", environment or {})


def run_git(*arguments: str) -> None:
    """Run git, which asks for no password; InstallError with all that it printed if it fails."""
    run(["git", *arguments], "git", {"GIT_TERMINAL_PROMPT": "0"})


def run(command: list[str], title: str, environment: dict[str, str]) -> None:
    """Run a program quietly; InstallError with all that it printed if it fails."""
    try:
        result = subprocess.run(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise InstallError(f"{command[0]} is needed for this --source and is not installed") from error
    if result.returncode != 0:
        raise InstallError(f"{title} failed with exit code {result.returncode}:\n{result.stdout.strip()}")


if __name__ == "__main__":
    sys.exit(main())
