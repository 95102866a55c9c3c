# SPDX-License-Identifier: Apache-2.0
"""`ifc data …`: what is done with data sets. `.convert` and `.results` have the rest of its commands."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..ytvis.faults import Tolerance
from ..ytvis.files import refuse_input, whole_file, write_json
from .program import (
    ALL_CORES,
    ConfigFile,
    ConfigKeys,
    Workers,
    amount,
    new_file,
    one_clear_error,
    option,
    positive,
    share,
    switch,
    video_rate,
)

Annotations = Annotated[str, typer.Argument(metavar="JSON", help="the annotation file")]


@one_clear_error()
def check(
    annotations: Annotations,
    image_root: Annotated[
        str, typer.Argument(metavar="IMAGE_ROOT", help="the folder that its file_names are relative to")
    ],
    no_frames: Annotated[bool, switch("--no-frames", "check the annotations only")] = False,
    decode: Annotated[bool, switch("--decode", "decode every frame whole")] = False,
    area_tolerance: Annotated[
        float, option("of the mask's pixels, by which an area may be off; 2 pixels always", "SHARE", amount)
    ] = Tolerance.area,
    box_tolerance: Annotated[float, option("by which each side of a box may be off", "PIXELS", amount)] = Tolerance.box,
    workers: Workers = ALL_CORES,
    report: Annotated[Path | None, option("write an HTML page, DIR/index.html", "DIR")] = None,
    json: Annotated[Path | None, option("write the faults as json", "FILE", new_file)] = None,
) -> None:
    """Report all faults of a data set in YouTube-VIS's format.

    Each is named with its video, annotation, frame and field.

    \b
    Examples:
        ifc data check datasets/ytvis_2019/train.json datasets/ytvis_2019/train/JPEGImages
        ifc data check my.json my_frames --report report --json faults.json

    Frames are checked by their headers and last bytes, which finds what is missing, of the wrong size or cut off;
    --decode reads them whole. Training and evaluation refuse a data set for some faults, which --json marks as
    is_refused; others may not be meant, such as an area that is not the mask's, but can be used. The exit code is 0 if
    there are no faults, 1 if there are, and 2 for options that make no sense.
    """
    from ..ytvis.datasets.check import check_dataset

    if json is not None:
        refuse_input(json, [annotations])
    result = check_dataset(
        annotations,
        image_root,
        frames=not no_frames,
        decode=decode,
        tolerance=Tolerance(area_tolerance, box_tolerance),
        num_workers=workers,
        show_progress=True,
    )
    print(result.text())
    if json is not None:
        write_json(json, {"counts": result.counts(), "faults": [asdict(fault) for fault in result.faults]})
    if report is not None:
        from ..ytvis.reports.dataset_page import make_page  # matplotlib, which takes a second to import

        report.mkdir(parents=True, exist_ok=True)
        make_page(result, annotations, image_root).write(report / "index.html")
        print(f"report: {report / 'index.html'}")
    if result.faults:
        raise typer.Exit(1)


@one_clear_error()
def split(
    annotations: Annotations,
    output: Annotated[Path, option("gets train.json, val.json and split.json", "DIR")],
    val_fraction: Annotated[
        float | None, option("of the videos to validate on", "SHARE", share, show_default="0.1")
    ] = None,
    val_videos: Annotated[int | None, option("number of videos to validate on", "N", positive)] = None,
    videos: Annotated[Path | None, option("make the split again that this split.json lists", "FILE")] = None,
    named: Annotated[str | None, option("make the split of this name, which is the same everywhere", "NAME")] = None,
    seed: Annotated[int, option("every seed gives another split", "N")] = 0,
    overwrite: Annotated[bool, switch("--overwrite", "replace a split in DIR")] = False,
) -> None:
    """Split a data set by video into train.json and val.json, with balanced classes.

    So that AP can be had locally where the official validation split comes without annotations.

    \b
    Examples:
        ifc data split datasets/ytvis_2019/train.json --output datasets/ytvis_2019/split --val-videos 200
        ifc data split datasets/ytvis_2019/train.json --output again --videos split.json
        ifc data split ovis/annotations_train.json --output ovis/ifc-dev --named ifc-dev-ovis

    Beside the two goes split.json: seed, options, checksum of the source, and the videos of both parts. The second line
    makes the same split again from it. A split depends on the videos, their tracks and the options alone. The third
    line makes the split that papers can name: ovis_ifc_dev_train to train on, ovis_ifc_dev to validate on.
    """
    from ..ytvis.datasets.dev_splits import DEV_SPLITS, named_videos
    from ..ytvis.datasets.split import balance, choose_videos, read_dataset, read_split_record, write_split
    from ..ytvis.reports.text import balance_text

    if sum(choice is not None for choice in (val_fraction, val_videos, videos, named)) > 1:
        raise typer.BadParameter("expected one of --val-fraction, --val-videos, --videos and --named")
    if named is not None and named not in DEV_SPLITS:
        raise typer.BadParameter(f"found {named!r}, expected one of {', '.join(DEV_SPLITS)}", param_hint="--named")
    paths = {name: output / f"{name}.json" for name in ("train", "val", "split")}
    for path in paths.values():
        refuse_input(path, [annotations])
        if path.exists() and not overwrite:
            raise ValueError(f"{path}: exists already, expected a new folder or --overwrite")
    dataset = read_dataset(annotations)
    num_videos = len(dataset.folders)
    if videos is not None:
        val, is_same = read_split_record(videos, dataset)
        options = {"videos": videos.name}
        if not is_same:
            print(f"note: {videos} was made of another file than {annotations}; the ids are in both")
    elif named is not None:
        val, options = named_videos(named, dataset), {"named": named}
    else:
        num_val = val_videos or min(max(round((val_fraction or 0.1) * num_videos), 1), num_videos - 1)
        val = choose_videos(dataset.tracks(), num_val, seed)
        options = {"seed": seed, "val_videos": num_val}
    text = balance_text(balance(dataset, val))
    output.mkdir(parents=True, exist_ok=True)
    write_split(output, dataset, val, options)
    print(text)
    print(f"{paths['train']}: {num_videos - len(val)} videos\n{paths['val']}: {len(val)} videos")
    print(f"{paths['split']}: the list")


@one_clear_error()
def shapes(
    seed: Annotated[int, option("every seed gives other videos", "N")],
    length: Annotated[int, option("frames a video", "T")] = 24,
    size: Annotated[tuple[int, int], option("size of a frame", "H W")] = (128, 192),
    instances: Annotated[tuple[int, int], option("range of the number of instances in a video", "MIN MAX")] = (1, 5),
    scenario: Annotated[
        str, option("what makes the videos hard to track: occlusion, reentry, lookalikes, cuts; plain for nothing")
    ] = "plain",
    absence: Annotated[
        tuple[int, int] | None,
        option("range of the frames an object is out of sight", "MIN MAX", show_default="5 15"),
    ] = None,
    output: Annotated[
        Path | None, option("folder of the data set; gets SPLIT.json and SPLIT/JPEGImages", "DIR")
    ] = None,
    split: Annotated[str | None, option("name of the split, such as train or val", "NAME")] = None,
    videos: Annotated[int | None, option("number of videos of the split", "N")] = None,
    coco: Annotated[bool, switch("--coco", "write coco_SPLIT.json over the same frames, too")] = False,
    coco_stride: Annotated[int, option("every K-th frame of a video is a COCO image", "K", positive)] = 1,
    workers: Workers = 1,
    overwrite: Annotated[bool, switch("--overwrite", "replace the split if it exists")] = False,
    video: Annotated[Path | None, option("write the seed's first video as H.264 into FILE (.mp4)", "FILE")] = None,
    frame_rate: Annotated[float, option("frames a second of that video", "R", video_rate)] = 10.0,
) -> None:
    """Make a data set or a video of synthetic shapes, or both.

    \b
    Examples:
        ifc data shapes --output datasets/shapes --split train --videos 500 --seed 1 --coco
        ifc data shapes --output datasets/shapes --split val --videos 50 --seed 2 --coco
        ifc data shapes --video shapes.mp4 --length 60 --seed 3
        ifc data shapes --output datasets/reentry --split val --videos 30 --seed 4 --length 40 --scenario reentry

    The scenarios are those of what trackers fail at. occlusion: objects are hidden behind another one; reentry: they
    leave the frame and come back; lookalikes: pairs of one class, size and color cross one another; cuts: the camera's
    view jumps. --absence is for the first two. The annotations keep one id throughout.

    The result depends on the options' values only. Splits that must not share videos need different seeds.
    """
    if output is None and video is None:
        raise typer.BadParameter("nothing to make: give --output, --video or both")
    if output is not None and (split is None or videos is None):
        raise typer.BadParameter("--output needs --split and --videos")
    if output is None and (split is not None or videos is not None or coco):
        raise typer.BadParameter("--split, --videos and --coco need --output")

    from ..video import VideoWriter
    from ..ytvis.datasets.shapes import render_video, write_coco, write_ytvis

    kind = {"num_instances": instances, "scenario": scenario, "absence": absence}
    if output is not None:
        options = kind | {"image_size": size, "length": length, "num_workers": workers}
        options |= {"overwrite": overwrite, "show_progress": True}
        print(f"{write_ytvis(output, split, videos, seed=seed, **options)}: {videos} videos of {length} frames")
        if coco:
            print(write_coco(output, split, frame_stride=coco_stride))
    if video is not None:
        rendered = render_video(seed, *size, length, **kind)
        video.resolve().parent.mkdir(parents=True, exist_ok=True)
        with VideoWriter(video, frame_rate) as writer:
            for frame in rendered.frames:
                writer.write(frame)
        print(f"{video}: {length} frames, {len(rendered.class_ids)} instances")


@one_clear_error()
def clips(
    config_file: ConfigFile,
    output: Annotated[Path, option("the picture, a PNG", "FILE", new_file)],
    clips: Annotated[int, option("rows", "N", positive)] = 6,
    width: Annotated[int, option("of a frame", "W", positive)] = 240,
    keys: ConfigKeys = (),
) -> None:
    """Draw training clips as a config makes them.

    A row is a clip, each frame augmented and with its masks.

    \b
    Example:
        ifc data clips --config-file base_ytvis_joint.yaml --output clips.png SEED 1

    The same SEED gives the same clips. An instance has one color through its clip.
    """
    from PIL import Image

    from ..data.clip_sheet import draw_clips
    from ..engine import setup_config

    cfg = setup_config(config_file, ["MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", "0", *keys])
    sheet, num_rows, num_frames = draw_clips(cfg, clips, width)
    with whole_file(output) as partial:
        Image.fromarray(sheet).save(partial, "PNG")
    print(f"{output}: {num_rows} clips of {num_frames} frames")


@one_clear_error()
def long(
    annotations: Annotated[str, typer.Argument(metavar="JSON", help="valid.json of 2022")],
    short: Annotated[str, option("valid.json of 2021", "JSON")],
    output: Annotated[str, option("valid_long.json, to be written", "JSON")],
) -> None:
    """Write the long videos of YouTube-VIS 2022's validation split as a split of their own.

    It is `ytvis_2022_val_long`. The split's valid.json has the short videos of 2021 and the long ones that were added,
    and does not say which is which: the long ones are those whose folder of frames 2021's valid.json does not have.

    \b
    Example:
        ifc data long datasets/ytvis_2022/valid.json --short datasets/ytvis_2021/valid.json \\
            --output datasets/ytvis_2022/valid_long.json
    """
    from ..ytvis.datasets.split import select_long

    refuse_input(output, [annotations, short])
    selected = select_long(annotations, short)
    write_json(output, selected)
    print(f"{output}: {len(selected['videos'])} videos")
