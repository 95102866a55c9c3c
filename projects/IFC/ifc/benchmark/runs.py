# SPDX-License-Identifier: Apache-2.0
"""Runs of a config's model: the same config with variants on top, and the time and memory of each."""

import time
from argparse import Namespace
from collections.abc import Callable, Sequence

import torch
from detectron2.config import CfgNode

from ..engine import setup_config
from ..monitoring.memory import MIB, host_memory
from ..regions import timed_regions
from .measuring import Column, reset_peak_memory

UNTIMED = "untimed"  # a region that belongs to no number


def load_configs(args: Namespace, data: Sequence[str] = ()) -> dict[str, CfgNode]:
    """The config of `args` on some `data`, and with each variant's "KEY VALUE ..." on top; for random weights.

    Raises:
        OSError, ValueError: for a wrong config file, option or value.
    """
    opts = ["MODEL.WEIGHTS", "", *args.opts, *data]
    on_top = {"as configured": [], **{variant: variant.split() for variant in args.variant}}
    cfgs = {name: setup_config(args.config_file, [*opts, *words]) for name, words in on_top.items()}
    if found := [cfg.MODEL.WEIGHTS for cfg in cfgs.values() if cfg.MODEL.WEIGHTS]:
        raise ValueError(f"MODEL.WEIGHTS: found {found[0]!r}, expected nothing: the weights are random")
    return cfgs


def synchronize(device: torch.device) -> None:
    """Wait for all that was started on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(run: Callable[[], object], rest: str, device: torch.device, *, repeat: int, warmup: int) -> Column:
    """Call `run` `warmup` times for nothing and then `repeat` times, and report the median one.

    On a GPU each region ends with a synchronization, so that its time is its own. The total is that of as many other
    runs, without: the regions add up to more.

    Args:
        rest: name of what is in none of the engine's regions.
        device: that of the model.

    Returns:
        Seconds of each region, of all and of the processors; the peak of the host's memory, how much of it is above
        what the process held before, and the GPU's peak, in MiB.
    """
    is_cuda = device.type == "cuda"
    if is_cuda:
        torch.cuda.reset_peak_memory_stats(device)
    reset_peak_memory()
    start = host_memory()[0]
    for _ in range(warmup):
        run()

    def median(waits_for: torch.device | None) -> Column:
        columns = [_timed_run(run, rest, device, waits_for) for _ in range(repeat)]
        return sorted(columns, key=lambda column: column["total"])[(repeat - 1) // 2]

    column = median(device)
    if is_cuda:
        whole = median(None)
        column |= {row: whole[row] for row in ("total", "processor time")}
        column["GPU memory, peak MiB"] = torch.cuda.max_memory_allocated(device) / MIB
    peak = host_memory()[1]
    return column | {"host memory, peak MiB": peak / MIB, "of which grown, MiB": max(peak - start, 0) / MIB}


def _timed_run(run: Callable, rest: str, device: torch.device, waits_for: torch.device | None) -> Column:
    synchronize(device)
    cpu_start = time.process_time()
    with timed_regions(rest, waits_for) as seconds:
        run()
        synchronize(device)
    cpu_time = time.process_time() - cpu_start
    seconds.pop(UNTIMED, None)
    return seconds | {"total": sum(seconds.values()), "processor time": cpu_time}


def compare_variants(columns: dict[str, Column]) -> dict[str, Column]:
    """The columns, with how many times faster each is than the first."""
    first = next(iter(columns.values()))["total"]
    return {name: column | {"times faster": first / column["total"]} for name, column in columns.items()}
