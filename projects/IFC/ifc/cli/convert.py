# SPDX-License-Identifier: Apache-2.0
"""`ifc data convert …`, a command a format."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ..ytvis.files import refuse_input, write_json
from .program import ALL_CORES, SeveralValues, Workers, one_clear_error, option, switch

app = typer.Typer(
    no_args_is_help=True,
    help="""Convert data sets of videos to YouTube-VIS's json, and back to label maps.

    The json's file_names are relative to the folder that the program prints. Each command has its own --help.""",
)

JsonFile = Annotated[str, option("the json to write", "FILE")]
Frames = Annotated[str, option("folder with a folder of frames for each video", "DIR")]
OnlyAnnotated = Annotated[
    bool, switch("--only-annotated", "leave out the frames without PNG, whose masks would be null")
]


def _each(workers: int) -> Callable:
    """What does something for each of many videos, in processes."""
    from ..ytvis.parallel import map_videos

    return partial(map_videos, num_workers=workers, description="videos")


@one_clear_error()
def from_png(
    context: typer.Context,
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="folder with Annotations and JPEGImages")],
    output: JsonFile,
    list: Annotated[str | None, option("the videos to convert, a name a line", "FILE", show_default="all")] = None,
    resolution: Annotated[
        str | None, option("DAVIS's folder of videos", "NAME", show_default="480p if there is one")
    ] = None,
    meta: Annotated[
        str | None, option("the objects' categories", "FILE", show_default="ROOT/meta.json if it exists")
    ] = None,
    void: Annotated[int | None, option("an index that is no object, besides 0", "N")] = None,
    only_annotated: OnlyAnnotated = False,
    workers: Workers = ALL_CORES,
) -> None:
    """DAVIS, YouTube-VOS, MOSE: indexed PNGs.

    \b
    Examples:
        ifc data convert davis-to-ytvis DAVIS --list DAVIS/ImageSets/2017/val.txt --output davis_val.json
        ifc data convert youtube-vos-to-ytvis youtube_vos/train --output youtube_vos_train.json
        ifc data convert mose-to-ytvis MOSE/train --output mose_train.json
        ifc data convert png-to-ytvis my_data --void 255 --output my.json
    """
    from ..ytvis.convert import indexed_png

    refuse_input(output, filter(None, [list, meta, root / "meta.json"]))
    videos = None if list is None else indexed_png.read_list(list)
    _, frames = indexed_png.find_folders(root, resolution)
    options = {"resolution": resolution, "meta_file": meta, "void": void, "each": _each(workers)}
    found = indexed_png.read_indexed_png(root, videos=videos, **options)
    _write(context, output, found, frames, only_annotated)


for _name in ("png-to-ytvis", "davis-to-ytvis", "youtube-vos-to-ytvis", "mose-to-ytvis"):
    app.command(_name)(from_png)


@one_clear_error()
def from_mots(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="folder of the annotations")],
    frames: Annotated[str, typer.Argument(metavar="IMAGES", help="folder with a folder of frames for each sequence")],
    output: JsonFile,
    categories: Annotated[
        list[str], option("numbers and names of the classes", "N=NAME ...", show_default="1=car 2=pedestrian")
    ] = (),
    only_annotated: OnlyAnnotated = False,
    workers: Workers = ALL_CORES,
) -> None:
    """MOTS and KITTI-MOTS: PNGs of 16 bits, or SEQUENCE.txt or SEQUENCE/gt/gt.txt.

    \b
    Examples:
        ifc data convert mots-png-to-ytvis KITTI-MOTS/instances KITTI-MOTS/training/image_02 --output kitti.json
        ifc data convert mots-txt-to-ytvis MOTS/texts MOTS/images --categories 2=person --output mots.json
    """
    from ..ytvis.convert import mots

    read = mots.read_mots_png if context.info_name == "mots-png-to-ytvis" else mots.read_mots_text
    numbers = mots.read_categories(categories) if categories else mots.CATEGORIES
    _write(context, output, (read(source, frames, numbers, _each(workers)), numbers, []), frames, only_annotated)


for _name in ("mots-png-to-ytvis", "mots-txt-to-ytvis"):
    app.command(_name, cls=SeveralValues)(from_mots)


@app.command("cvat-to-ytvis")
@one_clear_error()
def from_cvat(
    context: typer.Context,
    source: Annotated[list[str], typer.Argument(metavar="XML", help="one export for each video")],
    frames: Frames,
    output: JsonFile,
) -> None:
    """CVAT for video 1.1: boxes, polygons and masks.

    \b
    Example:
        ifc data convert cvat-to-ytvis export/annotations.xml --frames my_frames --output my.json
    """
    from ..ytvis.convert import cvat

    refuse_input(output, source)
    _write(context, output, (*cvat.read_cvat(source, frames), []), frames)


@app.command("label-studio-to-ytvis")
@one_clear_error()
def from_label_studio(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="JSON", help="the export, format JSON")],
    frames: Frames,
    output: JsonFile,
) -> None:
    """Label Studio's video rectangles.

    \b
    Example:
        ifc data convert label-studio-to-ytvis export.json --frames my_frames --output my.json
    """
    from ..ytvis.convert import label_studio

    refuse_input(output, [source])
    _write(context, output, label_studio.read_label_studio(source, frames), frames)


@one_clear_error()
def from_ytvis(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="JSON", help="in YouTube-VIS's format")],
    output: Annotated[str, option("the folder to write, which may not exist yet", "DIR")],
    workers: Workers = ALL_CORES,
) -> None:
    """Indexed PNGs with DAVIS's palette and meta.json, MOTS's PNGs of 16 bits, or its text, a file a sequence.

    \b
    Examples:
        ifc data convert ytvis-to-png my.json --output my_pngs
        ifc data convert ytvis-to-mots-png my.json --output my_mots
        ifc data convert ytvis-to-mots-txt my.json --output my_texts
    """
    from ..ytvis.convert import indexed_png, mots

    writers = {"ytvis-to-png": indexed_png.write_indexed_png, "ytvis-to-mots-png": mots.write_mots_png}
    write = writers.get(context.info_name, mots.write_mots_text)
    _report(output, write(source, output, _each(workers)))


for _name in ("ytvis-to-png", "ytvis-to-mots-png", "ytvis-to-mots-txt"):
    app.command(_name)(from_ytvis)


def _write(
    context: typer.Context,
    output: str,
    found: tuple[Sequence[Any], dict[str, int], Sequence[str]],
    frames: str | Path,
    only_annotated: bool = False,
) -> None:
    """Write the videos, categories and remarks that were found, and say so."""
    from ..ytvis.tracked_video import ytvis_content

    videos, categories, remarks = found
    content = ytvis_content(videos, categories, f"converted by {context.info_name}", only_annotated)
    Path(output).resolve().parent.mkdir(parents=True, exist_ok=True)
    write_json(output, content, separators=(",", ":"))
    blank = sum(video.annotated.count(False) for video in videos)
    if blank:
        what = "were left out" if only_annotated else "have null masks (--only-annotated leaves them out)"
        remarks = [*remarks, f"{blank} frames without annotation {what}"]
    _report(output, remarks)
    print(f"{len(videos)} videos, {len(content['annotations'])} tracks, {len(categories)} categories")
    print(f"file_names are relative to {frames}")


def _report(output: str, remarks: Iterable[str]) -> None:
    """Say what was written, and what is to be said of it."""
    for remark in remarks:
        print(f"note: {remark}")
    print(output)
