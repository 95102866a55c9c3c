# SPDX-License-Identifier: Apache-2.0
"""All that can be measured of one file of results."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..ground_truth import AnnotatedTrack, GroundTruth, Key
from .breakdown import MOTION_STEP, GroupNumbers, by_length, by_motion
from .errors import ErrorCost, VideoFindings, best_score, error_costs, find_errors
from .result_tracks import ResultTrack
from .video_ap import (
    AREA_RANGES,
    STAT_NAMES,
    Overlaps,
    VideoAPResult,
    average_precision,
    find_overlaps,
    require_tracks,
    summarize,
)


@dataclass(frozen=True)
class Evaluation:
    """All that was measured of one file of results; what few ask for, when it is asked for.

    Attributes:
        chosen_score: `score`, if one was chosen.
    """

    ground_truth: GroundTruth
    overlaps: dict[Key, Overlaps]
    result: VideoAPResult
    by_length: dict[str, GroupNumbers]
    by_motion: dict[str, GroupNumbers]
    chosen_score: float | None = None

    @cached_property
    def findings(self) -> dict[int, VideoFindings]:
        """What the results came to, by video id."""
        return find_errors(self.ground_truth, self.overlaps)

    @cached_property
    def costs(self) -> dict[str, ErrorCost]:
        """What each kind of error costs."""
        return error_costs(self.findings)

    @cached_property
    def score(self) -> float:
        """The least of a result that counts as found wherever a choice has to be made: in confusion, identity switches,
        tracking and pictures. By default the one of best F1 at IoU 0.5."""
        return best_score(self.findings) if self.chosen_score is None else self.chosen_score

    @cached_property
    def tracking(self) -> dict[str, dict[str, float]]:
        """HOTA, IDF1 and MOTA as `tracking_numbers` returns them, which asks for SciPy and TrackEval."""
        from .tracking import tracking_numbers

        return tracking_numbers(self.ground_truth, self.overlaps, self.score)

    def identity_switches(self) -> tuple[int, int]:
        """How often an object's result changes from one frame to a later one, and how many objects that happens to."""
        from .identity import count_switches, frame_overlaps  # SciPy, which AP can do without

        switches = []
        for objects, found in self._objects_and_found():
            switches += count_switches(frame_overlaps(objects, found), len(objects)).tolist()
        return sum(switches), sum(count > 0 for count in switches)

    def returns(self) -> tuple[int, int]:
        """How often an object that was out of sight is found again, and how often by the same result as before."""
        from .identity import count_returns, frame_overlaps

        returns = kept = 0
        for objects, found in self._objects_and_found():
            counts = count_returns(frame_overlaps(objects, found), len(objects))
            returns, kept = returns + counts[0], kept + counts[1]
        return returns, kept

    def _objects_and_found(self) -> Iterator[tuple[list[AnnotatedTrack], list[ResultTrack]]]:
        """The objects and what was found, of each video and category that has both."""
        for of_video in self.overlaps.values():
            objects = [track for track in of_video.annotated if not track.is_crowd]
            found = [track for track in of_video.results if track.score >= self.score]
            if objects and found:
                yield objects, found

    def to_json(self, *, errors: bool = False, tracking: bool = False) -> dict[str, Any]:
        """The numbers as json, fractions of 1, -1 or None where there are no objects; on request, more of them."""

        def group(numbers: GroupNumbers) -> dict[str, Any]:
            return {"AP": numbers.ap, "AP50": numbers.ap50, "AR100": numbers.ar100, "objects": numbers.num_objects}

        content = {
            "stats": self.result.stats.tolist(),
            "stat_names": list(STAT_NAMES),
            "per_category_AP": self.result.per_category_ap,
            "by_length": {name: group(numbers) for name, numbers in self.by_length.items()},
            "by_motion": {name: group(numbers) for name, numbers in self.by_motion.items()},
        }
        if errors or tracking:
            content["score"] = self.score if math.isfinite(self.score) else None
        if tracking:
            per_category = {name: numbers for name, numbers in self.tracking.items() if name}
            content["tracking"] = {"all": self.tracking.get(""), "per_category": per_category}
        if errors:
            costs = self.costs.items()
            content["errors"] = {name: {"count": cost.count, "AP50_rise": cost.ap50_rise} for name, cost in costs}
            content["errors"]["identity switch"] = {"count": self.identity_switches()[0]}
        return content


def evaluate(
    ground_truth: GroundTruth,
    results: dict[Key, list[ResultTrack]],
    *,
    motion_step: int = MOTION_STEP,
    score: float | None = None,
) -> Evaluation:
    """Measure results.

    Args:
        motion_step: `by_motion`'s.
        score: `Evaluation`'s.

    Raises:
        ValueError: the split has no annotations.
    """
    require_tracks(ground_truth)
    overlaps = find_overlaps(ground_truth, results)
    return Evaluation(
        ground_truth,
        overlaps,
        summarize(ground_truth, *average_precision(ground_truth, overlaps, AREA_RANGES)),
        by_length(ground_truth, overlaps),
        by_motion(ground_truth, overlaps, motion_step),
        score,
    )
