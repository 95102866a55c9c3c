# SPDX-License-Identifier: Apache-2.0
"""Tables of numbers as a terminal and a log show them."""

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from ..metric.breakdown import GroupNumbers
from ..metric.video_ap import STAT_NAMES, VideoAPResult

CATEGORY_PAIRS_A_ROW = 3  # (category, AP) pairs


def table(header: Sequence[str], rows: Sequence[Sequence[object]], text_columns: Sequence[int] = (0,)) -> str:
    """A table, with all but the text at the right."""
    width = len(header)
    rows = [[*map(_printable, row), *[""] * (width - len(row))] for row in rows]
    sides = ["left" if column in text_columns else "right" for column in range(width)]
    # Without numbers to parse, or a category named "1e5" becomes 100000.
    return tabulate(rows, headers=header, tablefmt="pipe", colalign=sides if rows else None, disable_numparse=True)


def _printable(cell: object) -> str:
    """A cell's text, with escapes for what would break the table or command the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(cell))


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction of 1 in percent; "-" for None and below 0, where nothing was measured."""
    return "-" if value is None or not value >= 0 else f"{100 * value:.{digits}f}"


def stats_table(result: VideoAPResult, digits: int = 1) -> str:
    """The twelve numbers, in percent."""
    return table(STAT_NAMES, [[percent(value, digits) for value in result.stats]], text_columns=())


def category_table(result: VideoAPResult, digits: int = 1) -> str:
    """AP by category, in percent, several to a row."""
    cells = [(name, percent(ap, digits)) for name, ap in result.per_category_ap.items()]
    pairs = max(1, min(CATEGORY_PAIRS_A_ROW, len(cells)))
    rows = [sum(cells[i : i + pairs], ()) for i in range(0, len(cells), pairs)]
    return table(["category", "AP"] * pairs, rows, text_columns=range(0, 2 * pairs, 2))


def group_table(groups: Mapping[str, Mapping[str, GroupNumbers]]) -> str:
    """The numbers of groups, by what they are of and their names, in percent."""
    rows = [
        [f"{name} {what}", numbers.num_objects, *map(percent, (numbers.ap, numbers.ap50, numbers.ar100))]
        for what, by_name in groups.items()
        for name, numbers in by_name.items()
    ]
    return table(["group", "objects", "AP", "AP50", "AR100"], rows)


def tracking_rows(tracking: Mapping[str, Mapping[str, float]]) -> list[list[object]]:
    """What `tracking_numbers` returned, a row a category: percent, and a count of identity switches."""
    return [
        [name or "all", *(round(v) if field == "IDSW" else f"{100 * v:.1f}" for field, v in numbers.items())]
        for name, numbers in tracking.items()
    ]


def tracking_table(tracking: Mapping[str, Mapping[str, float]], score: float) -> str:
    """What `tracking_numbers` returned of the results with this score or more."""
    if not tracking:
        return "Tracking: no objects and no results."
    title = f"Tracking of results with a score of {score:.3f} or more, by TrackEval:"
    return f"{title}\n\n{table(['category', *tracking['']], tracking_rows(tracking))}"


def comparison_text(report: Mapping[str, Any], score: float) -> str:
    """What `compare` returned of the results with this score or more."""
    rows = [
        [name, percent(both["first"], 3), percent(both["second"], 3), f"{100 * both['difference']:.3f}"]
        for name, both in report["stats"].items()
        if both["first"] >= 0
    ]
    text = f"{table(['', 'first', 'second', 'change'], rows)}\n\n"
    text += f"tracks of the first with a score of {score} or more: {report['pairs']}"
    if report["pairs"]:
        text += (
            f"\ntheir IoU with those of the second: mean {report['mean_iou']:.4f}, lowest {report['lowest_iou']:.4f}, "
            f"{report['share_above_0.9']:.1%} above 0.9; scores change by at most {report['largest_score_change']:.4f}"
        )
    return text


def balance_text(balance: Mapping[str, tuple[int, int]]) -> str:
    """The tracks of each category, by name, in the two parts of a split."""
    totals = [sum(counts) for counts in zip((0, 0), *balance.values(), strict=True)]
    rows = [
        [name, train, val, f"{val / (train + val):.1%}" if train + val else "-"]
        for name, (train, val) in [*balance.items(), ("all", totals)]
    ]
    text = table(["category", "train", "val", "in val"], rows)
    for part, name in enumerate(("train", "val")):
        absent = [category for category, counts in balance.items() if any(counts) and not counts[part]]
        text += f"\nwithout a track in {name}: {_printable(', '.join(absent))}" if absent else ""
    return text
