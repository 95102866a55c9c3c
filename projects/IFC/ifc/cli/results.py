# SPDX-License-Identifier: Apache-2.0
"""What is done with files of results: `ifc eval`, `ifc data submit` and `ifc data compare`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..ytvis.files import refuse_input, write_json
from .program import amount, finite, new_file, one_clear_error, option, positive, switch

REPORT_FILE = "report.html"
GroundTruth = Annotated[str, option("annotations in YouTube-VIS's json format", "FILE")]
JsonFile = Annotated[Path | None, option("write the numbers, too", "FILE", new_file)]


@one_clear_error()
def evaluate(
    gt: GroundTruth,
    results: Annotated[str, option("results.json", "FILE")],
    json: JsonFile = None,
    report: Annotated[Path | None, option(f"write {REPORT_FILE} to this folder, made if missing", "DIR")] = None,
    frames: Annotated[str | None, option("folder of the frames, for the report's pictures", "DIR")] = None,
    tracking: Annotated[bool, switch("--tracking", "HOTA, IDF1 and MOTA too, through TrackEval")] = False,
    score: Annotated[
        float | None,
        option(
            "least score of a result that counts as found, in tracking, confusion, identity switches and pictures "
            "(default: the one of best F1 at IoU 0.5); AP takes all results",
            "SCORE",
            finite,
        ),
    ] = None,
    motion_step: Annotated[
        int | None,
        option(
            "motion is the IoU of an object's box with its box this many frames later (default: a third of a "
            "second at YouTube-VIS's 6 frames a second)",
            "FRAMES",
            positive,
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


@one_clear_error()
def submit(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="results.json")],
    split: Annotated[str, typer.Option("--for", metavar="FILE", help="the split's json, as valid.json")],
    output: Annotated[Path | None, option("zip to write", "FILE", show_default="results.zip beside it")] = None,
) -> None:
    """Check results against a split and zip them as the challenges' servers take them.

    \b
    Example:
        ifc data submit output/inference/results.json --for datasets/ytvis_2019/valid.json

    All faults are listed, each with its place; then nothing is written and the exit code is 1. The zip has the file as
    it is, as results.json at its root. Needs no torch: NumPy and pycocotools are enough.
    """
    from ..ytvis.ground_truth import read_ground_truth
    from ..ytvis.metric.submission import SubmissionError, write_submission

    output = output or results.parent / f"{results.stem}.zip"
    ground_truth = read_ground_truth(split)
    try:
        remarks = write_submission(results, ground_truth, output)
    except SubmissionError as error:
        print(*error.faults, sep="\n", file=sys.stderr)
        raise ValueError(f"{len(error.faults)} faults, {output} not written") from error
    for remark in remarks:
        print(f"note: {remark}")
    size, num_videos = output.stat().st_size / 2**20, len(ground_truth.videos)
    print(f"{output}: {size:.2f} MiB, {num_videos} videos in the split, no faults")


@one_clear_error()
def compare(
    gt: GroundTruth,
    first: Annotated[str, typer.Argument(metavar="FIRST", help="results.json")],
    second: Annotated[str, typer.Argument(metavar="SECOND", help="results.json")],
    score: Annotated[float, option("of the tracks that are paired", "SCORE", amount)] = 0.3,
    json: JsonFile = None,
) -> None:
    """Say how far two results files of one data set are apart: in AP, and track by track.

    \b
    Example:
        ifc data compare --gt datasets/shapes/val.json float32/inference/results.json bfloat16/inference/results.json

    For two ways to run one model (another precision, other hardware, other code) AP alone says little: it is lost and
    won by chance. Therefore the tracks of the first file with a score of --score or more are paired with those of the
    second of the same video and class, one to one with the largest total IoU; a track without a partner counts with
    IoU 0. Needs no torch and no model.
    """
    from ..ytvis.metric.comparison import compare_results
    from ..ytvis.reports.text import comparison_text

    if json is not None:
        refuse_input(json, [gt, first, second])
    report = compare_results(gt, first, second, score)
    print(comparison_text(report, score))
    if json is not None:
        write_json(json, report, indent=2)
