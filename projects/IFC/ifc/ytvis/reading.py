# SPDX-License-Identifier: Apache-2.0
"""Reading what others wrote: json, and values that may be anything."""

import json
import os
import reprlib
from pathlib import Path
from typing import Any

MAX_FRAME_PIXELS = 2**27
"""Pixels of the largest frame that is taken for real; 16K video has 132,710,400. A json claims any size at no cost."""

MAX_DEPTH = 50  # of lists and objects in one another: neither sent to another process nor written if much deeper

MAX_NUMBER = 1e9  # of coordinates, areas and the like; larger ones are faults


def read_json(path: str | os.PathLike) -> Any:
    """The content of a json file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no json, cut off, or nested more than 50 deep. The message names the file, and the position
            if there is one.
    """
    too_deep = f"{path}: found json that is nested too deeply for a data set, expected at most {MAX_DEPTH} levels"
    try:
        text = Path(path).read_text(encoding="utf-8")
        content = json.loads(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: found bytes that are no UTF-8 at byte {error.start}, expected json") from None
    except json.JSONDecodeError as error:
        cut = ", where the file ends" if not text[error.pos :].strip() else ""
        place = f"line {error.lineno}, column {error.colno} (character {error.pos} of {len(text)}{cut})"
        raise ValueError(f"{path}: found no valid json at {place}: {error.msg}") from None
    except RecursionError:
        raise ValueError(too_deep) from None
    except ValueError as error:  # a number of thousands of digits
        raise ValueError(f"{path}: found no valid json: {error}") from None
    if _depth_exceeds(MAX_DEPTH, content):
        raise ValueError(too_deep)
    return content


def _depth_exceeds(limit: int, content: Any) -> bool:
    """Whether lists and objects are nested more than `limit` deep."""
    level = [[content]]
    for _ in range(limit + 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in (dict, list)
        ]
    return bool(level)


def brief(value: Any) -> str:
    """A short form of any value, for messages."""
    if value is None:
        return "nothing"
    try:
        return reprlib.repr(value)
    except ValueError:  # too many digits
        return "a huge number"


def is_number(value: Any) -> bool:
    """Whether a value is a number that geometry can be done with: finite, and at most a billion."""
    return type(value) in (int, float) and abs(value) <= MAX_NUMBER


def is_frame_size(height: Any, width: Any) -> bool:
    """Whether two values are the height and the width of a frame that can exist."""
    return type(height) is int and type(width) is int and height > 0 < width and height * width <= MAX_FRAME_PIXELS
