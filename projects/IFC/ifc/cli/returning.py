# SPDX-License-Identifier: Apache-2.0
"""`ifc benchmark returning`."""

from pathlib import Path
from typing import Annotated

import typer

from ..ytvis.files import make_writable_folder
from .program import ConfigFile, ConfigKeys, non_negative, one_clear_error, option, positive, probability, say

SEEDS = (101, 102, 103)
UNCHANGED = "as configured"


def variant(text: str) -> tuple[str, list[str]]:
    """A name and the keys and values behind its colon."""
    name, colon, words = text.partition(":")
    if not colon or not name.strip():
        raise typer.BadParameter(f"found {text!r}, expected a name, a colon, and keys with their values or nothing")
    return name.strip(), words.split()


@one_clear_error()
def returning(
    config_file: ConfigFile,
    weights: Annotated[list[str], option("a checkpoint of the config's model; may be repeated", "FILE")],
    output: Annotated[Path, option("gets the videos, returning.json and returning.md", "DIR")],
    variants: Annotated[
        list[str],
        typer.Option("--variant", parser=variant, metavar='"NAME: KEY VALUE ..."', help="config; may be repeated"),
    ] = (),
    scenario: Annotated[list[str], option("of ifc data shapes; may be repeated (default: all)", "NAME")] = (),
    seed: Annotated[list[int], option("of videos; may be repeated", "N", non_negative)] = SEEDS,
    videos: Annotated[int, option("of each scenario and seed", "N", positive)] = 30,
    length: Annotated[int, option("frames of a video", "T", positive)] = 40,
    score: Annotated[float, option("least one of a result that counts, in all but AP", "SCORE", probability)] = 0.3,
    threads: Annotated[int | None, option("torch's on the CPU", "N", positive)] = None,
    opts: ConfigKeys = (),
) -> None:
    """Whether objects keep their identity through occlusion, absence, look-alikes and cuts.

    The numbers are means over all weights and seeds. Runs of other weights or variants that are in DIR already stay in
    the table, so that it can be made in several calls.

    \b
    Example:
        ifc benchmark returning --config-file shapes_tiny.yaml --weights model.pth --output output/returning \\
            --variant "mask:" --variant "stride 5: MODEL.IFC.CLIP_STRIDE 5" INPUT.SAMPLING_FRAME_NUM 5
    """
    import torch

    from ..benchmark.measuring import machine
    from ..benchmark.returning import Settings, compare
    from ..ytvis.datasets.shapes import SCENARIOS

    if threads is not None:
        torch.set_num_threads(threads)
    make_writable_folder(output, "--output")
    settings = Settings(videos, length, score=score)
    named = dict(variants) or {UNCHANGED: []}
    text = compare(output, config_file, weights, named, opts, scenario or SCENARIOS, seed, settings, say)
    print(f"{machine()}\n\n{text}")
