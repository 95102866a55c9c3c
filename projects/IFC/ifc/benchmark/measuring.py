# SPDX-License-Identifier: Apache-2.0
"""Time, processes and the table that they are printed in. Needs no torch."""

import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..ytvis.reports.text import table

Column = dict[str, float]
Report = dict[str, Column]
"""What each subcommand returns: numbers by row, of each of the things that are compared."""


def machine() -> str:
    """What the numbers were measured with, in a line."""
    torch = sys.modules.get("torch")  # where none was needed, none is named
    words = [f"{os.cpu_count()} processors", f"Python {platform.python_version()}"]
    if torch is not None:
        words.append(f"torch {torch.__version__} on {torch.get_num_threads()} threads")
        if torch.cuda.is_available():
            words.append(torch.cuda.get_device_name())
    return ", ".join(words)


def report_text(report: Report) -> str:
    """Tables for people: a column that shares no row with the one before begins a new one, and long names of columns
    stand below."""
    tables: list[Report] = []
    for name, column in report.items():
        if not tables or not column.keys() & next(reversed(tables[-1].values())).keys():
            tables.append({})
        tables[-1][name] = column
    return "\n\n".join(map(_table, tables))


def _table(report: Report) -> str:
    rows = dict.fromkeys(row for column in report.values() for row in column)
    titles = {name if len(name) <= 18 else f"({number})": name for number, name in enumerate(report)}
    cells = [[row, *(_cell(column.get(row)) for column in report.values())] for row in rows]
    legend = [f"{title} {name}" for title, name in titles.items() if title != name]
    return "\n".join([table(["", *titles], cells), *legend])


def _cell(number: float | None) -> str:
    if number is None:
        return ""
    return f"{number:,}" if isinstance(number, int) else f"{number:.3f}" if abs(number) < 100 else f"{number:,.0f}"


def timed(function: Callable[[], Any]) -> tuple[Any, float, float]:
    """What a function returns, and the seconds of the wall clock and of the processors that it took."""
    start, cpu_start = time.perf_counter(), time.process_time()
    returned = function()
    return returned, time.perf_counter() - start, time.process_time() - cpu_start


def reset_peak_memory() -> None:
    """Have Linux count the process's peak from here on. Elsewhere the peak stays that of all before."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def in_own_process(function: Callable, *arguments: Any) -> Any:
    """What a function of a module returns when a new Python calls it, whose memory is the function's alone."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
