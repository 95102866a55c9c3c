#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Check a data set in YouTube-VIS's format and report all its faults, each with video, annotation, frame and field.

Example:
    python tools/check_dataset.py datasets/ytvis_2019/train.json datasets/ytvis_2019/train/JPEGImages
    python tools/check_dataset.py my.json my_frames --report report --json faults.json

Frames are checked by their headers and last bytes, which finds what is missing, of the wrong size or cut off; --decode
reads them whole. The exit code is 0 if there are no faults, 1 if there are, and 2 for options that make no sense.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path

from ifc.ytvis.datasets.check import CheckResult, Tolerance, check_dataset
from ifc.ytvis.faults import KINDS
from ifc.ytvis.files import refuse_input, write_json


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Check a data set in YouTube-VIS's format and report all its faults.")
    parser.add_argument("annotations", metavar="JSON", help="the annotation file")
    parser.add_argument("image_root", metavar="IMAGE_ROOT", help="the folder that its file_names are relative to")
    parser.add_argument("--no-frames", action="store_true", help="check the annotations only")
    parser.add_argument("--decode", action="store_true", help="decode every frame whole")
    tolerance = Tolerance()
    parser.add_argument(
        "--area-tolerance",
        type=float,
        default=tolerance.area,
        metavar="SHARE",
        help="of the mask's pixels, by which an area may be off; 2 pixels always (default: %(default)s)",
    )
    parser.add_argument(
        "--box-tolerance",
        type=float,
        default=tolerance.box,
        metavar="PIXELS",
        help="by which each side of a box may be off (default: %(default)s)",
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), metavar="N", help="processes to use (default: all cores)"
    )
    parser.add_argument("--report", metavar="DIR", help="write an HTML page, DIR/index.html")
    parser.add_argument("--json", metavar="FILE", help="write the faults as json")
    return parser


def print_result(result: CheckResult) -> None:
    """A table of the faults by kind, then all of them."""
    # Names in a data set may be what the terminal cannot show.
    sys.stdout.reconfigure(errors="backslashreplace")
    counts = result.counts()
    for kind, meaning in KINDS.items():
        if kind in counts:
            print(f"{counts[kind]:8}  {kind:14}  {meaning}")
    for fault in result.faults:
        print(fault)
    frames = f"{result.num_frames} frames, {result.num_annotations} annotations"
    print(f"{len(result.faults) or 'no'} faults in {frames}")


def write_outputs(args: argparse.Namespace, result: CheckResult) -> None:
    """The files that the options ask for."""
    if args.json is not None:
        write_json(args.json, {"counts": result.counts(), "faults": [asdict(fault) for fault in result.faults]})
    if args.report is not None:
        from ifc.ytvis.reports.dataset_page import make_page  # matplotlib, which takes a second to import

        Path(args.report).mkdir(parents=True, exist_ok=True)
        path = Path(args.report) / "index.html"
        make_page(result, args.annotations, args.image_root).write(path)
        print(f"report: {path}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with the arguments `argv` (default: those of the command line). Returns the exit code."""
    parser = build_parser()
    args = parser.parse_args(argv)
    for option in ("area_tolerance", "box_tolerance"):
        if not 0 <= getattr(args, option) < float("inf"):
            parser.error(f"--{option.replace('_', '-')}: found {getattr(args, option)}, expected 0 or more")
    if args.workers < 1:
        parser.error(f"--workers: found {args.workers}, expected at least 1")
    try:
        if args.json is not None:
            refuse_input(args.json, [args.annotations])
        result = check_dataset(
            args.annotations,
            args.image_root,
            frames=not args.no_frames,
            decode=args.decode,
            tolerance=Tolerance(args.area_tolerance, args.box_tolerance),
            num_workers=args.workers,
            show_progress=True,
        )
        print_result(result)
        write_outputs(args, result)
    except (BrokenProcessPool, OSError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main())
