# SPDX-License-Identifier: Apache-2.0
"""How far a program is with each of its videos."""

import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

_LONGEST_NAME = 40
_SECONDS_IN_A_LOG = 10  # between two lines where nobody watches


class ProgressBars:
    """A bar for each input, with frames a second and the time that is left: what `segment_videos` tells.

    Args:
        num_inputs: that there are.
    """

    def __init__(self, num_inputs: int = 1):
        self._num_inputs, self._num_begun = num_inputs, 0
        self._bar: Any = None

    def __enter__(self) -> "ProgressBars":
        return self

    def __call__(self, name: str, done: int, total: int | None, rate: float) -> None:
        if done == 1:
            self.__exit__()
            self._num_begun += 1
            place = f"{self._num_begun}/{self._num_inputs} " if self._num_inputs > 1 else ""
            often = {} if sys.stderr.isatty() else {"mininterval": _SECONDS_IN_A_LOG}
            self._bar = tqdm(total=total, desc=place + Path(name).name[-_LONGEST_NAME:], unit=" frames", **often)
        if self._bar.total is not None and done > self._bar.total:
            self._bar.total = None  # a header may promise less
        self._bar.update(done - self._bar.n)

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()
