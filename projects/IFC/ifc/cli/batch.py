# SPDX-License-Identifier: Apache-2.0
"""`ifc batch`."""

import json
import os
import time
from types import SimpleNamespace
from typing import Annotated

import typer

from .interruption import Interruption
from .program import amount, one_clear_error, one_of, option, positive, say, with_options_of
from .segment import end_with, prepared, segment, summary

OUTCOMES_FOLDER = ".outcomes"  # hidden, as no video's folder is


@with_options_of(segment, but=("shard", "json"))
@one_clear_error()
def batch(
    engine: Annotated[str, option("what divides the videos among machines", "ray", one_of("ray"))] = "ray",
    address: Annotated[
        str | None, option('of a Ray cluster, or "auto" (default: this machine, for as long as it runs)', "HOST:PORT")
    ] = None,
    workers: Annotated[
        int | None, option("processes, each with a model (default: all there is room for)", "N", positive)
    ] = None,
    cpus: Annotated[int, option("cores of each worker", "N", positive)] = 1,
    gpus: Annotated[float | None, option("GPUs of each worker (default: one if there are any)", "N", amount)] = None,
    **options: object,
) -> None:
    """Do what `ifc segment` does on all machines of a Ray cluster.

    \b
    Examples:
        ifc batch videos/ -o result --workers 2
        ifc batch @videos.txt -o /shared/result --weights /shared/model --address auto --gpus 1 --cpus 8

    VIDEOs, DIR and the folders in it, and the options are those of `ifc segment`, whose help explains them, and the two
    may go on with what the other left. All machines have to see the same files, and have this program.

    The largest video goes first, each to the next worker that is free. A lost worker costs the video that it was at,
    which is begun anew elsewhere; a video that two were lost at is set aside and named. Run again after anything else
    was lost, it does only what is missing. DIR/.outcomes gets a file for each run, with a line of json for each video.

    Needs Ray: pip install "detectron2-ifc[ray]". Exit status: as `ifc segment`.
    """
    if "-" in options["videos"]:
        raise typer.BadParameter("found raw frames (-), expected what workers can open", param_hint="VIDEO")
    found, settings, model = prepared(SimpleNamespace(**options))
    from ..outputs.ray_engine import Workers, cluster, segment_by_ray

    for key in ("name", "config_file"):
        if model[key] and os.path.exists(model[key]):
            model[key] = os.path.abspath(model[key])
    errors: list[str] = []
    record = options["output"] / OUTCOMES_FOLDER / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.jsonl"
    stop_file = record.with_suffix(".stop")  # which all workers see
    record.parent.mkdir(exist_ok=True)
    with cluster(address), Interruption(stop_file.touch) as interruption:
        outcomes = segment_by_ray(found, options["output"], model, settings, Workers(workers, cpus, gpus), stop_file)
        try:
            for number, outcome in enumerate(outcomes, start=1):
                with open(record, "a", encoding="utf-8") as file:
                    file.write(json.dumps(outcome.as_json()) + "\n")
                say(f"{number}/{len(found)} {summary(outcome)}")
                errors += [outcome.error] if outcome.error else []
        finally:
            stop_file.unlink(missing_ok=True)
    end_with(errors, interruption)
