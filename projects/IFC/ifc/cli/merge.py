# SPDX-License-Identifier: Apache-2.0
"""`ifc merge`."""

from pathlib import Path
from typing import Annotated

import typer

from .program import new_file, one_clear_error, option, switch


@one_clear_error()
def merge(
    outputs: Annotated[list[Path], typer.Argument(metavar="OUT...", help="folders that ifc segment has written to")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", parser=new_file, help="results.json to write")
    ],
    annotations: Annotated[str | None, option("annotations in YouTube-VIS's json format, for the ids", "FILE")] = None,
    allow_gaps: Annotated[bool, switch("--allow-gaps", "leave out what is missing or not finished")] = False,
) -> None:
    """Put the results of many videos into one file, as ifc eval and the challenges' servers take them.

    \b
    Examples:
        ifc merge segmented -o results.json --annotations valid.json
        ifc merge segmented/first segmented/second -o results.json

    The results are those of ifc segment, by any number of runs and shards; they should be made with
    --results-threshold 0. A video gets the id of the one of --annotations whose frames lie in a folder of its name: a/b
    and b.mp4 are that of b/00000.jpg. Without --annotations, ids go by the names, and FILE.videos.json says which is
    which.

    It is an error if a video is there twice, is missing, is not finished, or has another size, number of frames or
    classes than --annotations, or if two were made with other weights or settings. Takes the memory of a list of the
    videos, and needs no torch.
    """
    from ..ytvis.merging import merge_results

    merged = merge_results(outputs, output, annotations, allow_gaps)
    for remark in merged.remarks:
        print(f"note: {remark}")
    print(f"{output}: {merged.num_tracks} results of {merged.num_videos} videos")
    if merged.videos_file:
        print(f"{merged.videos_file}: their ids")
