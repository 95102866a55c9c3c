#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Split a data set in YouTube-VIS's format by video into train.json and val.json, with balanced classes.

So that AP can be had locally where the official validation split comes without annotations.

Example:
    python tools/split_dataset.py datasets/ytvis_2019/train.json --output datasets/ytvis_2019/split --val-videos 200
    python tools/split_dataset.py datasets/ytvis_2019/train.json --output again --videos split.json
    python tools/split_dataset.py ovis/annotations_train.json --output ovis/ifc-dev --named ifc-dev-ovis

Beside the two goes split.json: seed, options, checksum of the source, and the videos of both parts. The second line
makes the same split again from it. A split depends on the videos, their tracks and the options alone. The third line
makes the split that papers can name: ovis_ifc_dev_train to train on, ovis_ifc_dev to validate on.
"""

from collections.abc import Sequence
from pathlib import Path

from ifc.cli.program import command_line, one_clear_error, positive, share
from ifc.ytvis.datasets.dev_splits import DEV_SPLITS, named_videos
from ifc.ytvis.datasets.split import balance, choose_videos, read_dataset, read_split_record, write_split
from ifc.ytvis.files import refuse_input
from ifc.ytvis.reports.text import balance_text


@one_clear_error()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with the arguments `argv` (default: those of the command line)."""
    parser = command_line(__doc__)
    parser.add_argument("annotations", metavar="JSON", help="the annotation file")
    text = "gets train.json, val.json and split.json"
    parser.add_argument("--output", type=Path, metavar="DIR", required=True, help=text)
    choice = parser.add_mutually_exclusive_group()
    text = "of the videos to validate on (default: %(default)s)"
    choice.add_argument("--val-fraction", type=share, default=0.1, metavar="SHARE", help=text)
    choice.add_argument("--val-videos", type=positive, metavar="N", help="number of videos to validate on")
    choice.add_argument("--videos", type=Path, metavar="FILE", help="make the split again that this split.json lists")
    choice.add_argument("--named", choices=DEV_SPLITS, help="make the split of this name, which is the same everywhere")
    parser.add_argument("--seed", type=int, default=0, help="every seed gives another split (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace a split in DIR")
    args = parser.parse_args(argv)

    paths = {name: args.output / f"{name}.json" for name in ("train", "val", "split")}
    for path in paths.values():
        refuse_input(path, [args.annotations])
        if path.exists() and not args.overwrite:
            raise ValueError(f"{path}: exists already, expected a new folder or --overwrite")
    dataset = read_dataset(args.annotations)
    num_videos = len(dataset.folders)
    if args.videos is not None:
        val, is_same = read_split_record(args.videos, dataset)
        options = {"videos": args.videos.name}
        if not is_same:
            print(f"note: {args.videos} was made of another file than {args.annotations}; the ids are in both")
    elif args.named is not None:
        val, options = named_videos(args.named, dataset), {"named": args.named}
    else:
        num_val = args.val_videos or min(max(round(args.val_fraction * num_videos), 1), num_videos - 1)
        val = choose_videos(dataset.tracks(), num_val, args.seed)
        options = {"seed": args.seed, "val_videos": num_val}
    text = balance_text(balance(dataset, val))
    args.output.mkdir(parents=True, exist_ok=True)
    write_split(args.output, dataset, val, options)
    print(text)
    print(f"{paths['train']}: {num_videos - len(val)} videos\n{paths['val']}: {len(val)} videos")
    print(f"{paths['split']}: the list")


if __name__ == "__main__":
    main()
