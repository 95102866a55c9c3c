#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Average precision of video instance segmentation results, as YouTube-VIS's server computes it, and what lies behind.

Example:
    python tools/evaluate.py --gt datasets/ytvis_2019/train.json --results output/inference/results.json \
        --report output/report --frames datasets/ytvis_2019/train/JPEGImages

Prints the twelve numbers, AP by category, and AP by the objects' length and motion. --json writes them as fractions of
1 (-1 or null where there are no objects): {"stats": [the twelve], "stat_names": [...], "per_category_AP": {...},
"by_length": {...}, "by_motion": {...}}, with --tracking or --report also "score", and "tracking" or "errors".
--report writes a page with curves, distributions, error types, confusion and the worst videos.

Needs no torch and no model: NumPy, pycocotools and tabulate are enough, SciPy, Jinja2, matplotlib and Pillow for a
report, SciPy and TrackEval for --tracking.
"""

import argparse
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from ifc.ytvis.files import refuse_input, write_json
from ifc.ytvis.metric import breakdown, errors, tracks, video_ap

REPORT_FILE = "report.html"
CATEGORY_PAIRS_A_ROW = 3  # (category, AP) pairs in a row of the printed table
Tracking = Mapping[str, Mapping[str, float]]  # numbers by name, by category name, "" for all


def evaluate(args: argparse.Namespace) -> None:
    """Do what the command line asks for.

    Raises:
        ImportError: a library is missing that an option needs.
        OSError: a file cannot be read or written.
        ValueError: the first fault of the input, with its file and field.
    """
    _prepare(args)
    ground_truth = tracks.read_ground_truth(args.gt)
    video_ap.require_tracks(ground_truth)
    frames = None
    if args.frames:
        from ifc.ytvis.reports.pictures import FrameFiles

        frames = FrameFiles(args.gt, args.frames)
    overlaps = video_ap.find_overlaps(ground_truth, tracks.read_results(args.results, ground_truth))
    result = video_ap.summarize(ground_truth, *video_ap.average_precision(ground_truth, overlaps, video_ap.AREA_RANGES))
    by_length = breakdown.by_length(ground_truth, overlaps)
    by_motion = breakdown.by_motion(ground_truth, overlaps, args.motion_step)
    content = _to_json(result, by_length, by_motion)
    _print(_numbers_table(result, by_length, by_motion))

    tracking = None
    if args.tracking or args.report:
        findings = errors.find_errors(ground_truth, overlaps)
        score = args.score if args.score is not None else errors.best_score(findings)
        content["score"] = score if math.isfinite(score) else None
    if args.tracking:
        from ifc.ytvis.metric.tracking import tracking_numbers

        tracking = tracking_numbers(ground_truth, overlaps, score)
        content["tracking"] = {
            "all": tracking.get(""),
            "per_category": {name: numbers for name, numbers in tracking.items() if name},
        }
        _print(_tracking_table(tracking, score))
    if args.report:
        from ifc.ytvis.reports.evaluation_page import Evaluation, identity_switches, make_report

        costs = errors.error_costs(findings)
        evaluation = Evaluation(ground_truth, overlaps, result, by_length, by_motion, findings, costs, score)
        path = os.path.join(args.report, REPORT_FILE)
        make_report(evaluation, tracking, frames).write(path)
        content["errors"] = {name: {"count": cost.count, "AP50_rise": cost.ap50_rise} for name, cost in costs.items()}
        content["errors"]["identity switch"] = {"count": identity_switches(evaluation)[0]}
        _print(f"report: {path}")
    if args.json:
        write_json(args.json, content, indent=1)


def _prepare(args: argparse.Namespace) -> None:
    """Find out now what would otherwise fail after the work is done."""
    if args.frames and not args.report:
        raise ValueError("--frames: expected --report too, whose pictures they are for")
    try:
        if args.tracking:
            from ifc.ytvis.metric.tracking import load_metrics

            load_metrics()
        if args.report:
            import ifc.ytvis.reports.evaluation_page  # noqa: F401
    except ImportError as error:
        raise ImportError(f"--tracking or --report needs a library that is missing: {error}") from error
    if args.report:
        os.makedirs(args.report, exist_ok=True)
    if args.json:
        if os.path.isdir(args.json) or not os.path.isdir(os.path.dirname(args.json) or "."):
            raise NotADirectoryError(f"--json: expected a file in an existing folder, found {args.json}")
        refuse_input(args.json, [args.gt, args.results])


def _to_json(
    result: video_ap.VideoAPResult,
    by_length: Mapping[str, breakdown.GroupNumbers],
    by_motion: Mapping[str, breakdown.GroupNumbers],
) -> dict[str, Any]:
    def group(numbers: breakdown.GroupNumbers) -> dict[str, Any]:
        return {"AP": numbers.ap, "AP50": numbers.ap50, "AR100": numbers.ar100, "objects": numbers.num_objects}

    return {
        "stats": result.stats.tolist(),
        "stat_names": list(video_ap.STAT_NAMES),
        "per_category_AP": result.per_category_ap,
        "by_length": {name: group(numbers) for name, numbers in by_length.items()},
        "by_motion": {name: group(numbers) for name, numbers in by_motion.items()},
    }


# ---------------------------------------------------------------------------------------------------------------------
# Terminal


def _numbers_table(
    result: video_ap.VideoAPResult,
    by_length: Mapping[str, breakdown.GroupNumbers],
    by_motion: Mapping[str, breakdown.GroupNumbers],
) -> str:
    """All numbers in percent."""
    stats = _table(video_ap.STAT_NAMES, [[_percent(value) for value in result.stats]])
    cells = [(name, _percent(ap)) for name, ap in result.per_category_ap.items()]
    pairs = max(1, min(CATEGORY_PAIRS_A_ROW, len(cells)))
    rows = [sum(cells[i : i + pairs], ()) for i in range(0, len(cells), pairs)]
    categories = _table(["category", "AP"] * pairs, rows, text_columns=range(0, 2 * pairs, 2))
    rows = [
        [f"{name} {what}", numbers.num_objects, _percent(numbers.ap), _percent(numbers.ap50), _percent(numbers.ar100)]
        for what, groups in (("tracks", by_length), ("motion", by_motion))
        for name, numbers in groups.items()
    ]
    groups = _table(["group", "objects", "AP", "AP50", "AR100"], rows, text_columns=[0])
    return f"In percent; - where there are no objects.\n\n{stats}\n\n{categories}\n\n{groups}"


def _tracking_table(tracking: Tracking, score: float) -> str:
    if not tracking:
        return "\nTracking: no objects and no results."
    rows = [
        [name or "all", *(round(v) if field == "IDSW" else f"{100 * v:.1f}" for field, v in numbers.items())]
        for name, numbers in tracking.items()
    ]
    table = _table(["category", *tracking[""]], rows, text_columns=[0])
    return f"\nTracking of results with a score of {score:.3f} or more, by TrackEval:\n\n{table}"


def _table(header: Sequence[str], rows: Sequence[Sequence[object]], text_columns: Sequence[int] = ()) -> str:
    """A table, with all but the text at the right."""
    width = len(header)
    rows = [[*map(_printable, row), *[""] * (width - len(row))] for row in rows]
    sides = ["left" if column in text_columns else "right" for column in range(width)]
    # Without numbers to parse, or a category named "1e5" becomes 100000.
    return tabulate(rows, headers=header, tablefmt="pipe", colalign=sides if rows else None, disable_numparse=True)


def _printable(cell: object) -> str:
    """A cell's text, with escapes for what would break the table or command the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(cell))


def _percent(value: float | None) -> str:
    return "-" if value is None or value < 0 else f"{100 * value:.1f}"


def _print(text: str) -> None:
    """Print, with escapes for what the terminal cannot show."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {text}, expected at least 1")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"found {text}, expected a finite number")
    return number


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Average precision of video instance segmentation results.")
    parser.add_argument("--gt", required=True, metavar="FILE", help="annotations in YouTube-VIS's json format")
    parser.add_argument("--results", required=True, metavar="FILE", help="results.json")
    parser.add_argument("--json", metavar="FILE", help="write the numbers to this file")
    parser.add_argument("--report", metavar="DIR", help=f"write {REPORT_FILE} to this folder, made if missing")
    parser.add_argument("--frames", metavar="DIR", help="folder of the frames, for the report's pictures")
    parser.add_argument("--tracking", action="store_true", help="HOTA, IDF1 and MOTA too, through TrackEval")
    parser.add_argument(
        "--score",
        type=_finite,
        help="least score of a result that counts as found, in tracking, confusion, identity switches and pictures "
        "(default: the one of best F1 at IoU 0.5); AP takes all results",
    )
    parser.add_argument(
        "--motion-step",
        type=_positive,
        default=breakdown.MOTION_STEP,
        metavar="FRAMES",
        help="motion is the IoU of an object's box with its box this many frames later (default: %(default)s, a third "
        "of a second at YouTube-VIS's 6 frames a second)",
    )
    try:
        evaluate(parser.parse_args(arguments))
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
