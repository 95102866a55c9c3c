# SPDX-License-Identifier: Apache-2.0
"""`ifc batch`: videos over two workers of a Ray cluster, which are killed, as are their drivers."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from outputs.shard_process import NUM_VIDEOS, finished, partial_files, results, run_shards, start, words_of

from ifc.cli.main import main
from ifc.outputs import SegmentSettings, find_inputs
from ifc.outputs.manifest import read_manifest

os.environ["RAY_AUTH_MODE"] = "token"  # which Ray reads when it is imported
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # once: drivers import this, too
pytest.importorskip("ray", reason="needs Ray: pip install 'detectron2-ifc[ray]'")

CLUSTER = """
import ray, sys
ray.init("local", num_cpus=2, object_store_memory=100_000_000, include_dashboard=False, log_to_driver=False)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def address():
    """Of a cluster, which ends with this process, too."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    env = {**os.environ, "RAY_worker_niceness": "0"}  # else they wait for whatever else the machine does
    with subprocess.Popen([sys.executable, "-c", CLUSTER], env=env, **pipes) as cluster:
        yield cluster.stdout.readline().strip()
        cluster.stdin.close()


def batch(root: Path, output: Path, *words: str) -> int:
    """The exit status of `ifc batch` of the videos in `root`."""
    try:
        main(["batch", *words_of(root, output), "--workers", "2", *words])
    except SystemExit as end:
        return print(end, file=sys.stderr) or 1 if isinstance(end.code, str) else end.code
    return 0


def wait_for(happens: Callable[[], Any]) -> Any:
    end = time.monotonic() + 600
    while not (found := happens()):
        assert time.monotonic() < end
        time.sleep(0.005)
    return found


@contextlib.contextmanager
def meanwhile(function: Callable[[], Any]):
    """Run it beside the block. The list that this gives has what it returned, after the block."""
    returned: list[Any] = []
    thread = threading.Thread(target=lambda: returned.append(function()))
    thread.start()
    yield returned
    thread.join()


def kill_worker(output: Path) -> str:
    """Kill a worker that is at a video. Returns the folder of the video; "" if there is none now."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"ray::" not in (process / "cmdline").read_bytes():
                continue
            opened = [Path(os.readlink(each)).parent for each in (process / "fd").iterdir()]
            at = next((path for path in opened if path.parent == output and path.suffix == ".part"), None)
            if at is not None:
                os.kill(int(process.name), signal.SIGSTOP)  # so that it is still at it when it is killed
                is_at_it = read_manifest(at).get("status") == "running"
                os.kill(int(process.name), signal.SIGKILL if is_at_it else signal.SIGCONT)
                return at.stem if is_at_it else ""
    return ""


def attempts(output: Path) -> dict[str, int]:
    return {name: read_manifest(output / name)["attempts"] for name in finished(output)}


def test_a_killed_worker_loses_no_finished_video(address, root, one, tmp_path, monkeypatch):
    from ifc.outputs import ray_engine

    monkeypatch.setattr(ray_engine, "_MOST_TASKS", 3)  # of two videos each, but for two of one

    def kill() -> tuple[str, dict[str, int]]:
        wait_for(lambda: finished(tmp_path))
        return wait_for(lambda: kill_worker(tmp_path)), finished(tmp_path)

    with meanwhile(kill) as killed:
        assert batch(root, tmp_path, "--address", address) == 0
    ((lost, before),) = killed
    assert before and before.items() <= finished(tmp_path).items(), "none is done twice"
    assert attempts(tmp_path) == {name: 1 + (name == lost) for name in finished(tmp_path)}
    assert results(tmp_path) == one
    assert partial_files(tmp_path) == []
    (record,) = (tmp_path / ".outcomes").iterdir()
    outcomes = [json.loads(line) for line in record.read_text().splitlines()]
    assert sorted(outcome["folder"] for outcome in outcomes) == sorted(
        str(tmp_path / name) for name in finished(tmp_path)
    )
    assert {outcome["status"] for outcome in outcomes} == {"finished"}


def test_what_was_lost_with_the_driver_or_interrupted_is_done_by_the_next_run(address, root, one, tmp_path):
    driver = start(batch, root, tmp_path, "--address", address)
    wait_for(lambda: finished(tmp_path) or not driver.is_alive())
    driver.kill()
    driver.join()
    before = finished(tmp_path)
    assert 0 < len(before) < NUM_VIDEOS

    def interrupt() -> None:
        wait_for(lambda: len(finished(tmp_path)) > len(before))
        os.kill(os.getpid(), signal.SIGTERM)

    with meanwhile(interrupt):
        assert batch(root, tmp_path, "--address", address) == 130
    statuses = {read_manifest(path.parent)["status"] for path in tmp_path.glob("*/video.json")}
    assert statuses <= {"finished", "interrupted", "running"}
    assert run_shards(root, tmp_path, 1) == [0]  # without Ray
    assert before.items() <= finished(tmp_path).items(), "none is done twice"
    assert results(tmp_path) == one
    assert partial_files(tmp_path) == []
    assert {path.suffix for path in (tmp_path / ".outcomes").iterdir()} == {".jsonl"}


def test_a_worker_without_the_weights_ends_the_run(address, root, tmp_path, monkeypatch):
    from ifc.outputs.ray_engine import Workers, cluster, segment_by_ray

    monkeypatch.chdir(root)  # where the driver finds them
    model, stop_file = {"name": "model.pth", "config_file": str(root / "video.yaml")}, tmp_path / "stop"
    inputs = find_inputs([str(root / "videos" / "*" / "*.mp4")])
    with cluster(address):
        outcomes = list(segment_by_ray(inputs, tmp_path, model, SegmentSettings(), Workers(1), stop_file))
    (outcome,) = outcomes
    assert outcome.status == "broken" and "model.pth" in outcome.error and stop_file.exists()
    assert finished(tmp_path) == {} and partial_files(tmp_path) == []


@pytest.mark.parametrize(
    "words, named",
    [
        (("--weights", "nowhere.pth"), "nowhere.pth"),
        (("--gpus", "100"), "100 GPUs"),
        (("--address", "127.0.0.1:1"), "127.0.0.1:1"),
    ],
)
def test_what_a_cluster_lacks_is_one_line(address, root, tmp_path, capfd, words, named):
    assert batch(root, tmp_path, "--address", address, *words) == 1
    said = capfd.readouterr().err.splitlines()
    (line,) = [line for line in said if not line.startswith(("loading the model", "["))]  # [: a line of Ray's log
    assert line.startswith("error: ") and named in line
    assert finished(tmp_path) == {} and partial_files(tmp_path) == []


def test_without_ray_one_line_says_how_to_get_it(root, tmp_path, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "ifc.outputs.ray_engine", raising=False)
    assert batch(root, tmp_path) == 1
    assert "detectron2-ifc[ray]" in capfd.readouterr().err.splitlines()[-1]
