# SPDX-License-Identifier: Apache-2.0
"""The command `ifc`: its commands by name. None of their modules loads more than --help needs."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ..version import __version__
from . import app as app_command
from . import (
    batch,
    benchmark,
    convert,
    data,
    demo,
    export,
    info,
    install_detectron2,
    merge,
    model,
    results,
    segment,
    view,
)
from .program import KEYS_LAST, SeveralValues, print_anything

app = typer.Typer(
    help="Video instance segmentation: find every object of a video, follow it, give its class and its masks.",
    no_args_is_help=True,
    rich_markup_mode=None,  # Rich takes longer to load than all the rest
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
app.command("segment")(segment.segment)
app.command("batch")(batch.batch)
app.command("view")(view.view)
app.command("app")(app_command.app)
app.command("train", context_settings=KEYS_LAST)(model.train)
app.command("merge")(merge.merge)
app.command("eval")(results.evaluate)

datasets = typer.Typer(
    no_args_is_help=True, help="Check, split, convert and make data sets; compare and submit results."
)
for _name in ("check", "split", "shapes", "long"):
    datasets.command(_name)(getattr(data, _name))
datasets.command("clips", context_settings=KEYS_LAST)(data.clips)
datasets.add_typer(convert.app, name="convert")
datasets.command("compare")(results.compare)
datasets.command("submit")(results.submit)
app.add_typer(datasets, name="data")

app.command("export", context_settings=KEYS_LAST)(export.export)
app.command("plot")(model.plot)
app.command("strip")(model.strip)
app.command("analyze", context_settings=KEYS_LAST)(model.analyze)
app.add_typer(benchmark.app, name="benchmark")
app.command("info")(info.info)
app.command("demo", hidden=True, cls=SeveralValues, context_settings=KEYS_LAST)(demo.demo)


@app.command(
    "install-detectron2",
    help=install_detectron2.__doc__,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
)
def _install_detectron2(words: Annotated[list[str], typer.Argument()] = ()) -> None:
    install_detectron2.main(list(words), "ifc install-detectron2")  # which reads its options where there is no Typer


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"ifc {__version__}")
        raise typer.Exit()


@app.callback()
def _begin(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main(argv: Sequence[str] | None = None, command: Sequence[str] = ()) -> None:
    """Run `ifc` with `command` and the arguments `argv` (default: those of the command line).

    Raises:
        SystemExit: with a status that is not 0.
    """
    print_anything()
    try:
        app([*command, *(sys.argv[1:] if argv is None else argv)], prog_name="ifc")
    except SystemExit as end:
        if end.code:
            raise
