#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Convert data sets of videos to YouTube-VIS's json, and back to label maps.

Example:
    python tools/convert.py davis-to-ytvis DAVIS --list DAVIS/ImageSets/2017/val.txt --output davis_val.json
    python tools/convert.py youtube-vos-to-ytvis youtube_vos/train --output youtube_vos_train.json
    python tools/convert.py mots-png-to-ytvis KITTI-MOTS/instances KITTI-MOTS/training/image_02 --output kitti.json
    python tools/convert.py cvat-to-ytvis export/annotations.xml --frames my_frames --output my.json
    python tools/convert.py ytvis-to-png my.json --output my_pngs

The json's file_names are relative to the folder that the program prints. Each command has its own --help.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from ifc.ytvis.convert import cvat, indexed_png, label_studio, mots
from ifc.ytvis.files import refuse_input, write_json
from ifc.ytvis.tracked_video import TrackedVideo, ytvis_content


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Convert data sets of videos to YouTube-VIS's json, and back.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    command = _command(commands, "png-to-ytvis", from_png, "DAVIS, YouTube-VOS, MOSE: indexed PNGs")
    command.add_argument("root", metavar="ROOT", help="folder with Annotations and JPEGImages")
    command.add_argument("--list", metavar="FILE", help="the videos to convert, a name a line (default: all)")
    command.add_argument(
        "--resolution", metavar="NAME", help="DAVIS's folder of videos (default: 480p if there is one)"
    )
    command.add_argument(
        "--meta", metavar="FILE", help="the objects' categories (default: ROOT/meta.json if it exists)"
    )
    command.add_argument("--void", type=int, metavar="N", help="an index that is no object, besides 0")
    command.add_argument(
        "--only-annotated", action="store_true", help="leave out the frames without PNG, whose masks would be null"
    )

    for name, function, source, text in (
        ("mots-png-to-ytvis", from_mots_png, "INSTANCES", "MOTS and KITTI-MOTS: PNGs of 16 bits"),
        ("mots-txt-to-ytvis", from_mots_text, "TEXTS", "MOTS and KITTI-MOTS: SEQUENCE.txt or SEQUENCE/gt/gt.txt"),
    ):
        command = _command(commands, name, function, text)
        command.add_argument("source", metavar=source, help="folder of the annotations")
        command.add_argument("images", metavar="IMAGES", help="folder with a folder of frames for each sequence")
        command.add_argument(
            "--categories",
            nargs="+",
            default=[f"{number}={category}" for category, number in mots.CATEGORIES.items()],
            metavar="N=NAME",
            help="numbers and names of the classes (default: 1=car 2=pedestrian)",
        )
        if source == "INSTANCES":
            command.add_argument("--only-annotated", action="store_true", help="leave out the frames without PNG")

    command = _command(commands, "cvat-to-ytvis", from_cvat, "CVAT for video 1.1: boxes, polygons and masks")
    command.add_argument("source", nargs="+", metavar="XML", help="one export for each video")
    command.add_argument("--frames", required=True, metavar="DIR", help="folder with a folder of frames for each video")

    command = _command(commands, "label-studio-to-ytvis", from_label_studio, "Label Studio's video rectangles")
    command.add_argument("source", metavar="JSON", help="the export, format JSON")
    command.add_argument("--frames", required=True, metavar="DIR", help="folder with a folder of frames for each video")

    for name, function, text in (
        ("ytvis-to-png", to_png, "indexed PNGs with DAVIS's palette, and meta.json"),
        ("ytvis-to-mots-png", to_mots_png, "MOTS's PNGs of 16 bits"),
        ("ytvis-to-mots-txt", to_mots_text, "MOTS's text, a file a sequence"),
    ):
        command = _command(commands, name, function, text)
        command.add_argument("source", metavar="JSON", help="in YouTube-VIS's format")
    return parser


ALIASES = {"png-to-ytvis": ["davis-to-ytvis", "youtube-vos-to-ytvis", "mose-to-ytvis"]}


def _command(commands, name: str, function, text: str) -> argparse.ArgumentParser:
    """A command with the options that all have."""
    command = commands.add_parser(name, aliases=ALIASES.get(name, []), help=text, description=text)
    target = "the json to write" if name.endswith("to-ytvis") else "the folder to write, which may not exist yet"
    command.add_argument("--output", required=True, metavar="PATH", help=target)
    if function not in (from_cvat, from_label_studio):
        command.add_argument(
            "--workers", type=int, default=os.cpu_count(), metavar="N", help="processes to use (default: all cores)"
        )
    command.set_defaults(function=function)
    return command


def from_png(args: argparse.Namespace) -> None:
    """Indexed PNGs to json."""
    refuse_input(args.output, [path for path in (args.list, args.meta, Path(args.root) / "meta.json") if path])
    videos = None if args.list is None else _lines(args.list)
    if args.meta is not None and not Path(args.meta).is_file():
        raise ValueError(f"{args.meta}: found no such file, expected the objects' categories")
    found, categories, remarks = indexed_png.read_indexed_png(
        args.root,
        resolution=args.resolution,
        videos=videos,
        meta_file=args.meta,
        void=args.void,
        num_workers=args.workers,
        show_progress=True,
    )
    _, frames = indexed_png.find_folders(Path(args.root), args.resolution)
    _write(args, frames, found, categories, remarks, args.only_annotated)


def _lines(path: str | os.PathLike) -> list[str]:
    """What stands on the lines of a text that are not blank; some editors put a mark before the first."""
    text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def from_mots_png(args: argparse.Namespace) -> None:
    """MOTS's PNGs to json."""
    categories = _categories(args.categories)
    videos = mots.read_mots_png(args.source, args.images, categories, num_workers=args.workers, show_progress=True)
    _write(args, args.images, videos, categories, [], args.only_annotated)


def from_mots_text(args: argparse.Namespace) -> None:
    """MOTS's text to json."""
    categories = _categories(args.categories)
    videos = mots.read_mots_text(args.source, args.images, categories, num_workers=args.workers, show_progress=True)
    _write(args, args.images, videos, categories, [])


def _categories(options: Sequence[str]) -> dict[str, int]:
    """Numbers of MOTS's classes by name."""
    categories: dict[str, int] = {}
    for option in options:
        number, _, name = option.partition("=")
        if (
            not re.fullmatch(r"[0-9]{1,2}", number)
            or not name
            or name in categories
            or int(number) in categories.values()
        ):
            raise ValueError(f"--categories: found {option!r}, expected N=NAME, each number and name once")
        if not 0 < int(number) <= mots.MAX_CLASS or int(number) == mots.IGNORED_CLASS:
            expected = f"a number from 1 to {mots.MAX_CLASS} other than {mots.IGNORED_CLASS}"
            raise ValueError(f"--categories: found {option!r}, expected {expected}")
        categories[name] = int(number)
    return categories


def from_cvat(args: argparse.Namespace) -> None:
    """CVAT's XML to json."""
    refuse_input(args.output, args.source)
    videos, categories = cvat.read_cvat(args.source, args.frames)
    _write(args, args.frames, videos, categories, [])


def from_label_studio(args: argparse.Namespace) -> None:
    """Label Studio's json to YTVIS's."""
    refuse_input(args.output, [args.source])
    _write(args, args.frames, *label_studio.read_label_studio(args.source, args.frames))


def to_png(args: argparse.Namespace) -> None:
    """Json to indexed PNGs."""
    _report(args, indexed_png.write_indexed_png(args.source, args.output, num_workers=args.workers, show_progress=True))


def to_mots_png(args: argparse.Namespace) -> None:
    """Json to MOTS's PNGs."""
    _report(args, mots.write_mots_png(args.source, args.output, num_workers=args.workers, show_progress=True))


def to_mots_text(args: argparse.Namespace) -> None:
    """Json to MOTS's text."""
    mots.write_mots_text(args.source, args.output, num_workers=args.workers, show_progress=True)
    _report(args, [])


def _write(
    args: argparse.Namespace,
    image_root: str | os.PathLike,
    videos: Sequence[TrackedVideo],
    categories: dict[str, int],
    remarks: Sequence[str],
    only_annotated: bool = False,
) -> None:
    """Write the json and say what is in it."""
    content = ytvis_content(videos, categories, f"converted by {args.command}", only_annotated)
    Path(args.output).resolve().parent.mkdir(parents=True, exist_ok=True)
    write_json(args.output, content, separators=(",", ":"))
    blank = sum(video.annotated.count(False) for video in videos)
    if blank:
        what = "were left out" if only_annotated else "have null masks (--only-annotated leaves them out)"
        remarks = [*remarks, f"{blank} frames without annotation {what}"]
    _report(args, remarks)
    print(f"{len(videos)} videos, {len(content['annotations'])} tracks, {len(categories)} categories")
    print(f"file_names are relative to {image_root}")


def _report(args: argparse.Namespace, remarks: Sequence[str]) -> None:
    for remark in remarks:
        print(f"note: {remark}")
    print(args.output)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with the arguments `argv` (default: those of the command line). Returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    parser = build_parser()
    args = parser.parse_args(argv, argparse.Namespace(command=argv[0] if argv else None))
    sys.stdout.reconfigure(errors="backslashreplace")
    if getattr(args, "workers", 1) < 1:
        parser.error(f"--workers: found {args.workers}, expected at least 1")
    try:
        args.function(args)
    except (BrokenProcessPool, OSError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
