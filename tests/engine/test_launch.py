# SPDX-License-Identifier: Apache-2.0
"""One process or several, and how a run ends when one of them does. (Real processes: tests/test_train_net.py.)"""

import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from ifc.engine import Processes, launch

launch_module = sys.modules["ifc.engine.launch"]
URL = "tcp://127.0.0.1:50000"


def test_one_process_runs_in_place():
    seen = []
    launch(lambda *args: seen.append((args, threading.get_ident())), Processes(1, 1, 0, URL, "cpu"), (1, 2))
    assert seen == [((1, 2), threading.get_ident())]


@pytest.mark.parametrize("failed", [ProcessExitedException("", 0, 99, exit_code=1), ProcessRaisedException("", 1, 98)])
def test_of_several_messages_one_is_shown(monkeypatch, failed):
    """Also if the process noticed first is one that failed because the others had ended."""

    def spawn(_, arguments, **__):
        for process in ("98", "99"):
            Path(arguments[1], f"{process}.message").write_text("error: no")
        raise failed

    monkeypatch.setattr(torch.multiprocessing, "spawn", spawn)
    with pytest.raises(SystemExit) as end:
        launch(print, Processes(2, 1, 0, URL, "cpu"))
    assert end.value.code == "error: no"


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (
            ProcessExitedException("", 1, 99, exit_code=-9, signal_name="SIGKILL"),
            "error: process 1 was ended by SIGKILL",
        ),
        (ProcessExitedException("", 0, 99, exit_code=3), 3),
    ],
)
def test_a_process_that_leaves_no_message(monkeypatch, ended, code):
    def spawn(*_, **__):
        raise ended

    monkeypatch.setattr(torch.multiprocessing, "spawn", spawn)
    with pytest.raises(SystemExit) as end:
        launch(print, Processes(2, 1, 0, URL, "cpu"))
    assert end.value.code == code


def test_an_exception_keeps_its_traceback(monkeypatch):
    def spawn(*_, **__):
        raise ProcessRaisedException("Traceback of the process", 0, 99)

    monkeypatch.setattr(torch.multiprocessing, "spawn", spawn)
    with pytest.raises(ProcessRaisedException, match="Traceback of the process"):
        launch(print, Processes(2, 1, 0, URL, "cpu"))


def tell_place(folder):
    rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    Path(folder, f"{rank} of {world_size} with {torch.get_num_threads()}").touch()


def test_several_machines_with_a_cpu_each(tmp_path):
    """Two launches on this machine stand for two machines; they meet in a file."""
    url = f"file://{tmp_path}/meeting"
    with ThreadPoolExecutor(2) as pool:
        machines = [Processes(1, 2, rank, url, "cpu") for rank in range(2)]
        list(pool.map(lambda processes: launch(tell_place, processes, (str(tmp_path),)), machines))
    cores = len(os.sched_getaffinity(0))
    assert {path.name for path in tmp_path.iterdir()} >= {f"{rank} of 2 with {cores}" for rank in range(2)}


def test_gpus_go_through_detectron2s_launcher(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(launch_module, "launch_on_gpus", lambda *args, **kwargs: calls.append((args, kwargs)))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    launch(print, Processes(4, 2, 1, URL, "cuda"), ("a",))
    (run, *arguments), keywords = calls[0]
    assert arguments == [4, 2, 1, URL]
    assert keywords["args"][1:] == (print, ("a",))
    with pytest.raises(SystemExit) as end:
        run(str(tmp_path), sys.exit, ("error: no",))
    assert end.value.code == 1
    assert [path.read_text() for path in tmp_path.iterdir()] == ["error: no"]


def test_killing_the_launching_process_ends_the_others():
    """Ctrl-C does not reach them where a shell started the program in the background, which is what is tried here."""
    wait = r"import os, time; os.write(1, b'waiting\n'); time.sleep(60)"  # in one piece, which print is not
    program = f"""
import signal
from ifc.engine import Processes, launch
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    launch(exec, Processes(2, 1, 0, "auto", "cpu"), ({wait!r},))
"""
    run = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    for _ in range(2):
        assert run.stdout.readline() == "waiting\n"
    run.kill()
    # The output ends with the last process that holds it.
    assert run.communicate(timeout=30) == ("", None)


def test_address_that_is_taken(tmp_path):
    threads = torch.get_num_threads()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SystemExit):
            launch_module._run_on_cpu(0, Processes(2, 1, 0, url, "cpu"), str(tmp_path), print, ())
    torch.set_num_threads(threads)
    assert [path.read_text().partition(" there")[0] for path in tmp_path.iterdir()] == [
        f"error: --dist-url {url}: the processes cannot meet"
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 0, URL, "cpu"), "--num-gpus: found 0, expected at least 1"),
        ((1, 0, 0, URL, "cpu"), "--num-machines: found 0, expected at least 1"),
        ((1, 2, 2, URL, "cpu"), "--machine-rank: found 2, expected 0 to 1, below --num-machines"),
        ((1, 2, 0, "auto", "cpu"), "--dist-url: found 'auto', expected an address that all machines reach"),
        ((3, 1, 0, URL, "cuda"), "--num-gpus: found 3, but this machine has 2"),
    ],
)
def test_processes_that_cannot_be(monkeypatch, arguments, message):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match=f"^{message}"):
        Processes(*arguments)


def test_processes_that_can_be(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    Processes(2, 1, 0, "auto", "cuda")
    Processes(3, 4, 3, URL, "cpu")
