# SPDX-License-Identifier: Apache-2.0
"""Settings that all tests share."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples on every run, and no time limit for one: the machines that run the tests are small and shared.
settings.register_profile("ifc", deadline=None, derandomize=True)
settings.load_profile("ifc")

# The order in which torch sums depends on the number of threads, which by default is the machine's number of cores.
# Set before torch is imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def traced_graphs(monkeypatch) -> list:
    """The graphs that torch.compile traces in a test. They run as traced: the compiler's own output takes minutes."""
    import torch  # not before OMP_NUM_THREADS is set

    graphs = []

    def run_traced(graph, _):
        graphs.append(graph)
        return graph.forward

    compile_function = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, mode, **kw: compile_function(f, backend=run_traced, **kw))
    torch._dynamo.reset()
    return graphs


@pytest.fixture(scope="session")
def browser():
    """One Chromium for all tests of pages: the system's, as playwright's own is not in every distribution."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        say = pytest.fail if os.environ.get("IFC_REQUIRE_CHROMIUM") else pytest.skip
        say("no chromium on the PATH, which tests of pages need (Debian, Ubuntu: apt-get install chromium)")
    with sync_playwright() as playwright:
        # Chromium's sandbox refuses to run as root, as in containers; the pages are our own.
        browser = playwright.chromium.launch(executable_path=chromium, chromium_sandbox=False)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def exported_toy(tmp_path_factory) -> tuple:
    """The toy model's networks in ONNX's format, as examples/export_onnx.py writes them, and what that prints."""
    folder = tmp_path_factory.mktemp("onnx") / "toy"
    program = Path(__file__).resolve().parents[1] / "examples" / "export_onnx.py"
    done = subprocess.run([sys.executable, program, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout.splitlines()
