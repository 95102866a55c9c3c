# SPDX-License-Identifier: Apache-2.0
"""A report as a section of a page. Needs no torch."""

from collections.abc import Mapping
from typing import Any

from ...ytvis.reports.text import table
from .settings import Row, Rows


def markdown(report: Mapping[str, Any]) -> str:
    """The section: what was run on what, then each step with its tables and what is missing in them."""
    steps = report["steps"]
    rows = next(iter(steps.values()), {}).get("rows", {})
    device = rows.get("device", {}).get("found", report["device"])
    versions = f", {rows['versions']['found']}" if "versions" in rows else ""
    blocks = [
        f"## On {device}",
        f"{report['begun']}, `{report['device']}`{versions}:",
        f"<!-- not run: minutes -->\n```sh\n{report['command']}\n```",
    ]
    for step in steps.values():
        title, status = step["title"], step["status"]
        blocks.append(f"### {title}" if status == "done" else f"### {title} ({status})")
        blocks += [_table(rows) for rows in _of_one_kind(step["rows"])]
        if step["problems"]:
            blocks.append("\n".join(f"- {name}: {_text(text)}" for name, text in step["problems"].items()))
    return "\n\n".join(blocks) + "\n"


def _of_one_kind(rows: Rows) -> list[Rows]:
    """The rows in groups: one that has no key in common with the row before it begins a new group."""
    groups: list[Rows] = []
    for name, row in rows.items():
        if not groups or not row.keys() & next(reversed(groups[-1].values())).keys():
            groups.append({})
        groups[-1][name] = row
    return groups


def _table(rows: Rows) -> str:
    keys = dict.fromkeys(key for row in rows.values() for key in row)
    is_text = [key for key in keys if any(isinstance(row.get(key), str) for row in rows.values())]
    text_columns = [0, *(number for number, key in enumerate(keys, 1) if key in is_text)]
    cells = [[_text(name), *(_cell(row, key) for key in keys)] for name, row in rows.items()]
    return table(["", *keys], cells, text_columns)


def _cell(row: Row, key: str) -> str:
    value = row.get(key, "")
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else _text(value)


def _text(text: str) -> str:
    """Text that means nothing to Markdown's tables."""
    return text.replace("|", "\\|").replace("<", "\\<")
