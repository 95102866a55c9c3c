#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the floors of the package from the import contract in pyproject.toml and the first lines of its modules.

Example:
    python docs/figures/layout.py docs/figures/layout.svg
"""

import ast
import sys
import textwrap
from pathlib import Path

import drawing
from importlinter.api import read_configuration

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "projects" / "IFC" / "ifc"
WIDTH, GAP, MARGIN = 12.0, 0.14, 0.8  # inches


def floors() -> list[list[str]]:
    """The names of each floor's parts, the top floor first."""
    contracts = read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]
    (layers,) = (contract["layers"] for contract in contracts if contract["id"] == "floors")
    parts = [[name.strip("() ") for name in layer.split("|")] for layer in layers]
    return [there for floor in parts if (there := [part for part in floor if source(part).is_file()])]


def source(part: str) -> Path:
    """The file with the docstring of a module or a package."""
    return PACKAGE / part / "__init__.py" if (PACKAGE / part).is_dir() else PACKAGE / f"{part}.py"


def first_sentence(part: str) -> str:
    """What the docstring of a module or a package says first."""
    docstring = ast.get_docstring(ast.parse(source(part).read_text(encoding="utf-8")))
    return " ".join(docstring.split("\n\n")[0].split()).partition(". ")[0].rstrip(".").replace("`", "")


def main(target: str) -> None:
    """Draw into `target`."""
    rows = floors()
    widths = [(WIDTH - MARGIN - GAP * len(parts)) / len(parts) for parts in rows]
    texts = [
        [textwrap.fill(first_sentence(part), int(width * 11.5), max_lines=4, placeholder=" …") for part in parts]
        for parts, width in zip(rows, widths, strict=True)
    ]
    heights = [0.5 + 0.16 * max(text.count("\n") + 1 for text in row) for row in texts]
    top = page = sum(heights) + GAP * (len(rows) + 1)
    axes = drawing.canvas(WIDTH, page)
    for number, (parts, row, width, height) in enumerate(zip(rows, texts, widths, heights, strict=True)):
        top -= height + GAP
        for place, (part, text) in enumerate(zip(parts, row, strict=True)):
            left = MARGIN + place * (width + GAP)
            drawing.box(axes, left, top, width, height, drawing.COLORS[number % len(drawing.COLORS)])
            middle = left + width / 2
            axes.text(middle, top + height - 0.12, part, ha="center", va="top", weight="bold", size=11)
            axes.text(middle, top + height - 0.39, text, ha="center", va="top", size=8.5, linespacing=1.25)
    drawing.arrow(axes, (0.55, page - GAP), (0.55, GAP))
    axes.text(0.3, page / 2, "imports point down", rotation=90, ha="center", va="center", size=10)
    drawing.save(axes, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
