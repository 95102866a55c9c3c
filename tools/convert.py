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
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ifc.cli.program import add_workers, command_line, one_clear_error
from ifc.ytvis.convert import cvat, indexed_png, label_studio, mots
from ifc.ytvis.files import refuse_input, write_json
from ifc.ytvis.parallel import map_videos
from ifc.ytvis.tracked_video import TrackedVideo, ytvis_content


def from_png(args: argparse.Namespace) -> tuple[list[TrackedVideo], dict[str, int], list[str]]:
    """Read indexed PNGs."""
    options = {"resolution": args.resolution, "meta_file": args.meta, "void": args.void, "each": args.each}
    videos = None if args.list is None else indexed_png.read_list(args.list)
    _, args.frames = indexed_png.find_folders(args.root, args.resolution)
    return indexed_png.read_indexed_png(args.root, videos=videos, **options)


def from_mots(read: Callable, args: argparse.Namespace) -> tuple[list[TrackedVideo], dict[str, int], list[str]]:
    """Read MOTS's PNGs or text."""
    categories = mots.read_categories(args.categories)
    return read(args.source, args.frames, categories, args.each), categories, []


def from_cvat(args: argparse.Namespace) -> tuple[list[TrackedVideo], dict[str, int], list[str]]:
    """Read CVAT's XML."""
    return *cvat.read_cvat(args.source, args.frames), []


def from_label_studio(args: argparse.Namespace) -> tuple[list[TrackedVideo], dict[str, int], list[str]]:
    """Read Label Studio's json."""
    return label_studio.read_label_studio(args.source, args.frames)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line(__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)

    def command(name: str, text: str, read: Callable | None = None, write: Callable | None = None, **options):
        added = commands.add_parser(name, help=text, description=text, **options)
        target = "the json to write" if read else "the folder to write, which may not exist yet"
        added.add_argument("--output", required=True, metavar="PATH", help=target)
        added.set_defaults(read=read, write=write, sources=lambda args: [], only_annotated=False)
        return added.add_argument, added

    aliases = ["davis-to-ytvis", "youtube-vos-to-ytvis", "mose-to-ytvis"]
    add, added = command("png-to-ytvis", "DAVIS, YouTube-VOS, MOSE: indexed PNGs", from_png, aliases=aliases)
    added.set_defaults(sources=lambda args: filter(None, [args.list, args.meta, args.root / "meta.json"]))
    add_workers(added)
    add("root", type=Path, metavar="ROOT", help="folder with Annotations and JPEGImages")
    add("--list", metavar="FILE", help="the videos to convert, a name a line (default: all)")
    add("--resolution", metavar="NAME", help="DAVIS's folder of videos (default: 480p if there is one)")
    add("--meta", metavar="FILE", help="the objects' categories (default: ROOT/meta.json if it exists)")
    add("--void", type=int, metavar="N", help="an index that is no object, besides 0")
    only_annotated = {"action": "store_true", "help": "leave out the frames without PNG, whose masks would be null"}
    add("--only-annotated", **only_annotated)

    pngs = ("mots-png-to-ytvis", "MOTS and KITTI-MOTS: PNGs of 16 bits", partial(from_mots, mots.read_mots_png))
    text = "MOTS and KITTI-MOTS: SEQUENCE.txt or SEQUENCE/gt/gt.txt"
    texts = ("mots-txt-to-ytvis", text, partial(from_mots, mots.read_mots_text))
    for definition, source in ((pngs, "INSTANCES"), (texts, "TEXTS")):
        add, added = command(*definition)
        add_workers(added)
        add("source", metavar=source, help="folder of the annotations")
        add("frames", metavar="IMAGES", help="folder with a folder of frames for each sequence")
        default = [f"{number}={category}" for category, number in mots.CATEGORIES.items()]
        text = "numbers and names of the classes (default: 1=car 2=pedestrian)"
        add("--categories", nargs="+", default=default, metavar="N=NAME", help=text)
        if source == "INSTANCES":
            add("--only-annotated", **only_annotated)

    frames = "folder with a folder of frames for each video"
    add, added = command("cvat-to-ytvis", "CVAT for video 1.1: boxes, polygons and masks", from_cvat)
    added.set_defaults(sources=lambda args: args.source)
    add("source", nargs="+", metavar="XML", help="one export for each video")
    add("--frames", required=True, metavar="DIR", help=frames)

    add, added = command("label-studio-to-ytvis", "Label Studio's video rectangles", from_label_studio)
    added.set_defaults(sources=lambda args: [args.source])
    add("source", metavar="JSON", help="the export, format JSON")
    add("--frames", required=True, metavar="DIR", help=frames)

    for name, text, write in (
        ("ytvis-to-png", "indexed PNGs with DAVIS's palette, and meta.json", indexed_png.write_indexed_png),
        ("ytvis-to-mots-png", "MOTS's PNGs of 16 bits", mots.write_mots_png),
        ("ytvis-to-mots-txt", "MOTS's text, a file a sequence", mots.write_mots_text),
    ):
        add, added = command(name, text, write=write)
        add_workers(added)
        add("source", metavar="JSON", help="in YouTube-VIS's format")
    return parser


@one_clear_error()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with the arguments `argv` (default: those of the command line)."""
    args = build_parser().parse_args(argv)
    args.each = partial(map_videos, num_workers=getattr(args, "workers", 1), description="videos")
    if args.write is not None:
        report(args, args.write(args.source, args.output, args.each))
        return
    refuse_input(args.output, args.sources(args))
    videos, categories, remarks = args.read(args)
    content = ytvis_content(videos, categories, f"converted by {args.command}", args.only_annotated)
    Path(args.output).resolve().parent.mkdir(parents=True, exist_ok=True)
    write_json(args.output, content, separators=(",", ":"))
    blank = sum(video.annotated.count(False) for video in videos)
    if blank:
        what = "were left out" if args.only_annotated else "have null masks (--only-annotated leaves them out)"
        remarks = [*remarks, f"{blank} frames without annotation {what}"]
    report(args, remarks)
    print(f"{len(videos)} videos, {len(content['annotations'])} tracks, {len(categories)} categories")
    print(f"file_names are relative to {args.frames}")


def report(args: argparse.Namespace, remarks: Sequence[str]) -> None:
    """Say what was written, and what is to be said of it."""
    for remark in remarks:
        print(f"note: {remark}")
    print(args.output)


if __name__ == "__main__":
    main()
