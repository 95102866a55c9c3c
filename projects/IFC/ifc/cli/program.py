# SPDX-License-Identifier: Apache-2.0
"""How every program reads its command line, prints, and ends.

Exit status: 0, done; 1, ended by an error, or done and faults were found; 2, options that make no sense; 130,
interrupted.
"""

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

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
        sys.exit("error: " + " ".join(str(error).split()))


def print_anything() -> None:
    """Let names that the terminal cannot show be printed, as escapes."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")


def command_line(doc: str) -> argparse.ArgumentParser:
    """A parser whose --help is a program's docstring: its first paragraph, the options, and the rest.

    It begins a program, so names that the terminal cannot show are printed as escapes from here on.
    """
    print_anything()
    description, _, details = doc.partition("\n\n")
    return argparse.ArgumentParser(
        description=description, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add --workers, the number of processes."""
    text = "processes to use (default: all cores)"
    parser.add_argument("--workers", type=positive, default=os.cpu_count(), metavar="N", help=text)


class BadValue(argparse.ArgumentTypeError, typer.BadParameter):
    """A value that does not fit its option."""


def _number(parse: Callable, fits: Callable[[float], bool], expected: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            number = parse(text)
        except ValueError:
            number = math.nan
        if not fits(number):
            raise BadValue(f"found {text!r}, expected {expected}")
        return number

    return read


positive = _number(int, lambda n: n >= 1, "a whole number, at least 1")
non_negative = _number(int, lambda n: n >= 0, "a whole number, 0 or more")
finite = _number(float, math.isfinite, "a finite number")
amount = _number(float, lambda x: 0 <= x < math.inf, "a finite number, 0 or more")
share = _number(float, lambda x: 0 < x < 1, "a number between 0 and 1")
probability = _number(float, lambda x: 0 <= x <= 1, "a number from 0 to 1")
video_rate = _number(float, lambda x: 0.001 <= x <= 1000, "0.001 to 1000 frames a second")


def new_file(text: str) -> Path:
    """A file to write when all is done, in a folder that exists now."""
    path = Path(text)
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise BadValue(f"found {text!r}, expected a file in a folder that exists")
    return path


ConfigFile = Annotated[str, typer.Option(metavar="FILE", help="a config in YAML")]
ConfigKeys = Annotated[list[str], typer.Argument(metavar="KEY VALUE", help="config keys and their values, put last")]
Workers = Annotated[int, typer.Option(parser=positive, metavar="N", show_default="all cores", help="processes to use")]
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
            if option is None:
                spread.append(word)
            elif word != option:
                spread += [option, word]
        return super().parse_args(ctx, spread)
