#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Track the objects of videos and draw them: videos in, overlay videos and results out.

Example:
    python projects/IFC/demo.py --config-file projects/IFC/configs/base_ytvis.yaml --input cats.mp4 --output result \\
        MODEL.WEIGHTS model.pth [KEY VALUE ...]

An input is a video file, a folder of frames (an image file each, in natural order) or a single image. The output folder
receives

- NAME.mp4 for each video: one color a track, with its class, score and id (H.264, no sound; the frame rate of
  the input; small videos are enlarged by a whole factor so that the labels are readable). NAME.png for each image.
- results.json: all tracks of all videos, also those below the threshold, in YTVIS's results format (a list of
  {video_id, category_id, score, segmentations}), and videos.json, which says what the ids mean: {"videos": [{id,
  file_name, length, height, width, overlay}], "categories": [{id, name}]}. Videos are numbered from 1 as given.
- image_results.json and images.json: the same for images, in COCO's results format.

Every input is opened before any work, so that a wrong one is known at once. What is computed when a video proves to be
damaged further on is kept: the frames before the damage count as a shorter video, the other inputs follow, and the
program ends with an error. So it is when it is interrupted (Ctrl-C), but that the other inputs do not follow; a second
interrupt ends it at once, with the results of the videos that were tracked. Needs the time of one network pass a frame;
frames are decoded as they are used (twice), so that memory does not grow with the size of the video's frames.
"""

from collections.abc import Sequence
from pathlib import Path

from ifc.cli.arguments import add_config_options
from ifc.cli.program import command_line, positive, probability, video_rate


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with the arguments `argv` (default: those of the command line)."""
    parser = command_line(__doc__)
    add = parser.add_argument
    text = "video files, folders of frames, images"
    add("--input", required=True, nargs="+", type=Path, metavar="PATH", help=text)
    add("--output", required=True, type=Path, metavar="DIR", help="folder for overlays and results")
    text = "smallest score that is drawn (default: %(default)s)"
    add("--confidence-threshold", type=probability, default=0.3, metavar="SCORE", help=text)
    text = (
        "frames a second of the overlays of folders of frames, which have no rate of their own (default: %(default)s)"
    )
    add("--frame-rate", type=video_rate, default=10.0, metavar="RATE", help=text)
    text = "enlarge the overlays by this whole factor (default: the smallest that makes the shorter side 360 pixels)"
    add("--scale", type=positive, metavar="FACTOR", help=text)
    add_config_options(parser, required=True)
    args = parser.parse_args(argv)
    from ifc.cli.overlays import run  # after --help, which needs no torch

    run(args)


if __name__ == "__main__":
    main()
