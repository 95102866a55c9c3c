# SPDX-License-Identifier: Apache-2.0
"""runs.json, and the state of git in it."""

import json
import shlex
import subprocess
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import pytest
from engine.tiny import tiny_config

from ifc.engine.run_record import git_state, record_start


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository with one commit of code.py; no other configuration of git's counts."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "test")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "test@example.com")
    root = tmp_path / "repository"
    root.mkdir()
    (root / "code.py").write_text("first")
    for words in ("init", "add code.py", "commit -m first"):
        subprocess.run(["git", *words.split()], cwd=root, check=True, capture_output=True)
    return root


def test_git_state(repository, tmp_path):
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, check=True, capture_output=True, text=True)
    clean = {"commit": head.stdout.strip(), "has_changes": False}
    assert git_state(repository / "code.py") == clean
    (repository / "installed.py").write_text("a package in an environment within a repository")
    assert git_state(repository / "installed.py") is None
    assert git_state(repository / "code.py") == clean
    (repository / "code.py").write_text("second")
    assert git_state(repository / "code.py") == clean | {"has_changes": True}
    assert git_state(tmp_path / "code.py") is None


def test_without_git(repository, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert git_state(repository / "code.py") is None


def test_every_start_is_kept(tmp_path, monkeypatch):
    for words in (["train_net.py", "SOLVER.MAX_ITER", "5"], ["train_net.py", "--resume", "a b"]):
        monkeypatch.setattr(sys, "argv", words)
        record_start(tiny_config(tmp_path, "SEED", 7))
    first, second = json.loads((tmp_path / "output" / "runs.json").read_text())
    assert shlex.split(first["command"]) == [sys.executable, "train_net.py", "SOLVER.MAX_ITER", "5"]
    assert shlex.split(second["command"])[1:] == ["train_net.py", "--resume", "a b"]
    assert datetime.fromisoformat(first["time"]) <= datetime.fromisoformat(second["time"])
    assert first["versions"]["torch"] == version("torch") and first["versions"]["python"] in sys.version
    assert (first["device"], first["processes"], first["seed"]) == ("cpu", 1, 7)


@pytest.mark.parametrize("content", ["{}", "[1"])
def test_a_record_that_cannot_be_continued(tmp_path, content):
    cfg = tiny_config(tmp_path)
    path = tmp_path / "output" / "runs.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"^{path}: "):
        record_start(cfg)
    assert path.read_text() == content
