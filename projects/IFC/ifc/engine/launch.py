# SPDX-License-Identifier: Apache-2.0
"""Starting one process a GPU, or several processes on the CPU, and ending them all with one message."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from detectron2.engine import launch as launch_on_gpus
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from ..ytvis.parallel import end_with_parent


def check_processes(num_processes: int, num_machines: int, machine_rank: int, dist_url: str, device: str) -> None:
    """Whether this machine can take part in such a launch.

    Raises:
        ValueError: if not; the message names the option of the command line.
    """
    for option, value in (("--num-gpus", num_processes), ("--num-machines", num_machines)):
        if value < 1:
            raise ValueError(f"{option}: found {value}, expected at least 1")
    if not 0 <= machine_rank < num_machines:
        raise ValueError(
            f"--machine-rank: found {machine_rank}, expected 0 to {num_machines - 1}, below --num-machines"
        )
    if num_machines > 1 and dist_url == "auto":
        raise ValueError("--dist-url: found 'auto', expected an address that all machines reach, tcp://HOST:PORT")
    if device.startswith("cuda") and num_processes > torch.cuda.device_count():
        raise ValueError(f"--num-gpus: found {num_processes}, but this machine has {torch.cuda.device_count()}")


def launch(
    main: Callable[..., object],
    num_processes: int,
    num_machines: int,
    machine_rank: int,
    dist_url: str,
    args: tuple,
    device: str,
) -> None:
    """Run `main(*args)` in `num_processes` processes on each of `num_machines` machines.

    On GPUs this is detectron2's launcher (NCCL, one process a GPU). On the CPU the processes talk over gloo and share
    the cores evenly. One process in all runs in place.

    A process that ends with `sys.exit(…)` ends them all with that message or status; of several messages one is shown.
    If this process is killed, the others end, too.

    Args:
        device: MODEL.DEVICE.
        other arguments: as those of `detectron2.engine.launch`.

    Raises:
        SystemExit: if a process was ended or killed.
        torch.multiprocessing.ProcessRaisedException: if one raised another exception; it has that one's traceback.
    """
    if num_processes * num_machines == 1:
        main(*args)
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            if device.startswith("cpu"):
                # Unlike a port that was free a moment ago, a new file is nobody else's.
                url = f"file://{folder}/rendezvous" if dist_url == "auto" else dist_url
                ranks = (machine_rank * num_processes, num_machines * num_processes)
                arguments = (*ranks, max(1, _num_cores() // num_processes), url, main, args, folder)
                torch.multiprocessing.spawn(_run_on_cpu, arguments, nprocs=num_processes)
            else:
                arguments = (folder, main, args)
                launch_on_gpus(_run, num_processes, num_machines, machine_rank, dist_url, args=arguments)
        except (ProcessExitedException, ProcessRaisedException) as exited:
            # Looked for first: a process that waits for the one that left a message fails too, and may do so before it.
            for message in Path(folder).glob("*.message"):
                sys.exit(message.read_text())
            if isinstance(exited, ProcessRaisedException):
                raise
            if exited.signal_name:
                sys.exit(f"error: process {exited.error_index} was ended by {exited.signal_name}")
            sys.exit(exited.exit_code)


def _num_cores() -> int:
    """Of those that this program may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


def _run_on_cpu(
    local_rank: int,
    first_rank: int,
    world_size: int,
    num_threads: int,
    dist_url: str,
    main: Callable[..., object],
    args: tuple,
    folder: str,
) -> None:
    torch.set_num_threads(num_threads)
    with _launched(folder):
        try:
            rank = first_rank + local_rank
            torch.distributed.init_process_group("gloo", init_method=dist_url, world_size=world_size, rank=rank)
        except (RuntimeError, ValueError) as error:  # the address is taken, or is none
            reason = str(error).splitlines()[0]
            sys.exit(
                f"error: --dist-url {dist_url}: the processes cannot meet there (on one machine, 'auto' finds a free "
                f"address): {reason}"
            )
        main(*args)
        # Not after an error: the others would fail too, of a closed connection, and that might be what is shown.
        torch.distributed.destroy_process_group()
