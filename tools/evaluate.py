#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Average precision of video instance segmentation results, as YouTube-VIS's server computes it, and what lies behind.

Example:
    python tools/evaluate.py --gt datasets/ytvis_2019/train.json --results output/inference/results.json \\
        --report output/report --frames datasets/ytvis_2019/train/JPEGImages

Prints the twelve numbers, AP by category, and AP by the objects' length and motion. --json writes them as fractions of
1 (-1 or null where there are no objects): {"stats": [the twelve], "stat_names": [...], "per_category_AP": {...},
"by_length": {...}, "by_motion": {...}}, with --tracking or --report also "score", and "tracking" or "errors".
--report writes a page with curves, distributions, error types, confusion and the worst videos.

Needs no torch and no model: NumPy, pycocotools and tabulate are enough, SciPy, Jinja2, matplotlib and Pillow for a
report, SciPy and TrackEval for --tracking.
"""

from collections.abc import Sequence
from pathlib import Path

from ifc.cli.program import command_line, finite, new_file, one_clear_error, positive
from ifc.ytvis.files import refuse_input, write_json
from ifc.ytvis.ground_truth import read_ground_truth
from ifc.ytvis.metric.breakdown import MOTION_STEP
from ifc.ytvis.metric.evaluation import evaluate
from ifc.ytvis.metric.result_tracks import read_results
from ifc.ytvis.metric.video_ap import require_tracks
from ifc.ytvis.reports.text import category_table, group_table, stats_table, tracking_table

REPORT_FILE = "report.html"


@one_clear_error()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with the arguments `argv` (default: those of the command line)."""
    parser = command_line(__doc__)
    add = parser.add_argument
    add("--gt", required=True, metavar="FILE", help="annotations in YouTube-VIS's json format")
    add("--results", required=True, metavar="FILE", help="results.json")
    add("--json", type=new_file, metavar="FILE", help="write the numbers to this file")
    add("--report", type=Path, metavar="DIR", help=f"write {REPORT_FILE} to this folder, made if missing")
    add("--frames", metavar="DIR", help="folder of the frames, for the report's pictures")
    add("--tracking", action="store_true", help="HOTA, IDF1 and MOTA too, through TrackEval")
    text = (
        "least score of a result that counts as found, in tracking, confusion, identity switches and pictures "
        "(default: the one of best F1 at IoU 0.5); AP takes all results"
    )
    add("--score", type=finite, help=text)
    text = (
        "motion is the IoU of an object's box with its box this many frames later (default: %(default)s, a third of a "
        "second at YouTube-VIS's 6 frames a second)"
    )
    add("--motion-step", type=positive, default=MOTION_STEP, metavar="FRAMES", help=text)
    args = parser.parse_args(argv)

    if args.frames and not args.report:
        parser.error("--frames: expected --report too, whose pictures they are for")
    if args.json:
        refuse_input(args.json, [args.gt, args.results])
    # Now, what would otherwise fail after the work is done.
    if args.tracking:
        from ifc.ytvis.metric.tracking import load_metrics

        load_metrics()
    if args.report:
        from ifc.ytvis.reports.evaluation_page import make_report
        from ifc.ytvis.reports.pictures import FrameFiles

        args.report.mkdir(parents=True, exist_ok=True)

    ground_truth = read_ground_truth(args.gt)
    require_tracks(ground_truth)
    frames = FrameFiles(ground_truth, args.frames) if args.frames else None
    results = read_results(args.results, ground_truth)
    evaluation = evaluate(ground_truth, results, motion_step=args.motion_step, score=args.score)
    print("In percent; - where there are no objects.")
    groups = {"tracks": evaluation.by_length, "motion": evaluation.by_motion}
    for table in (stats_table(evaluation.result), category_table(evaluation.result), group_table(groups)):
        print(f"\n{table}")
    if args.tracking:
        print(f"\n{tracking_table(evaluation.tracking, evaluation.score)}")
    if args.report:
        path = args.report / REPORT_FILE
        make_report(evaluation, evaluation.tracking if args.tracking else None, frames).write(path)
        print(f"report: {path}")
    if args.json:
        content = evaluation.to_json(errors=bool(args.report), tracking=args.tracking)
        write_json(args.json, content, indent=1)


if __name__ == "__main__":
    main()
