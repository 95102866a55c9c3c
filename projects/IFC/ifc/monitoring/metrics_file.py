# SPDX-License-Identifier: Apache-2.0
"""metrics.json: the numbers of a training, a line of json for each iteration at which some were written."""

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..ytvis.files import whole_file
from ..ytvis.values import brief

METRICS_FILE = "metrics.json"
OLD_METRICS_FILE = "metrics.old.json"

Curves = dict[str, tuple[np.ndarray, np.ndarray]]
"""Of each number its iterations, ascending, and its values, nan where there was nothing to measure."""


def metrics_path(run: str | os.PathLike) -> Path:
    """The metrics.json of a run: in the output folder `run`, or `run` itself."""
    return Path(run) / METRICS_FILE if Path(run).is_dir() else Path(run)


def read_metrics(run: str | os.PathLike) -> Curves:
    """The numbers of a run: of an iteration that was written more than once, the last.

    Args:
        run: the file, or the output folder with it.

    Raises:
        OSError: there is none.
        ValueError: there is no line, or one that holds no numbers; only a last line may be cut off, as a run leaves it
            that was killed while it wrote.
    """
    path = metrics_path(run)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: found no such file, expected the {METRICS_FILE} of a training")
    lines = path.read_bytes().splitlines(keepends=True)
    if not lines:
        raise ValueError(f"{path}: found an empty file, expected a line for each iteration that was written")
    found: dict[str, dict[int, float]] = {}
    for number, line in enumerate(lines, start=1):
        entry = _parse(line)
        if entry is None and number == len(lines) > 1 and not line.endswith(b"\n"):
            break
        if entry is None:
            expected = 'numbers by name in json, of which one is "iteration"'
            raise ValueError(
                f"{path}: line {number}: found {brief(line.decode(errors='replace'))}, expected {expected}"
            )
        iteration, numbers = entry
        for name, value in numbers.items():
            found.setdefault(name, {})[iteration] = value
    points = {name: sorted(values.items()) for name, values in found.items()}
    return {name: tuple(map(np.array, zip(*pairs, strict=True))) for name, pairs in points.items()}


def _parse(line: bytes) -> tuple[int, dict[str, float]] | None:
    """The iteration and the numbers of a line, None if it is none."""
    with contextlib.suppress(ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError):
        numbers = {name: math.nan if value is None else value + 0.0 for name, value in json.loads(line).items()}
        return int(numbers.pop("iteration")), numbers
    return None


def append_metrics(path: str | os.PathLike, iteration: int, numbers: Mapping[str, float]) -> None:
    """Add a line, with null for what is not finite.

    Raises:
        OSError: it cannot be written whole; the message names the file.
    """
    entry = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"iteration": iteration, **entry}) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def begin_metrics(path: str | os.PathLike, first_iteration: int) -> None:
    """Make an earlier start's file ready for one that begins at this iteration.

    What the earlier one wrote of later iterations, which are computed again, and a last line that was cut off are taken
    out; other lines stay as they are. A start from iteration 0 sets the whole file aside as metrics.old.json.
    """
    path = Path(path)
    if not path.exists():
        return
    if first_iteration == 0:
        os.replace(path, path.with_name(OLD_METRICS_FILE))
        return
    with whole_file(path) as partial, open(partial, "wb") as file:
        for line in path.read_bytes().splitlines(keepends=True):
            entry = _parse(line)
            if line.endswith(b"\n") and (entry is None or entry[0] < first_iteration):
                file.write(line)
