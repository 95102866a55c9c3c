# SPDX-License-Identifier: Apache-2.0
"""Write requirements.lock: one version, with checksums, of every package that IFC needs, for each Python it supports.

Reads what the plugin (with its ``dev`` extra) and detectron2 ask for from their installed metadata, so it runs in an
environment that holds both: ``make lock``. Versions that the present lock has are kept where they still fit; delete
the lock first to get the newest of everything. Resolves with uv, fetched for this one run, for all platforms at once.
"""

import argparse
import subprocess
import sys
import tempfile
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

from ifc.cli.program import MENDABLE, one_clear_error
from ifc.ytvis.files import whole_file

RESOLVER = "uv==0.13.8"
OLDEST_PYTHON = "3.10"
PINS = (
    "torch==2.15.0 ; python_version >= '3.11'",
    "torch==2.14.1 ; python_version < '3.11'",  # the last release for Python 3.10
    "torchvision==0.29.2",
)
LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
HEADER = """\
# Every package that IFC is tested with, for Python 3.10 to 3.13, with the sha256 of its files on PyPI.
# Made by `make lock` (tools/make_lock.py) from setup.py and from what detectron2 needs: do not edit.
"""


def wanted() -> list[str]:
    """The requirements of the plugin, its tests and detectron2; detectron2 itself has its own installer."""
    found = [Requirement(line) for name in ("detectron2-ifc", "detectron2") for line in requires(name) or []]
    chosen = [r for r in found if r.marker is None or r.marker.evaluate({"extra": "dev"})]
    for requirement in chosen:
        requirement.marker = None
    return sorted({str(requirement) for requirement in chosen} | set(PINS))


@one_clear_error((*MENDABLE, subprocess.CalledProcessError))
def main() -> None:
    """Resolve and write the lock, whole or not at all."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="lock-") as directory, whole_file(LOCK) as lock:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", directory, RESOLVER]
        subprocess.run(pip, check=True)
        if LOCK.exists():
            lock.write_bytes(LOCK.read_bytes())
        resolve = [
            *(f"{directory}/bin/uv", "pip", "compile", "--quiet", "--no-config", "--universal"),
            *("--python-version", OLDEST_PYTHON, "--generate-hashes", "--no-annotate", "--no-header"),
            *("--output-file", str(lock), "-"),
        ]
        subprocess.run(resolve, input="\n".join(wanted()), text=True, check=True)
        lock.write_text(HEADER + lock.read_text())
    print(f"wrote {LOCK}")


if __name__ == "__main__":
    main()
