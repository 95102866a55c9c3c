# SPDX-License-Identifier: Apache-2.0
"""The curves of one or several trainings."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from ..ytvis.reports.plots import plot_text
from .metrics_file import Curves

SHARE = "share of steps clipped"
# What a panel shows: all numbers whose whole name matches, each in a style of its own.
PANELS = {
    "total loss": "total_loss",
    "cross entropy": "loss_ce",
    "mask loss": "loss_mask",
    "dice loss": "loss_dice",
    "class error, %": "class_error",
    "AP, %": "(.*/)?AP",
    "learning rate": "lr(_.*)?",
    "gradient norm": "gradient_norm",
    SHARE: "clipped",
    "seconds": "(data_)?time",
}
EXACT = ("AP, %", "learning rate")  # neither noisy nor smoothed
LOGARITHMIC = ("total loss", "cross entropy", "mask loss", "dice loss", "gradient norm")
LOGARITHMIC_FROM = 4  # times the least value
STYLES = ("-", "--", ":", "-.")
COLUMNS = 4
SMOOTHED_SHARE = 25  # by default numbers are smoothed over this part of a run


def plot_runs(runs: Mapping[str, Curves], smoothing: int | None = None) -> Figure:
    """The curves of runs by their names, a panel for each kind of number that one of them has.

    Args:
        runs: what `read_metrics` gave.
        smoothing: written values over whose mean noisy numbers are smoothed, which are shown behind it; None for a
            25th of a run.

    Raises:
        ValueError: no run has any number that is shown.
    """
    # detectron2's `lr` is one of the two that tell which they are, where those are known.
    runs = {
        run: {n: c for n, c in curves.items() if n != "lr" or "lr_rest" not in curves} for run, curves in runs.items()
    }
    all_names = sorted({name for curves in runs.values() for name in curves}, reverse=True)
    shown = {title: [name for name in all_names if re.fullmatch(kind, name)] for title, kind in PANELS.items()}
    shown = {title: names for title, names in shown.items() if names}
    if not shown:
        raise ValueError(f"{', '.join(runs)}: found {all_names}, expected losses, AP or others of {list(PANELS)}")
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(4 * columns, 2.8 * rows + 0.4), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, (title, names) in zip(panels, shown.items(), strict=False):
        _fill(axes, title, names, runs.values(), smoothing)
    for axes in panels[len(shown) :]:
        axes.remove()
    handles = [Line2D([], [], color=f"C{number}", label=plot_text(name, 60)) for number, name in enumerate(runs)]
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False)
    return figure


def _fill(axes: Axes, title: str, names: Sequence[str], runs: Iterable[Curves], smoothing: int | None) -> None:
    """Draw a panel: a color a run, a style a name."""
    styles = dict(zip(names, cycle(STYLES), strict=False))
    for color, curves in enumerate(runs):
        for name, style in styles.items():
            if name in curves:
                iterations, values = curves[name]
                marker = "." if title == "AP, %" or len(values) == 1 else ""
                width = 1 if title in EXACT else smoothing or max(1, len(values) // SMOOTHED_SHARE)
                if width > 1:
                    axes.plot(iterations, values, color=f"C{color}", alpha=0.2, linewidth=0.8)
                    values = smoothed(values, width)
                axes.plot(iterations, values, color=f"C{color}", linestyle=style, marker=marker, linewidth=1.4)
    low, high = axes.dataLim.intervaly
    if title in LOGARITHMIC and 0 < LOGARITHMIC_FROM * low < high:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter("{x:g}")
    if title == SHARE:
        axes.set_ylim(-0.03, 1.03)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("iteration", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if len(names) > 1:
        handles = [Line2D([], [], color="gray", linestyle=styles[name], label=plot_text(name, 40)) for name in names]
        axes.legend(handles=handles, fontsize=8)


def smoothed(values: np.ndarray, width: int) -> np.ndarray:
    """The mean of the `width` values around each, of fewer at the ends; values that are nan do not count.

    Args:
        values: (N,).
        width: at least 1.
    """
    known = np.isfinite(values)
    # Sums over a window are differences of running sums.
    first = np.maximum(np.arange(len(values)) - (width - 1) // 2, 0)
    end = np.minimum(np.arange(len(values)) + width // 2 + 1, len(values))
    sums, counts = (np.concatenate([[0], np.cumsum(part)]) for part in (np.where(known, values, 0), known))
    with np.errstate(invalid="ignore"):
        return (sums[end] - sums[first]) / (counts[end] - counts[first])
