# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a data set."""

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)  # there may be millions
class Fault:
    """One fault and its place.

    Attributes:
        kind: one of `KINDS`.
        field: path in the json, such as "annotations[7].areas[2]".
        found, expected: in words.
        video, annotation: the ids that the json gives, None where the fault is in neither.
        frame: index from 0, or None.
    """

    kind: str
    field: str
    found: str
    expected: str
    video: Any = None
    annotation: Any = None
    frame: int | None = None

    def __str__(self) -> str:
        place = {"video": self.video, "annotation": self.annotation, "frame": self.frame}
        named = [f"{name} {value}" for name, value in place.items() if value is not None]
        prefix = f"{', '.join(named)}: " if named else ""
        return f"{self.kind}: {prefix}{self.field}: found {self.found}, expected {self.expected}"


class FaultLog:
    """Collects faults of one video or annotation."""

    def __init__(self, video: Any = None, annotation: Any = None) -> None:
        self.video, self.annotation = video, annotation
        self.faults: list[Fault] = []

    def add(self, kind: str, field: str, found: str, expected: str, frame: int | None = None) -> None:
        """Add one fault; the arguments are `Fault`'s."""
        self.faults.append(Fault(kind, field, found, expected, self.video, self.annotation, frame))
