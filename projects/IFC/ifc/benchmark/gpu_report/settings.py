# SPDX-License-Identifier: Apache-2.0
"""What steps are told and what they return. Needs no torch."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Row = dict[str, float | int | str]
Rows = dict[str, Row]
"""Numbers, or words, by what they are of; rows that follow each other and have a key in common are one table."""

Parts = dict[str, Callable[[], Rows]]
"""What each part of a step measures, by its name."""

PACKAGE = Path(__file__).resolve().parents[2]


class NotAvailable(Exception):
    """There is no such thing on this device or in this code."""


@dataclass(frozen=True)
class Settings:
    """What a step is told.

    Attributes:
        device: "cuda", "cuda:1", …; on "cpu" sizes are so small that the numbers say only that the report works.
        checkout: the folder that holds projects/, tests/ and configs/.
        golden: the folder of the reference numbers.
        folder: an empty one, for what is no part of the report.
        deadline: time.time() at which the step is ended.
    """

    device: str
    checkout: str
    golden: str
    folder: str = ""
    deadline: float = 0.0

    @property
    def is_toy(self) -> bool:
        """Whether models and videos are small."""
        return self.device == "cpu"

    @property
    def seconds_left(self) -> float:
        """Until the step is ended."""
        return self.deadline - time.time()

    @property
    def models(self) -> dict[str, str]:
        """The configs whose speed is measured, by name."""
        if self.is_toy:
            return {"toy model": str(PACKAGE / "models" / "shapes_tiny" / "config.yaml")}
        return {"R-50": "base_ytvis.yaml", "R-101": "R101_ytvis.yaml"}
