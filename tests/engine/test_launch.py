# SPDX-License-Identifier: Apache-2.0
"""One process or several, and how a run ends when one of them does. (Real trainings: tests/test_train_net.py.)"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from detectron2.utils import comm

from ifc.engine import Processes, launch, meeting
from ifc.engine.launch import one_says_why, process_group
from ifc.engine.meeting import meet, was_restarted
from ifc.engine.place import Place

URL = "tcp://127.0.0.1:50000"


def test_one_process_runs_in_place():
    seen = []
    launch(lambda *args: seen.append((args, threading.get_ident())), Processes(1, 1, 0, URL, "cpu"), (1, 2))
    assert seen == [((1, 2), threading.get_ident())]


@contextlib.contextmanager
def launched(folder: Path, main: str):
    """A program that launches two processes which run `main`, a piece of Python with `rank`; its output is piped."""
    program = f"""
import os, signal, sys, time
from detectron2.utils import comm
from ifc.engine import Processes, launch

def main():
    rank = comm.get_rank()
    {main}

if __name__ == "__main__":
    launch(main, Processes(2, 1, 0, "auto", "cpu"))
"""
    (folder / "program.py").write_text(program)  # spawned processes import it
    command = [sys.executable, str(folder / "program.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        yield run


WAIT = r"os.write(1, b'waiting\n'); time.sleep(60)"  # in one piece, which print is not


def test_a_killed_process_ends_the_others(tmp_path):
    """What they say is that they have lost one, not where they were."""
    with launched(tmp_path, "comm.all_gather(0) if rank == 0 else os.kill(os.getpid(), signal.SIGKILL)") as run:
        output, errors = run.communicate(timeout=120)
    *others, last = errors.splitlines()
    assert (output, last, run.returncode) == ("", "error: process 1 was ended by SIGKILL", 1)
    assert len(others) <= 1 and all(line.startswith("error: another process has ended") for line in others)


def test_signals_reach_every_process_and_their_status_comes_back(tmp_path):
    """The second takes longer to end, and is waited for."""
    warn = "signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b'warned\\n'))"
    stop = "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(rank), os.write(1, b'stopped\\n'), sys.exit(75)))"
    with launched(tmp_path, f"{warn}; {stop}; {WAIT}") as run:
        for signum, answer in ((0, "waiting"), (signal.SIGUSR1, "warned"), (signal.SIGTERM, "stopped")):
            run.send_signal(signum)
            assert [run.stdout.readline() for _ in range(2)] == [f"{answer}\n"] * 2
        assert run.communicate(timeout=60) == ("", "")
    assert run.returncode == 75


def test_killing_the_launching_process_ends_the_others(tmp_path):
    """Ctrl-C does not reach them where a shell started the program in the background, which is what is tried here."""
    with launched(tmp_path, f"signal.signal(signal.SIGINT, signal.SIG_IGN); {WAIT}") as run:
        for _ in range(2):
            assert run.stdout.readline() == "waiting\n"
        run.kill()
        # The output ends with the last process that holds it.
        assert run.communicate(timeout=30)[0] == ""


def tell_place(folder):
    rank, world_size = comm.get_rank(), comm.get_world_size()
    local = f"{comm.get_local_rank()} of {comm.get_local_size()}"
    Path(folder, f"{rank} of {world_size}, {local}, with {torch.get_num_threads()}").touch()


def test_several_machines_with_a_cpu_each(tmp_path):
    """Two launches on this machine stand for two machines; they meet in a file."""
    url = f"file://{tmp_path}/meeting"
    with ThreadPoolExecutor(2) as pool:
        machines = [Processes(1, 2, rank, url, "cpu") for rank in range(2)]
        list(pool.map(lambda processes: launch(tell_place, processes, (str(tmp_path),)), machines))
    cores = len(os.sched_getaffinity(0))
    assert {path.name for path in tmp_path.iterdir()} >= {f"{rank} of 2, 0 of 1, with {cores}" for rank in range(2)}


def test_address_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SystemExit) as end:
            meet(Place(0, 2, 0, 2, url, "--dist-url"))
    assert end.value.code.startswith(f"error: --dist-url: the processes cannot meet at {url}: ")
    assert "\n" not in end.value.code


@pytest.mark.parametrize(
    ("rank", "url", "found"),
    [(0, "tcp://127.0.0.1:0", "1/2 clients"), (1, "tcp://127.0.0.1:9", ""), (0, "file://{folder}/meeting", ": 1$")],
)
def test_processes_that_do_not_come(monkeypatch, tmp_path, rank, url, found):
    monkeypatch.setattr(meeting, "MEETING_TIME", timedelta(seconds=1))
    url = url.format(folder=tmp_path)
    with pytest.raises(SystemExit, match=f"^error: srun: the processes cannot meet at {url}: .*{found}"):
        meet(Place(rank, 2, rank, 2, url, "srun"))


@pytest.mark.parametrize("restarted", [{}, {0}, {2}])
def test_who_meets_a_second_time_finds_nothing_of_the_first(tmp_path, restarted):
    """torchrun keeps the store for all attempts, and tells a restart to those of the machine that lost a process."""
    url = f"file://{tmp_path}/meeting"
    for attempt in ("first", "second"):
        places = [Place(rank, 3, 0, 1, url, "torchrun", is_restarted=rank in restarted) for rank in range(3)]
        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(meet, place) for place in places[:2]]
            time.sleep(0.2)
            assert not any(process.done() for process in waiting)  # until the third has come
            stores = [meet(places[2]), *(process.result() for process in waiting)]
        stores[0].set("attempt", attempt)
        assert [was_restarted(store) for store in stores] == [bool(restarted)] * 3
        assert [store.get("attempt").decode() for store in stores] == [attempt] * 3
        assert stores[1].add("failed", 1) == 1


@pytest.mark.parametrize("first", [SystemExit("error: first"), AssertionError("first")])
def test_who_fails_later_says_nothing(tmp_path, capsys, first):
    for end in (first, SystemExit("error: second")):
        store = torch.distributed.FileStore(f"{tmp_path}/failures", 2)
        with pytest.raises(SystemExit, match="^1$"), one_says_why(store):
            raise end
    said = capsys.readouterr().err
    assert said.endswith("first\n") and "second" not in said
    assert ("Traceback" in said) == isinstance(first, AssertionError)


@pytest.mark.parametrize("status", [0, 75])
def test_a_status_says_nothing(tmp_path, capsys, status):
    store = torch.distributed.FileStore(f"{tmp_path}/failures", 2)
    with pytest.raises(SystemExit, match=f"^{status}$"), one_says_why(store):
        sys.exit(status)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("local_rank", "visible", "num_gpus", "chosen"), [(1, 4, 0, 1), (3, 1, 4, 0), (0, 1, 1, None), (0, 2, 3, None)]
)
def test_the_gpu_of_a_process(monkeypatch, local_rank, visible, num_gpus, chosen):
    """srun may show each task the one GPU that it gave to it; then SLURM_GPUS_ON_NODE tells how many there are."""
    seen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    monkeypatch.setattr(torch.cuda, "set_device", seen.append)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend, **_: sys.exit(backend))
    with (
        pytest.raises(SystemExit) as end,
        process_group(Place(local_rank, 4, local_rank, 4, URL, "srun", num_gpus), None, "cuda"),
    ):
        pass
    expected = f"error: srun: found 4 processes on a machine of {max(visible, num_gpus)}, expected one a GPU at most"
    assert (seen, end.value.code) == (([], expected) if chosen is None else ([chosen], "nccl"))


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
