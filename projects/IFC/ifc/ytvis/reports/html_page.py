# SPDX-License-Identifier: Apache-2.0
"""A report as one HTML file: figures and pictures lie inside it, and it loads nothing from anywhere."""

import base64
import io
import os
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import jinja2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ..files import whole_file

JPEG_QUALITY = 88

# Figures and pictures have a white ground of their own, as matplotlib's text is black, also where the page is dark.
_TEMPLATE = jinja2.Environment(
    autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
).from_string("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --line: #8886; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1rem; }
h1, h2 { line-height: 1.2; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
p { max-width: 45rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .4rem; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { background: var(--soft); }
.number { text-align: right; }
figure { display: inline-block; vertical-align: top; margin: .5rem 1rem .5rem 0; max-width: 100%; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line); }
figcaption { font-size: .9rem; max-width: 45rem; overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% for part in parts %}
{% if part.kind == "heading" %}
<h2>{{ part.text }}</h2>
{% elif part.kind == "paragraph" %}
<p>{{ part.text }}</p>
{% elif part.kind == "image" %}
<figure><img src="{{ part.data }}" width="{{ part.width }}" alt="{{ part.caption }}">
<figcaption>{{ part.caption }}</figcaption></figure>
{% else %}
<div class="wide"><table>
{% if part.caption %}
<caption>{{ part.caption }}</caption>
{% endif %}
<thead>
<tr>{% for cell in part.header %}<th class="{{ part.classes[loop.index0] }}">{{ cell }}</th>{% endfor %}</tr>
</thead>
<tbody>
{% for row in part.rows %}
<tr>{% for cell in row %}<td class="{{ part.classes[loop.index0] }}">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table></div>
{% endif %}
{% endfor %}
</body>
</html>
""")


class HtmlPage:
    """Parts are shown in the order in which they are added; figures and pictures that follow one another share a line
    where they fit. Any text may be given: it is shown, never read as markup.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts: list[dict[str, Any]] = []

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._parts.append({"kind": "heading", "text": text})

    def paragraph(self, text: str) -> None:
        """A paragraph of plain text."""
        self._parts.append({"kind": "paragraph", "text": text})

    def table(self, header: Sequence[object], rows: Iterable[Sequence[object]], caption: str = "") -> None:
        """A table; columns of numbers, or of strings that are numbers, are aligned at the right.

        Args:
            header: names of C columns.
            rows: C cells each; None is shown as a dash.

        Raises:
            ValueError: a row has more or fewer cells than the header.
        """
        shown = [["–" if cell is None else str(cell) for cell in row] for row in rows]
        for row in shown:
            if len(row) != len(header):
                raise ValueError(f"table: found a row of {len(row)} cells, expected {len(header)}: {row}")
        columns = zip(*shown, strict=True) if shown else ([] for _ in header)
        classes = ["number" if _is_numeric(column) else "text" for column in columns]
        self._parts.append(
            {"kind": "table", "header": list(header), "rows": shown, "caption": caption, "classes": classes}
        )

    def figure(self, figure: Figure, caption: str) -> None:
        """A plot, kept as vector graphics. Its texts may be of any script, as the browser draws them, but have to be
        printable. (Make it with `Figure`; pyplot would keep it in memory.)
        """
        file = io.BytesIO()
        # Without the salt and with a date, the same plot would be another file each time.
        with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "ifc", "svg.fonttype": "none"}):
            warnings.filterwarnings("ignore", "Glyph", UserWarning)  # that matplotlib's font lacks, not the browser's
            figure.savefig(file, format="svg", bbox_inches="tight", facecolor="white", metadata={"Date": None})
        self._add_image("image/svg+xml", file.getvalue(), round(96 * figure.get_figwidth()), caption)

    def picture(self, rgb: np.ndarray, caption: str) -> None:
        """A photograph or frame, (H, W, 3) uint8; kept as JPEG.

        Raises:
            ValueError: the array has another shape or type.
        """
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
            raise ValueError(f"picture: found {rgb.dtype} {rgb.shape}, expected uint8 (H, W, 3)")
        file = io.BytesIO()
        Image.fromarray(rgb).save(file, format="JPEG", quality=JPEG_QUALITY)
        self._add_image("image/jpeg", file.getvalue(), rgb.shape[1], caption)

    def render(self) -> str:
        """The page as HTML."""
        return _TEMPLATE.render(title=self._title, parts=self._parts)

    def write(self, path: str | os.PathLike) -> None:
        """Write the page, whole or not at all.

        Raises:
            OSError: `path` cannot be written.
        """
        with whole_file(path) as partial:
            partial.write_text(self.render(), encoding="utf-8", errors="replace")

    def _add_image(self, media_type: str, content: bytes, width: int, caption: str) -> None:
        data = f"data:{media_type};base64,{base64.b64encode(content).decode()}"
        self._parts.append({"kind": "image", "data": data, "width": width, "caption": caption})


def _is_numeric(cells: Sequence[str]) -> bool:
    """Whether a column holds at least one number and nothing else but dashes."""
    values = [cell for cell in cells if cell != "–"]
    return bool(values) and all(re.fullmatch(r"[+-]?\d+(\.\d+)?%?", value) for value in values)
