# SPDX-License-Identifier: Apache-2.0
"""`ifc segment`."""

import dataclasses
import glob
import json as json_format
import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..ytvis.files import make_writable_folder
from .interruption import Interruption
from .program import (
    Device,
    Weights,
    WeightsConfig,
    Window,
    one_clear_error,
    one_of,
    option,
    positive,
    probability,
    say,
    say_what_is_loaded,
    video_rate,
)

if TYPE_CHECKING:
    from ..outputs import Outcome, SegmentSettings

INTERRUPTED = 130


def seconds(text: str | float) -> float:
    """Seconds, or MM:SS, or HH:MM:SS; a default comes as a number."""
    try:
        parts = [float(part) for part in str(text).split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or not all(0 <= part < 1e9 for part in parts):
        raise typer.BadParameter(f"found {text!r}, expected seconds, MM:SS or HH:MM:SS")
    return sum(part * 60**place for place, part in enumerate(reversed(parts)))


def frame_size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT as (height, width)."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) < 2**16 and 0 < int(height) < 2**16):
        raise typer.BadParameter(f"found {text!r}, expected WIDTHxHEIGHT in pixels, such as 1280x720")
    return int(height), int(width)


def share_of_inputs(text: str) -> tuple[int, int]:
    """I/N."""
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise typer.BadParameter(f"found {text!r}, expected I/N, the I-th of N shares, such as 1/4")
    return int(index), int(count)


def key_and_value(text: str) -> str:
    """KEY=VALUE."""
    if "=" not in text:
        raise typer.BadParameter(f"found {text!r}, expected KEY=VALUE, such as MODEL.IFC.CLIP_STRIDE=2")
    return text


def require_one_that_exists(videos: list[str]) -> None:
    """Raise FileNotFoundError if all are paths, or patterns of paths, of which there is none."""
    from ..video.reading import local_path

    paths = [None if text.startswith("@") else local_path(text) for text in videos]
    if not any(path is None or os.path.lexists(path) or any(glob.iglob(str(path), recursive=True)) for path in paths):
        more = f", nor is any of the other {len(videos) - 1}" if len(videos) > 1 else ""
        raise FileNotFoundError(f"{videos[0]}: no such file or folder{more}")


def prepared(options: SimpleNamespace) -> tuple[list[str], "SegmentSettings", dict[str, Any]]:
    """All inputs, what is written of them, and the arguments of `pretrained.load`, of the options of `segment`.

    Raises:
        OSError, ValueError: the inputs cannot be found, or the output cannot be written to.
        typer.BadParameter: options that make no sense together.
    """
    start, end = options.start, options.end
    if end is not None and end <= start:
        raise typer.BadParameter(f"found {end:g} s, expected more than --start, {start:g} s", param_hint="--end")
    if "-" in options.videos and not (options.size and options.frame_rate):
        raise typer.BadParameter("found none, expected both for raw frames (-)", param_hint="--size, --frame-rate")
    make_writable_folder(options.output, "--output")
    require_one_that_exists(options.videos)
    say_what_is_loaded(options.weights)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    from ..outputs import SegmentSettings, find_inputs
    from ..pretrained import SHAPES_TINY
    from ..video import Part
    from ..ytvis.drawing import DrawingStyle

    drawn = {field.name: getattr(options, field.name) for field in dataclasses.fields(DrawingStyle)}
    settings = SegmentSettings(
        part=Part(start, end, options.every),
        frame_rate=options.frame_rate,
        raw_size=options.size,
        decoder=options.decoder,
        threshold=options.threshold,
        results_threshold=options.results_threshold,
        overlay=options.overlay,
        results=options.results,
        masks=options.masks,
        cutouts=options.cutouts,
        boxes=options.csv,
        style=DrawingStyle(**drawn),
        overwrite=options.overwrite,
    )
    model = {"name": options.weights or SHAPES_TINY, "config_file": options.config_file, "device": options.device}
    model |= {"window": options.window, "precision": options.precision}
    keys = [part for pair in options.config or () for part in pair.split("=", 1)]
    return find_inputs(options.videos), settings, {**model, "opts": keys}


def summary(outcome: "Outcome") -> str:
    """What became of an input, in a line."""
    state = "finished before" if outcome.skipped else outcome.status
    rate = f", {outcome.num_frames / outcome.seconds:.1f} frames/s" if outcome.num_frames else ""
    frames = f": {outcome.num_frames} frames{rate}" if outcome.num_frames else ""
    return f"{outcome.input}: {state}{frames}{f' -> {outcome.folder}' if outcome.folder else ''}"


def end_with(errors: list[str], interruption: Interruption) -> None:
    """Say what was wrong with inputs, and end the program with another status than 0 unless all is done."""
    for error in errors:
        say(f"error: {error}")
    if interruption.is_requested:
        sys.exit(INTERRUPTED)
    if errors:
        sys.exit(1)


@one_clear_error()
def segment(
    videos: Annotated[list[str], typer.Argument(metavar="VIDEO...", help="see below")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="folder for a folder of each video")],
    weights: Weights = None,
    config_file: WeightsConfig = None,
    config: Annotated[
        list[str] | None, typer.Option("--set", parser=key_and_value, metavar="KEY=VALUE", help="a key of the config")
    ] = None,
    window: Window = None,
    device: Device = None,
    precision: Annotated[
        str | None, typer.Option(metavar="NAME", help="float32, tf32, bfloat16 or auto (default: the model's, or auto)")
    ] = None,
    threshold: Annotated[
        float, typer.Option(parser=probability, metavar="SCORE", help="smallest score of a track that is shown")
    ] = 0.3,
    results_threshold: Annotated[
        float,
        typer.Option(
            parser=probability, metavar="SCORE", help="smallest score of a track in results.json; 0 for an evaluation"
        ),
    ] = 0.05,
    start: Annotated[
        float, typer.Option(parser=seconds, metavar="TIME", help="first frame: seconds, MM:SS or HH:MM:SS")
    ] = 0.0,
    end: Annotated[
        float | None, typer.Option(parser=seconds, metavar="TIME", help="the frames from there on are left out")
    ] = None,
    every: Annotated[int, typer.Option(parser=positive, metavar="N", help="take each N-th frame")] = 1,
    frame_rate: Annotated[
        float | None,
        typer.Option(
            parser=video_rate, metavar="RATE", help="frames a second of folders of frames (default: 10) and raw frames"
        ),
    ] = None,
    size: Annotated[
        tuple | None, typer.Option(parser=frame_size, metavar="WxH", help="of the raw frames on the standard input")
    ] = None,
    decoder: Annotated[
        str,
        typer.Option(parser=one_of("cpu", "nvdec"), metavar="cpu|nvdec", help="nvdec: decode files on an NVIDIA GPU"),
    ] = "cpu",
    overlay: Annotated[bool, option("write overlay.mp4")] = True,
    results: Annotated[bool, option("write results.json")] = True,
    masks: Annotated[bool, option("write masks/00000.png, ...")] = False,
    csv: Annotated[bool, option("write boxes.csv")] = False,
    cutouts: Annotated[
        str | None,
        typer.Option(
            parser=one_of("webm", "png"), metavar="webm|png", help="write cutouts/TRACK.webm or cutouts/TRACK/00000.png"
        ),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option(parser=positive, metavar="FACTOR", help="enlarge the overlay (default: small ones)"),
    ] = None,
    fill: Annotated[bool, option("tint what a mask covers")] = True,
    contours: Annotated[bool, option("outline masks")] = True,
    labels: Annotated[bool, option("write class and number at each object")] = True,
    boxes: Annotated[bool, option("draw bounding boxes")] = False,
    trails: Annotated[bool, option("draw the way that each object came")] = False,
    dim_background: Annotated[bool, option("darken what is no object")] = False,
    shard: Annotated[
        tuple | None,
        typer.Option(parser=share_of_inputs, metavar="I/N", help="the I-th of N shares of the inputs only: see below"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="do again what is finished, and try again what is set aside")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="print what became of each input as json")] = False,
) -> None:
    """Find, follow and draw the objects of videos.

    \b
    Examples:
        ifc segment cats.mp4 -o result
        ifc segment holiday/ "clips/*.mov" -o result --weights hf://owner/name --trails
        ifc segment @videos.txt "s3://bucket/clips/*.mp4" -o result
        ifc segment dogs.mp4 -o result --weights model.pth --config-file base_ytvis.yaml --start 1:30 --end 2:00
        ifc segment rtsp://camera/stream -o result --no-results
        ffmpeg -i in.mkv -f rawvideo -pix_fmt rgb24 - | ifc segment - --size 1280x720 --frame-rate 25 -o result

    A VIDEO is a video file, a folder of frames (it has images in it), a folder of videos, a pattern in quotes, an
    address (http, rtsp, s3, gs, ...), @LIST, a text file with one of these a line, the number of a camera, or -, raw
    frames (rgb24) on the standard input. Paths in a list start from the current folder; empty lines and those that
    begin with # are passed over. What is transparent is laid on black.

    \b
    DIR/NAME/ gets, under the name DIR/NAME.part/ as frames finish:
        video.json     what was segmented, how, and the final class and score of each track
        objects.jsonl  a line for each frame: the track, class and score until then, box and mask (RLE) of each object
        overlay.mp4    H.264, with the sound and the time stamps of the video
        results.json   YouTube-VIS's results format, an entry a frame for each track: --no-results for hours of video
        masks/         with --masks: indexed PNGs of the shown tracks; tracks.json says which track a number is
        cutouts/       with --cutouts: each shown track by itself, transparent around it
        boxes.csv      with --csv: the boxes of the shown tracks

    A track is shown from when its score reaches --threshold until it falls below 0.8 of it.

    What is finished, of the same file with the same weights and settings, is skipped. An input that fails is reported
    at the end and stops no other. Ctrl-C and SIGTERM leave valid files of what was done; so does a disk that is full.

    Of several inputs, the largest goes first. --shard 2/8 takes the second of eight shares of about the same size, of
    which each may run on a machine of its own, with the same inputs and the same DIR. Run again, with any number of
    shares, what is finished is skipped, what was killed is begun anew, and what another run is at is left to it and
    named. A video whose process was killed twice is set aside and named, until it is given with --overwrite.

    Weights are "shapes-tiny" (the default, a toy), a folder or hf://owner/name[@revision] that was written by
    save_pretrained, or a .pth or .pkl checkpoint with its --config-file.

    Exit status: 0, all is done; 1, an error, or some inputs failed; 2, options that make no sense; 130, interrupted.
    """
    if decoder == "nvdec":
        from ..video.containers import nvdec

        nvdec()  # or an error, before the model is loaded
    found, settings, model = prepared(SimpleNamespace(**locals()))
    from ..outputs import segment_videos, take_share
    from ..pretrained import load
    from .progress import ProgressBars

    inputs = take_share(found, *(shard or (1, 1)))
    segmenter = load(**model)
    with Interruption() as interruption, ProgressBars(len(inputs)) as progress:
        outcomes = segment_videos(
            inputs, output, segmenter, settings, progress, lambda: interruption.is_requested, among=found
        )
    place = {each: index for index, each in enumerate(found)}
    outcomes.sort(key=lambda outcome: place[outcome.input])
    for outcome in outcomes:
        say(summary(outcome))
    if json:
        print(json_format.dumps([outcome.as_json() for outcome in outcomes], indent=1))
    end_with([outcome.error for outcome in outcomes if outcome.error], interruption)
