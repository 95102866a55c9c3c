#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the long videos of YouTube-VIS 2022's validation split as a split of their own, `ytvis_2022_val_long`.

The split's valid.json has the short videos of 2021 and the long ones that were added, and does not say which is which:
the long ones are those whose folder of frames 2021's valid.json does not have.

Example:
    python tools/long_videos.py datasets/ytvis_2022/valid.json --short datasets/ytvis_2021/valid.json \\
        --output datasets/ytvis_2022/valid_long.json
"""

from ifc.cli.program import command_line, one_clear_error
from ifc.ytvis.datasets.split import select_long
from ifc.ytvis.files import refuse_input, write_json


@one_clear_error()
def main() -> None:
    """Run the program."""
    parser = command_line(__doc__)
    parser.add_argument("json", metavar="JSON", help="valid.json of 2022")
    parser.add_argument("--short", required=True, metavar="JSON", help="valid.json of 2021")
    parser.add_argument("--output", required=True, metavar="JSON", help="valid_long.json, to be written")
    args = parser.parse_args()
    refuse_input(args.output, [args.json, args.short])
    selected = select_long(args.json, args.short)
    write_json(args.output, selected)
    print(f"{args.output}: {len(selected['videos'])} videos")


if __name__ == "__main__":
    main()
