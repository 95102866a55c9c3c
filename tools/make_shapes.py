#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make a split of the synthetic shapes data set, a video of it, or both.

Example:
    python tools/make_shapes.py --output datasets/shapes --split train --videos 500 --seed 1 --coco
    python tools/make_shapes.py --output datasets/shapes --split val --videos 50 --seed 2 --coco
    python tools/make_shapes.py --video shapes.mp4 --length 60 --seed 3

The result depends on the options' values only. Splits that must not share videos need different seeds.
"""

import argparse
import os
from collections.abc import Sequence

from tqdm import tqdm

from ifc.video.reading import VideoWriter
from ifc.ytvis.datasets.shapes import render_video, write_coco, write_ytvis


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Make a split of the synthetic shapes data set (--output), a video of it (--video), or both."
    )
    parser.add_argument("--seed", type=int, required=True, help="every seed gives other videos")
    parser.add_argument("--length", type=int, default=24, metavar="T", help="frames a video (default: %(default)s)")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(128, 192), metavar=("H", "W"), help="size of a frame (default: 128 192)"
    )
    parser.add_argument(
        "--instances",
        type=int,
        nargs=2,
        default=(1, 5),
        metavar=("MIN", "MAX"),
        help="range of the number of instances in a video (default: 1 5)",
    )
    split = parser.add_argument_group("a split, as JPEG frames and annotations")
    split.add_argument("--output", metavar="DIR", help="folder of the data set; gets SPLIT.json and SPLIT/JPEGImages")
    split.add_argument("--split", metavar="NAME", help="name of the split, such as train or val")
    split.add_argument("--videos", type=int, metavar="N", help="number of videos")
    split.add_argument("--coco", action="store_true", help="write coco_SPLIT.json over the same frames, too")
    split.add_argument(
        "--coco-stride",
        type=int,
        default=1,
        metavar="K",
        help="every K-th frame of a video is a COCO image (default: %(default)s)",
    )
    split.add_argument("--workers", type=int, default=1, metavar="N", help="processes to use (default: %(default)s)")
    split.add_argument("--overwrite", action="store_true", help="replace the split if it exists")
    video = parser.add_argument_group("a video")
    video.add_argument("--video", metavar="FILE", help="write the seed's first video as H.264 into FILE (.mp4)")
    video.add_argument(
        "--frame-rate", type=float, default=10.0, metavar="R", help="frames a second (default: %(default)s)"
    )
    return parser


def make_split(args: argparse.Namespace) -> None:
    """Write the split that the arguments ask for."""
    ytvis_json = write_ytvis(
        args.output,
        args.split,
        args.videos,
        seed=args.seed,
        image_size=tuple(args.size),
        length=args.length,
        num_instances=tuple(args.instances),
        num_workers=args.workers,
        overwrite=args.overwrite,
        show_progress=True,
    )
    print(f"{ytvis_json}: {args.videos} videos of {args.length} frames")
    if args.coco:
        print(write_coco(args.output, args.split, frame_stride=args.coco_stride))


def make_video(args: argparse.Namespace) -> None:
    """Write the video file that the arguments ask for."""
    shapes = render_video(args.seed, *args.size, args.length, num_instances=tuple(args.instances))
    os.makedirs(os.path.dirname(os.path.abspath(args.video)), exist_ok=True)
    with VideoWriter(args.video, args.frame_rate) as writer:
        for frame in tqdm(shapes.frames, desc=os.path.basename(args.video), unit="frame"):
            writer.write(frame)
    print(f"{args.video}: {args.length} frames, {len(shapes.class_ids)} instances")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with the arguments ``argv`` (default: those of the command line)."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.output is None and args.video is None:
        parser.error("nothing to make: give --output, --video or both")
    if args.output is not None and (args.split is None or args.videos is None):
        parser.error("--output needs --split and --videos")
    if args.output is None and (args.split is not None or args.videos is not None or args.coco):
        parser.error("--split, --videos and --coco need --output")
    if args.coco_stride < 1:
        parser.error(f"--coco-stride: found {args.coco_stride}, expected at least 1")
    try:
        if args.output is not None:
            make_split(args)
        if args.video is not None:
            make_video(args)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")


if __name__ == "__main__":
    main()
