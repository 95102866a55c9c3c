# SPDX-License-Identifier: Apache-2.0
"""`ifc info`: what is here, what is missing, and what mends that."""

import importlib.util
import os
import platform
import re
import shlex
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from ..version import __version__, package_version

DISTRIBUTION = "detectron2-ifc"
WIDTH = 118  # of lines
OF_DEVELOPMENT = ("dev", "docs")  # extras that no command asks for
INSTALL_DETECTRON2 = "ifc install-detectron2"
INSTALL_OPENCV = "python -m pip install --force-reinstall --no-deps opencv-python-headless"
LINK_DATA = "ln -s /path/to/{folder} {root}/{folder}"
MAKE_SHAPES = " && ".join(
    f"ifc data shapes --output {{root}}/{{folder}} --split {split} --videos 200 --seed {seed} --coco"
    for split, seed in (("train", 1), ("val", 2))
)


def info(as_json: Annotated[bool, typer.Option("--json", help="print json, for scripts")] = False) -> None:
    """Say what is installed, what is missing, and what mends that.

    Versions, devices, which detectron2, extras, and the data sets under $DETECTRON2_DATASETS (default: datasets).

    \b
    Examples:
        ifc info
        ifc info --json
    """
    found = gather()
    if as_json:
        import json

        print(json.dumps(found, indent=2))
    else:
        print("\n".join(as_text(found)))


def gather() -> dict[str, Any]:
    """All that `ifc info` says, for json."""
    packages = {entry["name"]: entry for entry in _packages()}
    torch, torch_error = _load("torch")
    _, cv2_error = _load("cv2")
    detectron2 = _detectron2() if torch else {"version": None, "error": "it needs torch", "mend": INSTALL_DETECTRON2}
    if cv2_error and packages.get("opencv-python-headless", {}).get("version"):
        packages["opencv-python-headless"] |= {"error": cv2_error, "mend": INSTALL_OPENCV}
    if torch_error and packages.get("torch", {}).get("version"):
        packages["torch"] |= {"error": torch_error, "mend": "python -m pip install --force-reinstall torch torchvision"}
    return {
        "ifc": {"version": __version__, "path": str(Path(__file__).parents[1])},
        "python": {"version": platform.python_version(), "path": sys.executable, "platform": platform.platform()},
        "devices": list(_devices(torch)) if torch else [],
        "detectron2": detectron2,
        "packages": list(packages.values()),
        "data": _data() if detectron2["version"] else None,
    }


def _load(module: str) -> tuple[Any, str | None]:
    """A module, or why it cannot be imported."""
    try:
        return import_module(module), None
    except (ImportError, OSError) as error:  # OSError: a library of the system that is missing
        return None, " ".join(str(error).split())


def _packages() -> Iterator[dict[str, Any]]:
    """The packages that setup.py asks for; "mend" where one is missing or does not fit."""
    from packaging.requirements import Requirement

    if package_version(DISTRIBUTION) is None:
        return
    for requirement in map(Requirement, metadata.requires(DISTRIBUTION) or []):
        extra = re.search(r'extra == "([\w-]+)"', str(requirement.marker))
        if extra and extra[1] in OF_DEVELOPMENT:
            continue
        version, wanted = package_version(requirement.name), f"{requirement.name}{requirement.specifier}"
        entry = {"name": requirement.name, "version": version, "wanted": str(requirement.specifier)}
        entry |= {"extra": extra and extra[1]}
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            entry["mend"] = f'python -m pip install "{wanted}"'
        yield entry


def _devices(torch: Any) -> Iterator[dict[str, Any]]:
    """The devices that a model runs on."""
    from ..precision import has_fast_bfloat16

    names = {"cpu": f"{os.cpu_count()} processors, torch on {torch.get_num_threads()} threads"}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        names[f"cuda:{index}"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    for device, name in names.items():
        is_fast, reason = has_fast_bfloat16(torch.device(device))
        yield {"device": device, "name": name, "fast_bfloat16": is_fast, "because": reason}


def _detectron2() -> dict[str, Any]:
    """Which detectron2 Python imports, and where it came from."""
    module, error = _load("detectron2")
    if module is None:
        return {"version": None, "error": error, "mend": INSTALL_DETECTRON2}
    operators = importlib.util.find_spec("detectron2._C")
    if operators is None:
        origin = "built without its operators"
    elif operators.origin.endswith(".py"):
        origin = f"by `{INSTALL_DETECTRON2}`, without compiled operators"
    else:
        origin = "built with compiled operators"
    return {
        "version": package_version("detectron2") or module.__version__,
        "path": module.__path__[0],
        "origin": origin,
    }


def _data() -> dict[str, Any]:
    """The data sets that are known by name: under which root, and which files are there."""
    from detectron2.data import DatasetCatalog, MetadataCatalog

    from ..data.catalog import ROOT, VIDEO_DATASETS

    named = {name: MetadataCatalog.get(name) for name in sorted(DatasetCatalog.list())}
    files = {name: entry.get("json_file") or entry.get("source_json", "") for name, entry in named.items()}
    folders: dict[str, Any] = {}
    for folder in ("coco", *VIDEO_DATASETS, "shapes"):
        place = os.path.join(ROOT, folder, "")
        here = [name for name, file in files.items() if file.startswith(place) and os.path.isfile(file)]
        mend = MAKE_SHAPES if folder == "shapes" else LINK_DATA
        folders[folder] = {"found": here} | (
            {} if here else {"mend": mend.format(root=shlex.quote(ROOT), folder=folder)}
        )
    return {"root": ROOT, "folders": folders}


def as_text(found: dict[str, Any]) -> Iterator[str]:
    """Lines of what `gather` has found, and of what is missing last."""
    yield "ifc {version}, {path}".format(**found["ifc"])
    yield "Python {version}, {path}, {platform}".format(**found["python"])
    detectron2 = found["detectron2"]
    if detectron2["version"]:
        yield "detectron2 {version}, {path}, {origin}".format(**detectron2)
    for device in found["devices"]:
        fast = "fast" if device["fast_bfloat16"] else "not fast"
        yield f"{device['device']}: {device['name']}; {fast} at bfloat16 ({device['because']})"
    for extra in dict.fromkeys(package["extra"] for package in found["packages"]):
        packages = [package for package in found["packages"] if package["extra"] == extra]
        words = ", ".join(f"{package['name']} {package['version'] or 'missing'}" for package in packages)
        yield textwrap.fill(f"{f'extra {extra}' if extra else 'packages'}: {words}", WIDTH, subsequent_indent="    ")
    folders = found["data"]["folders"] if found["data"] else {}
    for folder, entry in folders.items():
        if entry["found"]:
            yield f"data sets in {found['data']['root']}/{folder}: {', '.join(entry['found'])}"
    missing = [(f"detectron2: {detectron2.get('error')}", detectron2)]
    for package in found["packages"]:
        of_extra = f" of extra {package['extra']}" if package["extra"] else ""
        version = f": {package.get('error') or 'found ' + package['version']}" if package["version"] else ""
        missing.append((f"{package['name']}{package['wanted']}{of_extra}{version}", package))
    absent = [folder for folder, entry in folders.items() if "mend" in entry and folder != "shapes"]
    if absent:
        link = LINK_DATA.format(root=shlex.quote(found["data"]["root"]), folder="NAME")
        missing.append((f"data sets {', '.join(absent)}", {"mend": link}))
    missing.append(("data set shapes", folders.get("shapes", {})))
    for what, entry in missing:
        if "mend" in entry:
            yield f"missing: {what}\n    {entry['mend']}"
