#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How far two results files of one data set are apart: in AP, and track by track.

Example:
    python tools/compare_results.py --gt datasets/shapes/val.json float32/inference/results.json \
        bfloat16/inference/results.json

For two ways to run one model (another precision, other hardware, other code) AP alone says little: it is lost and won
by chance. Therefore the tracks of the first file with a score of --score or more are paired with those of the second of
the same video and class, one to one with the largest total IoU; a track without a partner counts with IoU 0. Needs no
torch and no model.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from ifc.ytvis.files import refuse_input, write_json
from ifc.ytvis.metric import tracks, video_ap


def compare(gt: Path, first: Path, second: Path, score: float) -> dict[str, Any]:
    """
    Args:
        gt: a json file in YouTube-VIS's format, with annotations.
        first, second: results.
        score: the smallest score of the tracks that are paired.

    Returns:
        "stats": the twelve numbers of the first, of the second, and their differences; "pairs": number of tracks of the
        first that were to be paired; "mean_iou", "lowest_iou" and "share_above_0.9" over them; "largest_score_change"
        over those with a partner. None where there is no track.

    Raises:
        OSError, ValueError: as the metric.
    """
    ground_truth = tracks.read_ground_truth(gt)
    video_ap.require_tracks(ground_truth)
    both = [tracks.read_results(path, ground_truth) for path in (first, second)]
    stats = []
    for results in both:
        overlaps = video_ap.find_overlaps(ground_truth, results)
        precision = video_ap.average_precision(ground_truth, overlaps, video_ap.AREA_RANGES)
        stats.append(video_ap.summarize(ground_truth, *precision).stats.tolist())

    ious, changes = [], [0.0]
    for key, of_first in both[0].items():
        kept = [track for track in of_first if track.score >= score]
        others = both[1].get(key, [])
        iou = video_ap.track_ious(kept, others)
        rows, columns = linear_sum_assignment(iou, maximize=True)
        paired = np.zeros(len(kept))
        paired[rows] = iou[rows, columns]
        ious += paired.tolist()
        changes += [abs(kept[i].score - others[j].score) for i, j in zip(rows, columns, strict=True) if iou[i, j] > 0]
    return {
        "stats": {
            name: {"first": a, "second": b, "difference": b - a}
            for name, a, b in zip(video_ap.STAT_NAMES, *stats, strict=True)
        },
        "pairs": len(ious),
        "mean_iou": float(np.mean(ious)) if ious else None,
        "lowest_iou": min(ious, default=None),
        "share_above_0.9": float(np.mean(np.array(ious) > 0.9)) if ious else None,
        "largest_score_change": max(changes) if ious else None,
    }


def text_of(report: dict[str, Any], score: float) -> str:
    """The report for people, in percent."""
    lines = [f"{'':8}{'first':>9}{'second':>9}{'change':>9}"]
    for name, values in report["stats"].items():
        if values["first"] >= 0:  # -1: nothing to measure
            lines.append(f"{name:8}" + "".join(f"{100 * value:9.3f}" for value in values.values()))
    lines.append(f"tracks of the first with a score of {score} or more: {report['pairs']}")
    if report["pairs"]:
        lines.append(
            f"their IoU with those of the second: mean {report['mean_iou']:.4f}, lowest {report['lowest_iou']:.4f}, "
            f"{report['share_above_0.9']:.1%} above 0.9; scores change by at most {report['largest_score_change']:.4f}"
        )
    return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    description, _, details = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gt", type=Path, required=True, metavar="FILE", help="annotations")
    parser.add_argument("first", type=Path, metavar="FIRST", help="results.json")
    parser.add_argument("second", type=Path, metavar="SECOND", help="results.json")
    parser.add_argument("--score", type=float, default=0.3, help="of the tracks that are paired (default: 0.3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers, too")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns the exit status: 0, or 1 after an error, which is written to stderr."""
    args = build_parser().parse_args(argv)
    try:
        if not args.score >= 0:
            raise ValueError(f"--score: found {args.score}, expected 0 or more")
        if args.json is not None:
            refuse_input(args.json, [args.gt, args.first, args.second])
        report = compare(args.gt, args.first, args.second, args.score)
        print(text_of(report, args.score))
        if args.json is not None:
            write_json(args.json, report, indent=2)
    except (OSError, ValueError) as error:
        print(f"compare_results.py: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
