#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make a split of the synthetic shapes data set (--output), a video of it (--video), or both.

Example:
    python tools/make_shapes.py --output datasets/shapes --split train --videos 500 --seed 1 --coco
    python tools/make_shapes.py --output datasets/shapes --split val --videos 50 --seed 2 --coco
    python tools/make_shapes.py --video shapes.mp4 --length 60 --seed 3

The result depends on the options' values only. Splits that must not share videos need different seeds.
"""

from collections.abc import Sequence
from pathlib import Path

from ifc.cli.program import command_line, one_clear_error, positive, video_rate


@one_clear_error()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with the arguments `argv` (default: those of the command line)."""
    parser = command_line(__doc__)
    add = parser.add_argument
    add("--seed", type=int, required=True, help="every seed gives other videos")
    add("--length", type=int, default=24, metavar="T", help="frames a video (default: %(default)s)")
    size = {"type": int, "nargs": 2, "default": (128, 192), "metavar": ("H", "W")}
    add("--size", **size, help="size of a frame (default: 128 192)")
    number = {"type": int, "nargs": 2, "default": (1, 5), "metavar": ("MIN", "MAX")}
    add("--instances", **number, help="range of the number of instances in a video (default: 1 5)")
    add = parser.add_argument_group("a split, as JPEG frames and annotations").add_argument
    add("--output", metavar="DIR", help="folder of the data set; gets SPLIT.json and SPLIT/JPEGImages")
    add("--split", metavar="NAME", help="name of the split, such as train or val")
    add("--videos", type=int, metavar="N", help="number of videos")
    add("--coco", action="store_true", help="write coco_SPLIT.json over the same frames, too")
    text = "every K-th frame of a video is a COCO image (default: %(default)s)"
    add("--coco-stride", type=positive, default=1, metavar="K", help=text)
    add("--workers", type=positive, default=1, metavar="N", help="processes to use (default: %(default)s)")
    add("--overwrite", action="store_true", help="replace the split if it exists")
    add = parser.add_argument_group("a video").add_argument
    add("--video", type=Path, metavar="FILE", help="write the seed's first video as H.264 into FILE (.mp4)")
    add("--frame-rate", type=video_rate, default=10.0, metavar="R", help="frames a second (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.output is None and args.video is None:
        parser.error("nothing to make: give --output, --video or both")
    if args.output is not None and (args.split is None or args.videos is None):
        parser.error("--output needs --split and --videos")
    if args.output is None and (args.split is not None or args.videos is not None or args.coco):
        parser.error("--split, --videos and --coco need --output")

    # OpenCV and FFmpeg, which --help can do without.
    from ifc.video import VideoWriter
    from ifc.ytvis.datasets.shapes import render_video, write_coco, write_ytvis

    shapes = {"num_instances": tuple(args.instances)}
    if args.output is not None:
        ytvis_json = write_ytvis(
            *(args.output, args.split, args.videos),
            seed=args.seed,
            image_size=tuple(args.size),
            length=args.length,
            num_workers=args.workers,
            overwrite=args.overwrite,
            show_progress=True,
            **shapes,
        )
        print(f"{ytvis_json}: {args.videos} videos of {args.length} frames")
        if args.coco:
            print(write_coco(args.output, args.split, frame_stride=args.coco_stride))
    if args.video is not None:
        video = render_video(args.seed, *args.size, args.length, **shapes)
        args.video.resolve().parent.mkdir(parents=True, exist_ok=True)
        with VideoWriter(args.video, args.frame_rate) as writer:
            for frame in video.frames:
                writer.write(frame)
        print(f"{args.video}: {args.length} frames, {len(video.class_ids)} instances")


if __name__ == "__main__":
    main()
