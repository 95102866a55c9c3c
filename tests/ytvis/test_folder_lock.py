# SPDX-License-Identifier: Apache-2.0
"""Locks between processes, between threads, and of several things in one folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from ifc.ytvis import folder_lock
from ifc.ytvis.folder_lock import FolderInUseError, FolderLock

PROGRAM = """
import sys
from ifc.ytvis.folder_lock import FolderInUseError, FolderLock
for line in sys.stdin:
    try:
        FolderLock(sys.argv[1], line[:-1])
        print("locked", flush=True)
    except FolderInUseError:
        print("in use", flush=True)
"""


@pytest.fixture
def other(tmp_path):
    """Another process, which locks what it is asked for and keeps it."""
    environment = {"PYTHONPATH": str(Path(folder_lock.__file__).parents[2])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen([sys.executable, "-c", PROGRAM, tmp_path], **pipes) as process:

        def lock(name):
            process.stdin.write(f"{name}\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        lock.process = process
        yield lock
        process.kill()


def test_a_folder_is_one_run_s(tmp_path, other):
    assert other("") == "locked"
    with pytest.raises(FolderInUseError, match=rf"^{tmp_path}: .*process {other.process.pid}"):
        FolderLock(tmp_path)
    other.process.kill()
    other.process.wait()
    FolderLock(tmp_path).release()


def test_each_name_is_locked_by_itself(tmp_path, other):
    clip, cats = FolderLock(tmp_path, "clip"), FolderLock(tmp_path, "cats")
    with pytest.raises(FolderInUseError):  # in this process, too, as of another thread
        FolderLock(tmp_path / ".." / tmp_path.name, "clip")
    assert [other(name) for name in ("clip", "cats", "dogs", "")] == ["in use", "in use", "locked", "locked"]
    cats.release()
    assert [other(name) for name in ("clip", "cats")] == ["in use", "locked"], "one is let go, the other one kept"
    with pytest.raises(FolderInUseError):
        FolderLock(tmp_path, "cats")
    clip.release()
    assert other("clip") == "locked"


def test_where_nothing_can_be_locked_it_is_said_once(tmp_path, monkeypatch, caplog):
    def lockf(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(folder_lock.fcntl, "lockf", lockf)
    for name in ("a", "b"):
        with FolderLock(tmp_path, name), pytest.raises(FolderInUseError):
            FolderLock(tmp_path, name)
    assert [record.getMessage().count("No locks available") for record in caplog.records] == [1]
