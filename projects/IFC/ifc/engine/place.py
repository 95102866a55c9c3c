# SPDX-License-Identifier: Apache-2.0
"""One process's place among those of a run, and how torchrun and SLURM's srun say which it is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where a process stands among those of a run, of which every machine has equally many, one rank after the other.

    Attributes:
        rank, world_size: among all of them.
        local_rank, local_world_size: among those of its machine.
        url: where they meet, as `torch.distributed.init_process_group` takes it.
        says: who says so, for messages: "torchrun", "srun" or an option.
        num_gpus: GPUs of this machine for all its processes together, where only some are visible to this one.
        is_restarted: a process was lost, and torchrun has started them all again.

    Raises:
        ValueError: there is no such place.
    """

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int
    url: str
    says: str
    num_gpus: int = 0
    is_restarted: bool = False

    def __post_init__(self) -> None:
        size = self.local_world_size
        whole = self.world_size % size == 0 and 0 <= self.rank < self.world_size
        if not whole or self.rank % size != self.local_rank:
            found = f"rank {self.rank} of {self.world_size}, which is {self.local_rank} of {size} on its machine"
            raise ValueError(f"{self.says}: found {found}, expected equally many on each, one rank after the other")


def place_from_environment(environ: Mapping[str, str], num_machines: int = 1) -> Place | None:
    """The place that torchrun or srun gave to this process; None if it starts the others itself.

    It does so in a batch script or shell of SLURM's, where only a step started by srun has several tasks, and where
    srun has started one task for each of the `num_machines` that the command line tells, as detectron2 is run there.

    Raises:
        ValueError: a variable is missing or no number, or there is no such place.
    """
    if environ.keys() & {"RANK", "WORLD_SIZE"}:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")
        *numbers, _ = (_number(environ, name) for name in names)
        if "MASTER_ADDR" not in environ:
            raise ValueError("MASTER_ADDR: not in the environment, expected the address of the process with RANK 0")
        is_restarted = _number(environ, "TORCHELASTIC_RESTART_COUNT", 0) > 0
        return Place(*numbers, "env://", "torchrun", is_restarted=is_restarted)
    num_tasks = _number(environ, "SLURM_STEP_NUM_TASKS", 1)
    if num_tasks in (1, num_machines):
        return None
    num_nodes = _number(environ, "SLURM_STEP_NUM_NODES")
    if num_tasks % num_nodes:
        expected = "equally many on each (--ntasks-per-node)"
        raise ValueError(f"srun: found {num_tasks} tasks on {num_nodes} nodes, expected {expected}")
    # "gpu[03-05,09]x,login1" -> "gpu03x"
    first_node = re.sub(r"\[(\d+)[^]]*\]", r"\1", environ.get("SLURM_STEP_NODELIST", "")).split(",")[0]
    host = environ.get("MASTER_ADDR", first_node)
    if not host:
        raise ValueError("MASTER_ADDR, SLURM_STEP_NODELIST: not in the environment, expected the first node's name")
    # The same for all tasks, another for each step, and below those that a system gives away by itself.
    step = _number(environ, "SLURM_JOB_ID", 0) + _number(environ, "SLURM_STEP_ID", 0)
    url = f"tcp://{host}:{_number(environ, 'MASTER_PORT', 20000 + step % 10000)}"
    ranks = _number(environ, "SLURM_PROCID"), num_tasks, _number(environ, "SLURM_LOCALID"), num_tasks // num_nodes
    return Place(*ranks, url, "srun", num_gpus=_number(environ, "SLURM_GPUS_ON_NODE", 0))


def _number(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environ.get(name, default)
    try:
        return int(text)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: found {text!r} in the environment, expected a whole number") from error
