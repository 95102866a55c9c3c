# SPDX-License-Identifier: Apache-2.0
"""The processes of a run: how they are started and end. On the CPU they talk over gloo, on GPUs over NCCL."""

import contextlib
import logging
import os
import secrets
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import current_process
from multiprocessing.process import BaseProcess

import torch
from detectron2.engine.launch import DEFAULT_TIMEOUT
from detectron2.utils import comm
from torch import distributed
from torch.multiprocessing import ProcessExitedException

from ..data.loaders import STOP_SIGNALS
from ..ytvis.parallel import end_with_parent
from .meeting import meet
from .place import Place

ENDING_SECONDS = 30  # for the other processes when one has ended early, and to say why


@dataclass(frozen=True)
class Processes:
    """The processes that a command line asks for, checked.

    Attributes:
        num_processes: on each machine: one a GPU, or any number on the CPU.
        num_machines, machine_rank: machines in all, and which this one is.
        dist_url: where they meet, as in `detectron2.engine.launch`.
        device: MODEL.DEVICE.

    Raises:
        ValueError: this machine cannot take part in such a run; the message names the option of the command line.
    """

    num_processes: int
    num_machines: int
    machine_rank: int
    dist_url: str
    device: str

    def __post_init__(self) -> None:
        num_gpus, num_machines = torch.cuda.device_count(), self.num_machines
        for option, value in (("--num-gpus", self.num_processes), ("--num-machines", num_machines)):
            if value < 1:
                raise ValueError(f"{option}: found {value}, expected at least 1")
        if not 0 <= self.machine_rank < num_machines:
            expected = f"0 to {num_machines - 1}, below --num-machines"
            raise ValueError(f"--machine-rank: found {self.machine_rank}, expected {expected}")
        if num_machines > 1 and self.dist_url == "auto":
            raise ValueError("--dist-url: found 'auto', expected an address that all machines reach, tcp://HOST:PORT")
        if self.device.startswith("cuda") and self.num_processes > num_gpus:
            raise ValueError(f"--num-gpus: found {self.num_processes}, but this machine has {num_gpus}")


def launch(main: Callable[..., object], processes: Processes, args: tuple = ()) -> None:
    """Run `main(*args)` in every process: one in all runs in place; several on the CPU share its cores evenly.

    If one fails, all end, and one of them says why. SIGTERM and SIGUSR1 are passed on to them; if this process is
    killed, they end, too.

    Raises:
        SystemExit: with the status that the processes ended with: 75 if they were told to stop, see `StopOnSignal`.
    """
    if processes.num_processes * processes.num_machines == 1:
        main(*args)
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments = (processes, folder, main, args)
        context = torch.multiprocessing.spawn(_run, arguments, nprocs=processes.num_processes, join=False)
        try:
            with _passing_on_signals(context.processes):
                while not context.join(grace_period=ENDING_SECONDS):
                    pass
        except ProcessExitedException as exited:
            if exited.signal_name:
                sys.exit(f"error: process {exited.error_index} was ended by {exited.signal_name}")
            alike = all(process.exitcode in (0, exited.exit_code) for process in context.processes)
            sys.exit(exited.exit_code if alike else 1)


@contextlib.contextmanager
def _passing_on_signals(processes: list[BaseProcess]) -> Iterator[None]:
    def pass_on(signum: int, _: object) -> None:
        for process in processes:
            if process.is_alive():
                os.kill(process.pid, signum)

    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield
        return
    before = {signum: signal.signal(signum, pass_on) for signum in STOP_SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _run(local_rank: int, processes: Processes, folder: str, main: Callable[..., object], args: tuple) -> None:
    end_with_parent()
    count = processes.num_processes
    if not processes.device.startswith("cuda"):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(max(1, cores // count))
    rank, world_size = processes.machine_rank * count + local_rank, processes.num_machines * count
    # Unlike a port that was free a moment ago, a new file is nobody else's.
    url = f"file://{folder}/meeting" if processes.dist_url == "auto" else processes.dist_url
    place = Place(rank, world_size, local_rank, count, url, says="--dist-url")
    failures = distributed.FileStore(f"{folder}/failures", count)
    with one_says_why(failures), process_group(place, meet(place), processes.device):
        main(*args)


@contextlib.contextmanager
def one_says_why(store: distributed.Store) -> Iterator[None]:
    """Of all processes that fail, let the first say why: the others fail because it is gone. They end with status 1.

    A process that ends with another status, as in `sys.exit(75)`, ends with it.
    """
    try:
        yield
    except (Exception, SystemExit) as end:
        if isinstance(end, SystemExit) and not isinstance(end.code, str):
            raise
        with contextlib.suppress(RuntimeError):  # the process that keeps the store is gone, and has said why
            if store.add("failed", 1) == 1:
                sys.stderr.write(_reason(end))
                sys.stderr.flush()
                store.set("said", "")
            else:  # to end could be to have that one ended before it has said it
                store.wait(["said"], timedelta(seconds=ENDING_SECONDS))
        if has_lost_another(end) and distributed.is_initialized():
            logging.shutdown()
            sys.stdout.flush()
            os._exit(1)  # at once: gloo's threads may still be at work, and to take them down now and then aborts
        sys.exit(1)


def has_lost_another(error: BaseException) -> bool:
    """Whether an error is that another process has ended, or does not answer; gloo's has no type of its own."""
    return isinstance(error, distributed.DistError) or "gloo/transport" in str(error)


def _reason(end: Exception | SystemExit) -> str:
    """What to print of it: all of the path through the code only where this process is where something went wrong."""
    if isinstance(end, SystemExit):
        return f"{end.code}\n"
    if has_lost_another(end):
        reason, _, _ = str(end).splitlines()[0].partition(". ")
        return f"error: another process has ended or does not answer: {reason}\n"
    return traceback.format_exc()


@contextlib.contextmanager
def process_group(place: Place, store: distributed.Store, device: str) -> Iterator[None]:
    """torch's process group of all that have met and detectron2's of those of a machine; on GPUs each gets its own.

    Raises:
        SystemExit: this machine has more processes than GPUs.
    """
    is_gpu = device.startswith("cuda")
    if is_gpu:
        visible = torch.cuda.device_count()
        num_gpus = max(visible, place.num_gpus)
        if place.local_world_size > num_gpus:
            found = f"found {place.local_world_size} processes on a machine of {num_gpus}"
            sys.exit(f"error: {place.says}: {found}, expected one a GPU at most")
        torch.cuda.set_device(place.local_rank % visible)  # srun may show each task its own alone, as number 0
    ranks = {"rank": place.rank, "world_size": place.world_size}
    distributed.init_process_group("nccl" if is_gpu else "gloo", store=store, timeout=DEFAULT_TIMEOUT, **ranks)
    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(place.local_world_size)
    else:  # v0.5 and v0.6, whose launcher sets it as well
        comm._LOCAL_PROCESS_GROUP, _ = distributed.new_subgroups(place.local_world_size)
    if place.rank == 0:
        store.set("authkey", secrets.token_hex())
    current_process().authkey = store.get("authkey")  # without it, none opens the shared memory of another
    yield
    # Not after an error: the others would fail too, of a closed connection, and that might be what is shown.
    distributed.destroy_process_group()
