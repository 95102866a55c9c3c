#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Check a data set in YouTube-VIS's format and report all its faults, each with video, annotation, frame and field.

Example:
    python tools/check_dataset.py datasets/ytvis_2019/train.json datasets/ytvis_2019/train/JPEGImages
    python tools/check_dataset.py my.json my_frames --report report --json faults.json

Frames are checked by their headers and last bytes, which finds what is missing, of the wrong size or cut off; --decode
reads them whole. Training and evaluation refuse a data set for some faults, which --json marks as is_refused; others
may not be meant, such as an area that is not the mask's, but can be used. The exit code is 0 if there are no faults, 1
if there are, and 2 for options that make no sense.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ifc.cli.program import add_workers, amount, command_line, new_file, one_clear_error
from ifc.ytvis.datasets.check import CheckResult, Tolerance, check_dataset
from ifc.ytvis.faults import KINDS
from ifc.ytvis.files import refuse_input, write_json


@one_clear_error()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with the arguments `argv` (default: those of the command line). Returns the exit status."""
    tolerance = Tolerance()
    parser = command_line(__doc__)
    add = parser.add_argument
    add("annotations", metavar="JSON", help="the annotation file")
    add("image_root", metavar="IMAGE_ROOT", help="the folder that its file_names are relative to")
    add("--no-frames", action="store_true", help="check the annotations only")
    add("--decode", action="store_true", help="decode every frame whole")
    text = "of the mask's pixels, by which an area may be off; 2 pixels always (default: %(default)s)"
    add("--area-tolerance", type=amount, default=tolerance.area, metavar="SHARE", help=text)
    text = "by which each side of a box may be off (default: %(default)s)"
    add("--box-tolerance", type=amount, default=tolerance.box, metavar="PIXELS", help=text)
    add_workers(parser)
    add("--report", type=Path, metavar="DIR", help="write an HTML page, DIR/index.html")
    add("--json", type=new_file, metavar="FILE", help="write the faults as json")
    args = parser.parse_args(argv)

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
    if args.json is not None:
        write_json(args.json, {"counts": result.counts(), "faults": [asdict(fault) for fault in result.faults]})
    if args.report is not None:
        from ifc.ytvis.reports.dataset_page import make_page  # matplotlib, which takes a second to import

        args.report.mkdir(parents=True, exist_ok=True)
        make_page(result, args.annotations, args.image_root).write(args.report / "index.html")
        print(f"report: {args.report / 'index.html'}")
    return 1 if result.faults else 0


def print_result(result: CheckResult) -> None:
    """The faults counted by kind, then all of them."""
    counts = result.counts()
    for kind, meaning in KINDS.items():
        if kind in counts:
            print(f"{counts[kind]:8}  {kind:14}  {meaning}")
    print(*result.faults, sep="\n", end="\n" if result.faults else "")
    frames = f"{result.num_frames} frames, {result.num_annotations} annotations"
    print(f"{len(result.faults) or 'no'} faults in {frames}")
    if result.faults:
        refused = sum(fault.is_refused for fault in result.faults)
        print(f"training and evaluation {f'refuse it for {refused} of them' if refused else 'take it all the same'}")


if __name__ == "__main__":
    sys.exit(main())
