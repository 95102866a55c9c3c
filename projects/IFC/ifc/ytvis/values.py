# SPDX-License-Identifier: Apache-2.0
"""Values of a file, which may be anything: the limits of what is taken for real, and how they are shown in messages."""

import reprlib
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

MAX_ID = 2**63
MAX_FRAME_PIXELS = 2**27
"""Of the largest frame; 16K video has 132,710,400. A json claims any size at no cost."""
MAX_NUMBER = 1e9  # of areas and coordinates; sums and squares of such stay numbers
MOST_SHOWN = 120  # characters of a value in a message


def brief(value: Any) -> str:
    """A short form of any value, for messages."""
    if value is None:
        return "nothing"
    try:
        text = reprlib.repr(value)  # short but for what is nested
    except ValueError:  # too many digits
        return "a huge number"
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"


def expect(fits: Any, place: Any, found: Any, expected: str) -> None:
    """Raise ValueError, which names the place, what was found and what was expected, unless it fits."""
    if not fits:
        raise ValueError(f"{place}: found {brief(found)}, expected {expected}")


def is_integer(value: Any) -> bool:
    """Whether a value is a whole number, which true and false are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any, most: float = MAX_NUMBER) -> bool:
    """Whether a value is a number that can be reckoned with: finite, and of at most `most`."""
    return isinstance(value, Real) and not isinstance(value, bool) and bool(abs(value) <= most)


def is_list(value: Any) -> bool:
    """Whether a value is a list, or what stands for one in data that did not come from a file."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def is_frame_size(height: Any, width: Any) -> bool:
    """Whether two values are the height and the width of a frame that can exist."""
    return is_integer(height) and is_integer(width) and height > 0 < width and height * width <= MAX_FRAME_PIXELS
