# SPDX-License-Identifier: Apache-2.0
"""Which folder each input's results go to."""

import itertools
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..video.reading import STANDARD_INPUT, local_path
from ..ytvis.segmented_video import PART_SUFFIX
from .manifest import read_manifest, recorded_input
from .publishing import OUTPUTS

_LONGEST_NAME = 200  # bytes, which leaves room for a number and a suffix
_NUMBER = re.compile(r"_\d+$")


def name_of(input_: str | os.PathLike) -> str:
    """What an input's results are called, unless several are called so."""
    path, text = local_path(input_), os.fspath(input_)
    if path is not None:
        name = path.resolve().name if path.is_dir() else path.stem
    elif text == STANDARD_INPUT:
        name = "stdin"
    elif text.isdecimal():
        name = f"camera_{text}"
    else:
        name = Path(text.split("?")[0].rstrip("/")).stem or "stream"
    name = os.fsencode(name)[:_LONGEST_NAME].decode(errors="ignore").strip(" .") or "video"
    return f"{name}_" if name.endswith(PART_SUFFIX) else name


class Folders:
    """The folder of each input: NAME in `output`, or NAME_2, ... for those of the same name, in the order of all
    inputs, so that every share of them comes to the same. An input keeps the folder of an earlier run; what is of
    others, or of inputs that are not among these, is passed over.

    Args:
        inputs: all of them.
        output: the folder for the folders.
    """

    def __init__(self, inputs: Sequence[str | os.PathLike], output: Path):
        self._output = output
        # Once and for all, as what a name is depends on what there is.
        self._names = {each: (name_of(each), recorded_input(each)) for each in inputs}
        self._inputs: dict[str, dict[str, None]] = defaultdict(dict)  # by name, in order
        for name, recorded in self._names.values():
            self._inputs[name][recorded] = None
        self._there: dict[str, set[str]] = defaultdict(set)  # what may be in the way of each name
        for entry in os.scandir(output):
            name = entry.name.removesuffix(PART_SUFFIX)
            self._there[name].add(name)
            self._there[_NUMBER.sub("", name)].add(name)
        self._found: dict[str, dict[str, str]] = {}

    def of(self, input_: str | os.PathLike) -> Path:
        """That of one of the inputs."""
        name, recorded = self._names[input_]
        if name not in self._found:
            taken = {there: owner for there in self._there[name] if (owner := self._owner(there)) is not None}
            own = {owner: there for there, owner in taken.items()}
            free = (each for each in self._candidates(name) if each not in taken)
            self._found[name] = {each: own.get(each) or next(free) for each in self._inputs[name]}
        return self._output / self._found[name][recorded]

    def unused(self, input_: str | os.PathLike) -> Path:
        """A folder that no run has used, for what is never the same again, such as a camera."""
        return self._output / next(
            each for each in self._candidates(self._names[input_][0]) if self._owner(each) is None
        )

    def require_own(self, folder: Path, input_: str | os.PathLike) -> None:
        """Raise OSError if a run with other inputs has taken the folder meanwhile."""
        owner = self._owner(folder.name)
        if owner not in (None, self._names[input_][1]):
            raise OSError(f"{folder}: found results of {owner or 'others'} that were not there before, run this again")

    def _candidates(self, name: str) -> Iterator[str]:
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        return itertools.chain([name], (each for each in numbered if each not in self._inputs))

    def _owner(self, name: str) -> str | None:
        """The input whose results a folder has; "" if it is of others; None if it is free."""
        part, folder = self._output / (name + PART_SUFFIX), self._output / name
        for place in (part, folder):
            if isinstance(owner := read_manifest(place).get("input"), str):
                return owner
        in_part = {each for each in _entries(part) if each not in OUTPUTS}  # the others are left of a run that died
        return "" if in_part or _entries(folder) else None


def _entries(folder: Path) -> list[str]:
    """What is in a folder, but for hidden files; of a file, its own name."""
    if folder.is_dir():
        return [each for each in os.listdir(folder) if not each.startswith(".")]
    return [folder.name] if os.path.lexists(folder) else []
