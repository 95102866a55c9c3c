# SPDX-License-Identifier: Apache-2.0
"""The command `ifc`: its commands by name. None of their modules loads more than --help needs."""

import sys
from collections.abc import Callable, Sequence
from functools import partial

import typer

from . import evaluate
from .program import print_anything

app = typer.Typer(
    help="Video instance segmentation: find every object of a video, follow it, give its class and its masks.",
    no_args_is_help=True,
    rich_markup_mode=None,  # Rich takes longer to load than all the rest
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
app.command("eval")(evaluate.evaluate)


@app.callback()
def begin() -> None:
    print_anything()


def main(argv: Sequence[str] | None = None, command: Sequence[str] = ()) -> None:
    """Run `ifc` with `command` and the arguments `argv` (default: those of the command line).

    Raises:
        SystemExit: with a status that is not 0.
    """
    try:
        app([*command, *(sys.argv[1:] if argv is None else argv)], prog_name="ifc")
    except SystemExit as end:
        if end.code:
            raise


def alias(*command: str) -> Callable[..., None]:
    """The `main` of a program that is one command of `ifc` under an earlier name."""
    return partial(main, command=command)
