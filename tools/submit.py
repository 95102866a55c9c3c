#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Check results against a split and zip them as the challenges' servers take them.

Example:
    python tools/submit.py output/inference/results.json --for datasets/ytvis_2019/valid.json

All faults are listed, each with its place; then nothing is written and the exit code is 1. The zip has the file as it
is, as results.json at its root. Needs no torch: NumPy and pycocotools are enough.
"""

import sys
from pathlib import Path

from ifc.cli.program import command_line, one_clear_error
from ifc.ytvis.ground_truth import read_ground_truth
from ifc.ytvis.metric.submission import SubmissionError, write_submission


@one_clear_error()
def main() -> None:
    """Run the program."""
    parser = command_line(__doc__)
    parser.add_argument("results", type=Path, help="results.json")
    parser.add_argument("--for", dest="split", required=True, metavar="FILE", help="the split's json, as valid.json")
    parser.add_argument("--output", type=Path, metavar="FILE", help="zip to write (default: results.zip beside it)")
    args = parser.parse_args()
    output = args.output or args.results.parent / f"{args.results.stem}.zip"
    split = read_ground_truth(args.split)
    try:
        remarks = write_submission(args.results, split, output)
    except SubmissionError as error:
        print(*error.faults, sep="\n", file=sys.stderr)
        raise ValueError(f"{len(error.faults)} faults, {output} not written") from error
    for remark in remarks:
        print(f"note: {remark}")
    print(f"{output}: {output.stat().st_size / 2**20:.2f} MiB, {len(split.videos)} videos in the split, no faults")


if __name__ == "__main__":
    main()
