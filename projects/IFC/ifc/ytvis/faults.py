# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a file in YouTube-VIS's format."""

from dataclasses import dataclass, field
from typing import Any

KINDS = {
    "json": "no json, or one that is cut off",
    "field": "missing, of the wrong type, or with an impossible value",
    "used twice": "an id, name or frame that should be used once",
    "unknown id": "a video or category that is not listed",
    "length": "not one entry for each frame",
    "rle": "a run-length mask that cannot be decoded, or of another size",
    "polygon": "fewer than 3 points, half a point, or outside the frame",
    "area": "disagrees with the mask",
    "box": "disagrees with the mask",
    "empty track": "no mask on any frame",
    "missing frame": "no such file",
    "damaged frame": "truncated, or no image",
    "frame size": "not the size that the json says",
}


@dataclass(frozen=True)
class Tolerance:
    """How far a json's areas and boxes may be from the masks'.

    Attributes:
        area: the share of the mask's pixels; at least 2 pixels are allowed, and for polygons half a pixel for each
            pixel of outline, as there are several ways to fill one.
        box: for each of the four sides, in pixels; some count the last column and row and some do not.
    """

    area: float = 0.01
    box: float = 1.0


@dataclass(frozen=True, slots=True)  # there may be millions
class Fault:
    """One fault and its place.

    Attributes:
        kind: one of `KINDS`.
        field: path in the json, such as "annotations[7].areas[2]".
        found, expected: in words.
        video, annotation: the ids that the json gives, None where the fault is in neither.
        frame: index from 0, or None.
        is_refused: whether training and evaluation refuse a file for it; others may not be meant, but can be used.
    """

    kind: str
    field: str
    found: str
    expected: str
    video: Any = None
    annotation: Any = None
    frame: int | None = None
    is_refused: bool = True

    @property
    def text(self) -> str:
        """The fault in one line, without its kind."""
        place = {"video": self.video, "annotation": self.annotation, "frame": self.frame}
        named = [f"{name} {value}" for name, value in place.items() if value is not None]
        prefix = f"{', '.join(named)}: " if named else ""
        return f"{prefix}{self.field}: found {self.found}, expected {self.expected}"

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclass
class FaultLog:
    """Collects faults, of one video or annotation if their ids are given."""

    video: Any = None
    annotation: Any = None
    faults: list[Fault] = field(default_factory=list)

    def add(
        self, kind: str, field: str, found: str, expected: str, frame: int | None = None, is_refused: bool = True
    ) -> None:
        """Add one fault; the arguments are `Fault`'s."""
        self.faults.append(Fault(kind, field, found, expected, self.video, self.annotation, frame, is_refused))

    def refuse(self, source: str) -> None:
        """
        Raises:
            ValueError: there are faults for which the file `source` is refused; the first is named.
        """
        for fault in self.faults:
            if fault.is_refused:
                raise ValueError(f"{source}: {fault.text}")
