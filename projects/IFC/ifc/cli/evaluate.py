# SPDX-License-Identifier: Apache-2.0
"""`ifc eval`."""

from pathlib import Path
from typing import Annotated

import typer

from ..ytvis.files import refuse_input, write_json
from .program import finite, new_file, one_clear_error, positive

REPORT_FILE = "report.html"


@one_clear_error()
def evaluate(
    gt: Annotated[str, typer.Option(metavar="FILE", help="annotations in YouTube-VIS's json format")],
    results: Annotated[str, typer.Option(metavar="FILE", help="results.json")],
    json: Annotated[
        Path | None, typer.Option(parser=new_file, metavar="FILE", help="write the numbers to this file")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help=f"write {REPORT_FILE} to this folder, made if missing")
    ] = None,
    frames: Annotated[
        str | None, typer.Option(metavar="DIR", help="folder of the frames, for the report's pictures")
    ] = None,
    tracking: Annotated[bool, typer.Option("--tracking", help="HOTA, IDF1 and MOTA too, through TrackEval")] = False,
    score: Annotated[
        float | None,
        typer.Option(
            parser=finite,
            metavar="SCORE",
            help="least score of a result that counts as found, in tracking, confusion, identity switches and pictures "
            "(default: the one of best F1 at IoU 0.5); AP takes all results",
        ),
    ] = None,
    motion_step: Annotated[
        int | None,
        typer.Option(
            parser=positive,
            metavar="FRAMES",
            help="motion is the IoU of an object's box with its box this many frames later (default: a third of a "
            "second at YouTube-VIS's 6 frames a second)",
        ),
    ] = None,
) -> None:
    """Compute the average precision of results, and what lies behind it.

    It is computed as YouTube-VIS's server does. To evaluate a model rather than a file of results:
    ifc train --eval-only.

    \b
    Examples:
        ifc eval --gt valid.json --results results.json
        ifc eval --gt train.json --results output/inference/results.json --report output/report --frames JPEGImages

    Prints the twelve numbers, AP by category, and AP by the objects' length and motion. --json writes them as fractions
    of 1 (-1 or null where there are no objects): {"stats": [the twelve], "stat_names": [...], "per_category_AP": {...},
    "by_length": {...}, "by_motion": {...}}, with --tracking or --report also "score", and "tracking" or "errors".
    --report writes a page with curves, distributions, error types, confusion and the worst videos.

    Needs no torch and no model: NumPy, pycocotools and tabulate are enough, SciPy, Jinja2, matplotlib and Pillow for a
    report, SciPy and TrackEval for --tracking.
    """
    if frames and not report:
        raise typer.BadParameter("expected --report too, whose pictures they are for", param_hint="--frames")
    if json:
        refuse_input(json, [gt, results])
    # Now, what would otherwise fail after the work is done.
    if tracking:
        from ..ytvis.metric.tracking import load_metrics

        load_metrics()
    if report:
        from ..ytvis.reports.evaluation_page import make_report
        from ..ytvis.reports.pictures import FrameFiles

        report.mkdir(parents=True, exist_ok=True)

    from ..ytvis.ground_truth import read_ground_truth
    from ..ytvis.metric import evaluation
    from ..ytvis.metric.breakdown import MOTION_STEP
    from ..ytvis.metric.result_tracks import read_results
    from ..ytvis.metric.video_ap import require_tracks
    from ..ytvis.reports.text import category_table, group_table, stats_table, tracking_table

    ground_truth = read_ground_truth(gt)
    require_tracks(ground_truth)
    frame_files = FrameFiles(ground_truth, frames) if frames else None
    tracks = read_results(results, ground_truth)
    numbers = evaluation.evaluate(ground_truth, tracks, motion_step=motion_step or MOTION_STEP, score=score)
    print("In percent; - where there are no objects.")
    groups = {"tracks": numbers.by_length, "motion": numbers.by_motion}
    for table in (stats_table(numbers.result), category_table(numbers.result), group_table(groups)):
        print(f"\n{table}")
    if tracking:
        print(f"\n{tracking_table(numbers.tracking, numbers.score)}")
    if report:
        path = report / REPORT_FILE
        make_report(numbers, numbers.tracking if tracking else None, frame_files).write(path)
        print(f"report: {path}")
    if json:
        write_json(json, numbers.to_json(errors=bool(report), tracking=tracking), indent=1)
