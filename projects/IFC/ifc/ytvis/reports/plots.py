# SPDX-License-Identifier: Apache-2.0
"""What the plots of several pages have in common."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

MAX_BINS = 40


def histogram(groups: Mapping[str, Sequence[int]], xlabel: str, ylabel: str) -> Figure:
    """How often whole numbers occur in one or several groups, which have a legend if there are several.

    A bar stands for a whole number of numbers, so that none holds more of them than its neighbors.
    """
    figure = Figure(figsize=(5, 3.2))
    axes = figure.subplots()
    values = [value for group in groups.values() for value in group]
    low, high = min(values, default=0), max(values, default=0)
    width = max(1, -(-(high - low + 1) // MAX_BINS))
    bins = np.arange(low, high + width + 1, width) - 0.5
    axes.hist(list(groups.values()), bins=bins, label=list(groups), edgecolor="white", linewidth=0.5)
    axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(low - 2, high + 2) if high - low < 4 else None)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    if len(groups) > 1:
        axes.legend(fontsize=8)
    return figure


def plot_text(text: str, length: int) -> str:
    """At most `length` letters of a text for a plot, where "$" would begin a formula and what cannot be printed would
    spoil the file.
    """
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    text = text if len(text) <= length else text[: length - 1] + "…"
    return text.replace("$", r"\$")
