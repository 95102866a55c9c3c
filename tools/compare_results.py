#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How far two results files of one data set are apart: in AP, and track by track.

Example:
    python tools/compare_results.py --gt datasets/shapes/val.json float32/inference/results.json \\
        bfloat16/inference/results.json

For two ways to run one model (another precision, other hardware, other code) AP alone says little: it is lost and won
by chance. Therefore the tracks of the first file with a score of --score or more are paired with those of the second of
the same video and class, one to one with the largest total IoU; a track without a partner counts with IoU 0. Needs no
torch and no model.
"""

from collections.abc import Sequence

from ifc.cli.program import amount, command_line, new_file, one_clear_error
from ifc.ytvis.files import refuse_input, write_json


@one_clear_error()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with the arguments `argv` (default: those of the command line)."""
    parser = command_line(__doc__)
    parser.add_argument("--gt", required=True, metavar="FILE", help="annotations")
    parser.add_argument("first", metavar="FIRST", help="results.json")
    parser.add_argument("second", metavar="SECOND", help="results.json")
    text = "of the tracks that are paired (default: %(default)s)"
    parser.add_argument("--score", type=amount, default=0.3, help=text)
    parser.add_argument("--json", type=new_file, metavar="FILE", help="write the numbers, too")
    args = parser.parse_args(argv)

    # SciPy, which --help can do without.
    from ifc.ytvis.metric.comparison import compare_results
    from ifc.ytvis.reports.text import comparison_text

    if args.json is not None:
        refuse_input(args.json, [args.gt, args.first, args.second])
    report = compare_results(args.gt, args.first, args.second, args.score)
    print(comparison_text(report, args.score))
    if args.json is not None:
        write_json(args.json, report, indent=2)


if __name__ == "__main__":
    main()
