#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Split a data set in YouTube-VIS's format by video into train.json and val.json, with balanced classes.

So that AP can be had locally where the official validation split comes without annotations.

Example:
    python tools/split_dataset.py datasets/ytvis_2019/train.json --output datasets/ytvis_2019/split --val-videos 200
    python tools/split_dataset.py datasets/ytvis_2019/train.json --output again --videos split.json

Beside the two goes split.json: seed, options, checksum of the source, and the videos of both parts. The second line
makes the same split again from it. A split depends on the videos, their tracks and the options alone.
"""

import argparse
import contextlib
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ifc.ytvis.datasets.split import (
    Dataset,
    choose_videos,
    part_content,
    read_dataset,
    read_split_record,
    split_record,
)
from ifc.ytvis.files import refuse_input, whole_file, write_json


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Split a data set in YouTube-VIS's format by video into train.json and val.json."
    )
    parser.add_argument("annotations", metavar="JSON", help="the annotation file")
    parser.add_argument("--output", metavar="DIR", required=True, help="gets train.json, val.json and split.json")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--val-fraction",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="of the videos to validate on (default: %(default)s)",
    )
    choice.add_argument("--val-videos", type=int, metavar="N", help="number of videos to validate on")
    choice.add_argument("--videos", metavar="FILE", help="make the split again that this split.json lists")
    parser.add_argument("--seed", type=int, default=0, help="every seed gives another split (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace a split in DIR")
    return parser


def choose(args: argparse.Namespace, dataset: Dataset) -> tuple[set[int], dict[str, object]]:
    """The videos to validate on, and the options to note."""
    if args.videos is not None:
        val, is_same = read_split_record(args.videos, dataset)
        if not is_same:
            print(f"note: {args.videos} was made of another file than {args.annotations}; the ids are in both")
        return val, {"videos": os.path.basename(args.videos)}
    num_videos = len(dataset.folders)
    num_val = args.val_videos
    if num_val is None:
        num_val = min(max(round(args.val_fraction * num_videos), 1), num_videos - 1)
    return choose_videos(dataset.tracks(), num_val, args.seed), {"seed": args.seed, "val_videos": num_val}


def print_balance(dataset: Dataset, val: set[int]) -> None:
    """Tracks of each category in both parts."""
    parts: dict[bool, Counter[int]] = {False: Counter(), True: Counter()}
    for video_id, counts in dataset.tracks().items():
        parts[video_id in val].update(counts)
    print(f"{'category':24}{'train':>8}{'val':>8}{'in val':>9}")
    categories = sorted(dataset.structure.categories.items())
    for category_id, name in categories:
        train, validation = parts[False][category_id], parts[True][category_id]
        share = f"{validation / (train + validation):.1%}" if train + validation else "-"
        print(f"{name:24.24}{train:8}{validation:8}{share:>9}")
    totals = [part.total() for part in parts.values()]
    print(f"{'all':24}{totals[0]:8}{totals[1]:8}{totals[1] / max(1, sum(totals)):9.1%}")
    for name, part, other in (("train", parts[False], parts[True]), ("val", parts[True], parts[False])):
        absent = [label for category_id, label in categories if other[category_id] and not part[category_id]]
        if absent:
            print(f"without a track in {name}: {', '.join(absent)}")


def write_split(paths: dict[str, Path], dataset: Dataset, val: set[int], options: dict[str, object]) -> None:
    """Write train.json, val.json and split.json, or none of them: parts of two splits may share videos."""
    with contextlib.ExitStack() as stack:
        partials = {name: stack.enter_context(whole_file(path)) for name, path in paths.items()}
        try:
            for name, videos in (("train", set(dataset.folders) - val), ("val", val)):
                write_json(partials[name], part_content(dataset, videos), separators=(",", ":"))
        except ValueError:
            found = "a number that is not finite (tools/check_dataset.py tells where)"
            raise ValueError(f"{dataset.source}: found {found}, expected those that json knows") from None
        write_json(partials["split"], split_record(dataset, val, options), indent=1)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with the arguments `argv` (default: those of the command line). Returns the exit code."""
    parser = build_parser()
    args = parser.parse_args(argv)
    sys.stdout.reconfigure(errors="backslashreplace")
    if not 0 < args.val_fraction < 1:
        parser.error(f"--val-fraction: found {args.val_fraction}, expected a share between 0 and 1")
    output = Path(args.output)
    paths = {name: output / f"{name}.json" for name in ("train", "val", "split")}
    try:
        for path in paths.values():
            refuse_input(path, [args.annotations])
            if path.exists() and not args.overwrite:
                raise ValueError(f"{path}: exists already, expected a new folder or --overwrite")
        dataset = read_dataset(args.annotations)
        val, options = choose(args, dataset)
        output.mkdir(parents=True, exist_ok=True)
        write_split(paths, dataset, val, options)
    except (OSError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    print_balance(dataset, val)
    num_train = len(dataset.folders) - len(val)
    print(f"{paths['train']}: {num_train} videos\n{paths['val']}: {len(val)} videos\n{paths['split']}: the list")
    return 0


if __name__ == "__main__":
    sys.exit(main())
