# SPDX-License-Identifier: Apache-2.0
"""Starting one process a GPU, or several processes on the CPU."""

import os
from collections.abc import Callable

import torch
from detectron2.engine import launch as launch_on_gpus


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

    On GPUs this is detectron2's launcher (NCCL, one process a GPU). On the CPU the processes talk over gloo and share the
    cores evenly. One process in all runs in place.

    Args:
        device: MODEL.DEVICE.
        other arguments: as those of `detectron2.engine.launch`.
    """
    world_size = num_processes * num_machines
    if not device.startswith("cpu"):
        launch_on_gpus(main, num_processes, num_machines, machine_rank, dist_url, args=args)
    elif world_size == 1:
        main(*args)
    else:
        torch.multiprocessing.spawn(
            _cpu_worker, (main, world_size, num_processes, machine_rank, dist_url, args), nprocs=num_processes
        )


def _cpu_worker(
    local_rank: int,
    main: Callable[..., object],
    world_size: int,
    num_processes: int,
    machine_rank: int,
    dist_url: str,
    args: tuple,
) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(max(1, cores // num_processes))
    rank = machine_rank * num_processes + local_rank
    torch.distributed.init_process_group("gloo", init_method=dist_url, world_size=world_size, rank=rank)
    try:
        main(*args)
    finally:
        torch.distributed.destroy_process_group()
