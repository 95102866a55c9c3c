# SPDX-License-Identifier: Apache-2.0
"""What the figures of the documentation have in common: a canvas in inches, boxes, arrows, a file."""

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

# Okabe and Ito's colors, which color-blind people can tell apart: sky blue, orange, green, yellow, purple, blue.
COLORS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#0072B2")
INK = "#222222"


def canvas(width: float, height: float) -> Axes:
    """Axes that cover a white page, whose units are inches."""
    # The same bytes on every run; text as outlines, so that it looks the same everywhere.
    matplotlib.rcParams |= {
        "svg.hashsalt": "ifc",
        "svg.fonttype": "path",
        "text.color": INK,
        "font.family": "DejaVu Sans",
    }
    figure = Figure((width, height), facecolor="white")
    FigureCanvasSVG(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return axes


def box(
    axes: Axes, left: float, bottom: float, width: float, height: float, color: str, text: str = "", **style
) -> None:
    """A rounded box with a text in its middle."""
    shape = {"boxstyle": "round,pad=0,rounding_size=0.07", "linewidth": 1.2, "edgecolor": color}
    axes.add_patch(FancyBboxPatch((left, bottom), width, height, facecolor=f"{color}33", **shape))
    if text:
        axes.text(left + width / 2, bottom + height / 2, text, ha="center", va="center", **{"size": 9} | style)


def rectangle(left: float, bottom: float, width: float, height: float, color: str) -> Rectangle:
    """A filled rectangle."""
    return Rectangle((left, bottom), width, height, facecolor=color, linewidth=0)


def circle(x: float, y: float, radius: float, color: str) -> Circle:
    """A filled circle."""
    return Circle((x, y), radius, facecolor=color, linewidth=0)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], bend: float = 0, **style) -> None:
    """An arrow from one point to another."""
    shape = {"arrowstyle": "-|>", "mutation_scale": 10, "linewidth": 1.1, "color": INK, "shrinkA": 0, "shrinkB": 0}
    axes.add_patch(FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={bend}", **shape | style))


def save(axes: Axes, target: str) -> None:
    """Write an SVG."""
    axes.figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
