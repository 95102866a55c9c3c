# SPDX-License-Identifier: Apache-2.0
"""What detectron2's launcher lacks: processes on the CPU, and an end of them all with one message."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from detectron2.engine import launch as launch_on_gpus
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from ..ytvis.parallel import end_with_parent


@dataclass(frozen=True)
class Processes:
    """The processes of a run, checked.

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
    """Run `main(*args)` in every process: one in all runs in place, several on the CPU talk over gloo and share its
    cores evenly, those on GPUs are detectron2's.

    A process that ends with `sys.exit(…)` ends them all with that message or status; of several messages one is shown.
    If this process is killed, the others end, too.

    Raises:
        SystemExit: if a process was ended or killed.
        torch.multiprocessing.ProcessRaisedException: if one raised another exception; it has that one's traceback.
    """
    if processes.num_processes * processes.num_machines == 1:
        main(*args)
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            if processes.device.startswith("cpu"):
                arguments = (processes, folder, main, args)
                torch.multiprocessing.spawn(_run_on_cpu, arguments, nprocs=processes.num_processes)
            else:
                where = (processes.num_processes, processes.num_machines, processes.machine_rank, processes.dist_url)
                launch_on_gpus(_run, *where, args=(folder, main, args))
        except (ProcessExitedException, ProcessRaisedException) as exited:
            # Looked for first: a process that waits for the one that left a message fails too, and may do so before it.
            for message in Path(folder).glob("*.message"):
                sys.exit(message.read_text())
            if isinstance(exited, ProcessRaisedException):
                raise
            if exited.signal_name:
                sys.exit(f"error: process {exited.error_index} was ended by {exited.signal_name}")
            sys.exit(exited.exit_code)


@contextlib.contextmanager
def _launched(folder: str) -> Iterator[None]:
    """What a launched process owes the launching one: to end with it, however that is ended, and to leave the message
    of a `sys.exit(message)` in `folder`, for it to print.
    """
    end_with_parent()
    try:
        yield
    except SystemExit as end:
        if not isinstance(end.code, str):
            raise
        unfinished = Path(folder, f"{os.getpid()}.unfinished")
        unfinished.write_text(end.code)
        unfinished.replace(unfinished.with_suffix(".message"))
        sys.exit(1)


def _run(folder: str, main: Callable[..., object], args: tuple) -> None:
    with _launched(folder):
        main(*args)


def _run_on_cpu(local_rank: int, processes: Processes, folder: str, main: Callable[..., object], args: tuple) -> None:
    count, url = processes.num_processes, processes.dist_url
    rank, world_size = processes.machine_rank * count + local_rank, processes.num_machines * count
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(max(1, cores // count))
    with _launched(folder):
        try:
            # Unlike a port that was free a moment ago, a new file is nobody else's.
            place = f"file://{folder}/rendezvous" if url == "auto" else url
            torch.distributed.init_process_group("gloo", init_method=place, world_size=world_size, rank=rank)
        except (RuntimeError, ValueError) as error:  # the address is taken, or is none
            advice = "the processes cannot meet there (on one machine, 'auto' finds a free address)"
            sys.exit(f"error: --dist-url {url}: {advice}: {str(error).splitlines()[0]}")
        main(*args)
        # Not after an error: the others would fail too, of a closed connection, and that might be what is shown.
        torch.distributed.destroy_process_group()
