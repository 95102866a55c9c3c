# SPDX-License-Identifier: Apache-2.0
"""`ifc demo`, which is projects/IFC/demo.py."""

from argparse import Namespace
from pathlib import Path
from typing import Annotated

from .program import ConfigFile, ConfigKeys, option, positive, probability, video_rate


def demo(
    config_file: ConfigFile,
    input: Annotated[list[Path], option("video files, folders of frames, images", "PATH")],
    output: Annotated[Path, option("folder for overlays and results", "DIR")],
    confidence_threshold: Annotated[float, option("smallest score that is drawn", "SCORE", probability)] = 0.3,
    frame_rate: Annotated[
        float,
        option(
            "frames a second of the overlays of folders of frames, which have no rate of their own", "RATE", video_rate
        ),
    ] = 10.0,
    scale: Annotated[
        int | None,
        option(
            "enlarge the overlays by this whole factor (default: the smallest that makes the shorter side 360 pixels)",
            "FACTOR",
            positive,
        ),
    ] = None,
    opts: ConfigKeys = (),
) -> None:
    """Track the objects of videos and draw them: videos in, overlay videos and results out.

    \b
    Example:
        python projects/IFC/demo.py --config-file projects/IFC/configs/base_ytvis.yaml --input cats.mp4 \\
            --output result MODEL.WEIGHTS model.pth [KEY VALUE ...]

    An input is a video file, a folder of frames (an image file each, in natural order) or a single image. The output
    folder receives

    \b
    - NAME.mp4 for each video: one color a track, with its class and id (H.264, with the sound and the time stamps of
      the input; small videos are enlarged by a whole factor so that the labels are readable). NAME.png for each image.
    - results.json: all tracks of all videos, also those below the threshold, in YTVIS's results format (a list of
      {video_id, category_id, score, segmentations}), and videos.json, which says what the ids mean: {"videos": [{id,
      file_name, length, height, width, overlay}], "categories": [{id, name}]}. Videos are numbered from 1 as given.
    - image_results.json and images.json: the same for images, in COCO's results format.

    Every input is opened before any work, so that a wrong one is known at once. What is computed when a video proves to
    be damaged further on is kept: the frames before the damage count as a shorter video, the other inputs follow, and
    the program ends with an error. So it is when it is interrupted (Ctrl-C), but that the other inputs do not follow; a
    second interrupt ends it at once, with the results of what was tracked. Videos are read once, as `ifc segment` does,
    which has more outputs, so that memory does not grow with their length.
    """
    args = Namespace(**locals())
    from .overlays import run

    run(args)
