# SPDX-License-Identifier: Apache-2.0
"""`ifc view`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .program import finite, one_clear_error


@one_clear_error()
def view(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="an output folder of ifc segment, or one video's in it")
    ],
    gt: Annotated[
        Path | None, typer.Option(metavar="FILE", help="annotations in YouTube-VIS's json format, to show beside")
    ] = None,
    video_id: Annotated[
        int | None, typer.Option(metavar="ID", help="the video's id in them (default: theirs, if they are of one)")
    ] = None,
    score: Annotated[
        float | None,
        typer.Option(
            parser=finite,
            metavar="SCORE",
            help="least score of a result that counts there (default: as in the overlay)",
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="open the page in a browser")] = False,
) -> None:
    """Make a page of what ifc segment found in a video, to be opened in any browser.

    \b
    Examples:
        ifc view output/cats --open
        ifc view output/cats/cat1 --gt datasets/cats/val.json --video-id 3

    Writes index.html into the folder: the video with its masks, by track, class and score, a timeline of the tracks,
    the objects of each frame, and downloads. No server is needed. The page plays the video itself, or a copy where
    browsers would not play it well; up to 32 MB it lies in the page, a larger one beside it. Of several videos, each
    gets its page, and the folder a list of them. With --gt the objects that were missed, the results that are wrong,
    and the identity switches are shown too. The exit status is 1 if one of several videos cannot be shown.
    """
    from ..viewer import write_pages

    if video_id is not None and gt is None:
        raise typer.BadParameter("expected --gt too, in which it is", param_hint="--video-id")
    page, faults = write_pages(folder, gt, video_id, score)
    print(page)
    if open_page:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())
    if faults:
        sys.exit("\n".join(f"error: {fault}" for fault in faults))
