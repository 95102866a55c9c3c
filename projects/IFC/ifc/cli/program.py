# SPDX-License-Identifier: Apache-2.0
"""How every program reads its command line, prints, and ends.

Exit status: 0, done; 1, ended by an error, or done and faults were found; 2, options that make no sense; 130,
interrupted.
"""

import contextlib
import inspect
import math
import os
import sys
from collections.abc import Callable, Collection, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ..ytvis.files import in_a_line

MENDABLE = (BrokenProcessPool, ImportError, OSError, ValueError)
"""What a user can mend: ends a program with one line. Anything else is a fault of the program, shown with its path."""


@contextlib.contextmanager
def one_clear_error(kinds: tuple[type[Exception], ...] = MENDABLE) -> Iterator[None]:
    """End the program with status 1 and one line for an error of these kinds, without the path through the code.

    Also a decorator, of a program's `main`.
    """
    try:
        yield
    except kinds as error:
        mend = ": `ifc install-detectron2` installs it" if getattr(error, "name", None) == "detectron2" else ""
        sys.exit(f"error: {in_a_line(error)}{mend}")


def print_anything() -> None:
    """Let names that the terminal cannot show be printed, as escapes."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")


def _number(parse: Callable, fits: Callable[[float], bool], expected: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            number = parse(text)
        except ValueError:
            number = math.nan
        if not fits(number):
            raise typer.BadParameter(f"found {text!r}, expected {expected}")
        return number

    return read


positive = _number(int, lambda n: n >= 1, "a whole number, at least 1")
non_negative = _number(int, lambda n: n >= 0, "a whole number, 0 or more")
finite = _number(float, math.isfinite, "a finite number")
amount = _number(float, lambda x: 0 <= x < math.inf, "a finite number, 0 or more")
share = _number(float, lambda x: 0 < x < 1, "a number between 0 and 1")
probability = _number(float, lambda x: 0 <= x <= 1, "a number from 0 to 1")
video_rate = _number(float, lambda x: 0.001 <= x <= 1000, "0.001 to 1000 frames a second")


def option(help: str, metavar: str | None = None, read: Callable | None = None, **settings: Any) -> Any:
    """An option with a value, which `read` makes of its text."""
    return typer.Option(metavar=metavar, parser=read, help=help, **settings)


def switch(name: str, help: str) -> Any:
    """An option without a value, that is on where it is given."""
    return typer.Option(name, help=help)


def one_of(*choices: str) -> Callable[[str], str]:
    """What reads one of `choices`."""

    def read(text: str) -> str:
        if text not in choices:
            raise typer.BadParameter(f"found {text!r}, expected one of {', '.join(choices)}")
        return text

    return read


def new_file(text: str) -> Path:
    """A file to write when all is done, in a folder that exists now."""
    path = Path(text)
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise typer.BadParameter(f"found {text!r}, expected a file in a folder that exists")
    return path


def with_options_of(lender: Callable, but: Collection[str] = ()) -> Callable[[Callable], Callable]:
    """A decorator of a command that takes all options of another, but those named, too, as `**options`."""

    def decorate(command: Callable) -> Callable:
        lent, own = (inspect.signature(each, eval_str=True).parameters.values() for each in (lender, command))
        both = [each for each in lent if each.name not in but]
        both += [each for each in own if each.kind is not inspect.Parameter.VAR_KEYWORD]
        command.__signature__ = inspect.Signature(
            sorted(both, key=lambda each: each.default is not inspect.Parameter.empty)
        )
        command.__annotations__ = {each.name: each.annotation for each in both}
        return command

    return decorate


ConfigFile = Annotated[str, option("a config in YAML, or the name of one of IFC's own", "FILE")]
ConfigKeys = Annotated[list[str], typer.Argument(metavar="KEY VALUE", help="config keys and their values, put last")]
Workers = Annotated[int, option("processes to use", "N", positive, show_default="all cores")]
Weights = Annotated[str | None, option("the model: a name, a folder, or a checkpoint with its --config-file", "W")]
WeightsConfig = Annotated[str | None, option("the config, in YAML, of a .pth or .pkl checkpoint", "FILE")]
Window = Annotated[int | None, option("frames looked at together (default: the model's)", "FRAMES", positive)]
Device = Annotated[str | None, option("cpu, cuda, cuda:1, ... (default: a GPU if there is one)", "NAME")]
ALL_CORES = os.cpu_count() or 1
KEYS_LAST = {"allow_interspersed_args": False}
"""The context settings of a command with `ConfigKeys`: what follows the first of them is a key or a value, also -1."""


class SeveralValues(TyperCommand):
    """A command whose list options take all words up to the next option: `--masks 12 100`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        lists = {name for param in self.params if getattr(param, "multiple", False) for name in param.opts}
        spread: list[str] = []
        option = None  # the list option that takes the present word
        for word in args:
            if word.startswith("-"):
                option = word if word in lists else None
            elif option is not None and spread[-1] != option:
                spread.append(option)
            spread.append(word)
        return super().parse_args(ctx, spread)


def say(text: str) -> None:
    """Tell a person how it goes: standard output is for what a script reads."""
    print(text, file=sys.stderr, flush=True)


def say_what_is_loaded(weights: str | None) -> None:
    """Before torch is, which takes seconds."""
    if weights is None:
        say("no --weights: the toy model that comes along is used, which knows six simple shapes and nothing else")
    say("loading the model ...")
