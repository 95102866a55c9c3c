#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws how IFC works: the network on a window of frames, and the tracker that joins windows.

Example:
    python docs/figures/architecture.py docs/figures/architecture.svg
"""

import sys

import drawing
from drawing import COLORS, arrow, box

SKY, ORANGE, GREEN, YELLOW, PURPLE, BLUE = COLORS
WIDTH, HEIGHT = 13.0, 8.3
ROWS = {"1": 6.75, "2": 5.35, "T": 3.55}  # a frame of the window -> the middle of its row
ROW_HEIGHT = 0.95
OBJECTS = ((ORANGE, 0.34, 0.5), (BLUE, 0.62, 0.36))  # color, place on the first frame
MEMORY = 3  # memory tokens that are drawn


def draw_frame(axes, left: float, middle: float, moved: float, *, as_masks: bool = False) -> None:
    """A small frame with two objects, or with their masks on black."""
    width, height = 1.05, 0.62
    bottom = middle - height / 2
    axes.add_patch(drawing.rectangle(left, bottom, width, height, "#333333" if as_masks else "#DDE6EA"))
    for color, x, y in OBJECTS:
        x += moved if color == ORANGE else -moved
        if color == ORANGE:
            axes.add_patch(drawing.circle(left + x * width, bottom + y * height, 0.15, color))
        else:
            axes.add_patch(drawing.rectangle(left + x * width, bottom + y * height - 0.1, 0.27, 0.27, color))


def draw_tokens(axes, left: float, middle: float) -> float:
    """The cells of a frame (gray) and its memory tokens; the left of the memory tokens."""
    for row in range(3):
        for column in range(5):
            axes.add_patch(drawing.rectangle(left + 0.17 * column, middle - 0.26 + 0.17 * row, 0.14, 0.14, "#B8C4CA"))
    memory = left + 0.95
    for row in range(MEMORY):
        axes.add_patch(drawing.rectangle(memory, middle - 0.26 + 0.17 * row, 0.14, 0.14, PURPLE))
    return memory


def draw_network(axes) -> None:
    """From the frames of a window to masks and classes."""
    axes.text(0.2, 8.0, "1  A window of T frames passes the network", weight="bold", size=12)
    low, high = ROWS["T"] - ROW_HEIGHT / 2, ROWS["1"] + ROW_HEIGHT / 2
    box(axes, 1.55, low - 0.12, 3.45, high - low + 0.5, GREEN)
    axes.text(3.27, high + 0.2, "once a frame, whatever windows hold it", ha="center", size=9)
    box(axes, 5.15, low - 0.12, 7.65, high - low + 0.5, SKY)
    axes.text(8.95, high + 0.2, "once a window", ha="center", size=9)
    for number, (name, middle) in enumerate(ROWS.items()):
        draw_frame(axes, 0.3, middle, 0.13 * number)
        axes.text(0.82, middle - 0.45, f"frame {name}", ha="center", va="top", size=8)
        arrow(axes, (1.37, middle), (1.7, middle))
        box(axes, 1.7, middle - 0.36, 0.95, 0.72, GREEN, "backbone\nres3, res4,\nres5", size=7.5)
        arrow(axes, (2.65, middle), (2.83, middle))
        draw_tokens(axes, 2.85, middle)
        arrow(axes, (3.98, middle), (4.12, middle))
        box(axes, 4.12, middle - 0.36, 0.78, 0.72, GREEN, "frame\nlayer 1", size=8)
        arrow(axes, (4.9, middle), (5.35, middle))
        memory = draw_tokens(axes, 5.37, middle)
        arrow(axes, (6.5, middle), (6.75, middle))
        box(axes, 6.75, middle - 0.36, 0.78, 0.72, SKY, "frame\nlayers 2, 3", size=7.5)
        arrow(axes, (7.53, middle), (7.8, middle))
        box(axes, 9.55, middle - 0.36, 1.15, 0.72, ORANGE, "mask head: cells,\nres4, res3 to\npixel features", size=7.5)
        arrow(axes, (10.7, middle), (11.42, middle))
        draw_frame(axes, 11.45, middle, 0.13 * number, as_masks=True)
    rows = list(ROWS.values())
    for upper, lower in zip(rows, rows[1:], strict=False):
        arrow(
            axes,
            (memory + 0.07, upper - 0.3),
            (memory + 0.07, lower + 0.3),
            arrowstyle="<|-|>",
            color=PURPLE,
            linewidth=1.8,
        )
    axes.text(
        memory + 0.2,
        (rows[0] + rows[1]) / 2,
        "memory layers, one\nafter each frame layer:\neach token attends to\nits like of all frames",
        size=7.5,
        va="center",
        color="#8A3A68",
    )
    for x in (0.82, 2.17, 4.5, 7.14, 10.1, 11.97):
        axes.text(x, (rows[1] + rows[2]) / 2 + 0.02, "⋮", ha="center", va="center", size=14)
    box(axes, 7.8, low, 0.95, high - low, ORANGE, "decoder\n\nQ queries\nattend to\nall tokens\nof the clip", size=8)
    for middle in rows:
        arrow(axes, (8.75, middle), (9.55, middle), linestyle=":", linewidth=1)
    axes.text(9.15, rows[0] + 0.08, "encoded cells", ha="center", size=6.5)
    arrow(axes, (8.05, low), (8.05, 2.72))
    box(axes, 6.0, 2.32, 2.4, 0.4, ORANGE, "class of each query: (Q, C + 1)", size=8)
    arrow(axes, (8.5, low), (11.06, rows[2] - 0.02), bend=0.3, linestyle=":")
    text = "the product of a query's weights and\nthe pixel features is its mask: (Q, T, H/8, W/8)"
    axes.text(12.8, 2.52, text, size=8, ha="right", va="center")
    axes.add_patch(drawing.rectangle(0.3, 2.44, 0.14, 0.14, "#B8C4CA"))
    axes.text(0.52, 2.51, "a cell of res5, stride 32", va="center", size=8)
    axes.add_patch(drawing.rectangle(2.45, 2.44, 0.14, 0.14, PURPLE))
    axes.text(2.67, 2.51, "a memory token, 8 a frame", va="center", size=8)


def draw_tracker(axes) -> None:
    """Windows over a video, and the tracks that they become."""
    axes.text(0.2, 1.75, "2  A tracker joins the windows of a video", weight="bold", size=12)
    step, first = 0.52, 0.3
    for number in range(9):
        axes.add_patch(drawing.rectangle(first + step * number, 1.22, step - 0.06, 0.26, "#DDE6EA"))
        axes.text(first + step * number + step / 2, 1.35, str(number + 1), ha="center", va="center", size=7.5)
    for number in range(3):
        bottom = 0.82 - 0.3 * number
        box(axes, first + step * number, bottom, step * 5 - 0.06, 0.22, SKY, f"window {number + 1}", size=7.5)
    arrow(axes, (5.1, 0.75), (5.75, 0.75))
    box(axes, 5.75, 0.3, 3.2, 0.95, PURPLE)
    text = "soft IoU of masks on shared frames,\none-to-one assignment (Hungarian);\nlogits and class scores averaged"
    axes.text(7.35, 0.775, text, ha="center", va="center", size=8)
    arrow(axes, (8.95, 0.75), (9.6, 0.75))
    for row, color in enumerate((ORANGE, BLUE)):
        box(
            axes,
            9.6,
            0.87 - 0.42 * row,
            3.2,
            0.3,
            color,
            f"track {row + 1}: class, score, a mask a frame (RLE)",
            size=8,
        )
    text = "A frame's masks are final, and are handed out, once no later window holds the frame."
    axes.text(12.8, 0.12, text, ha="right", va="center", size=8)


def main(target: str) -> None:
    """Draw into `target`."""
    axes = drawing.canvas(WIDTH, HEIGHT)
    draw_network(axes)
    draw_tracker(axes)
    drawing.save(axes, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
