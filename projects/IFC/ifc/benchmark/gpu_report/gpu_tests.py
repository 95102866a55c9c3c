# SPDX-License-Identifier: Apache-2.0
"""The tests of the checkout that are marked `gpu`, as pytest runs them."""

import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from .settings import NotAvailable, Parts, Rows, Settings

FOLDER = Path("tests") / "gpu"
TO_END = 6.0  # seconds in which pytest writes its results
INTERRUPTED = 2  # pytest's status


def parts(settings: Settings) -> Parts:
    """All of them at once.

    Raises:
        NotAvailable: there are no tests, or no pytest.
    """
    if not (Path(settings.checkout) / FOLDER).is_dir():
        raise NotAvailable(f"no {FOLDER} in {settings.checkout}, expected a checkout")
    if find_spec("pytest") is None:
        raise NotAvailable("pytest is not installed")
    return {"pytest": lambda: run_tests(settings)}


def run_tests(settings: Settings) -> Rows:
    """How many passed and failed; of those that failed the name and the last line."""
    results = Path(settings.folder) / "tests.xml"
    # Without the other tests' conftest.py, whose libraries may be missing here.
    options = ["-m", "gpu", "--noconftest", "-p", "no:cacheprovider", f"--junitxml={results}"]
    process = subprocess.Popen([sys.executable, "-m", "pytest", *options, str(FOLDER)], cwd=settings.checkout)
    try:
        process.wait(max(settings.seconds_left - TO_END, 1))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # it writes what it has
        process.wait()
    if not results.is_file():
        raise RuntimeError(f"pytest ended with status {process.returncode} and without results")
    suite = ElementTree.parse(results).getroot().find("testsuite")
    counts = {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}
    ended = "interrupted" if process.returncode == INTERRUPTED else "all run"
    rows: Rows = {"marked gpu": {**counts, "seconds": float(suite.get("time")), "end": ended}}
    for case in suite.iter("testcase"):
        for problem in (*case.findall("failure"), *case.findall("error")):
            lines = [line for line in (problem.text or "").splitlines() if line.strip()]
            rows[f"{case.get('classname')}::{case.get('name')}"] = {"failed": lines[-1] if lines else ""}
    return rows
