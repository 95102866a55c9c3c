# SPDX-License-Identifier: Apache-2.0
"""What was found in a video beside its ground truth, matched as the metric matches."""

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from ..ytvis.ground_truth import AnnotatedTrack, GroundTruth, GroundTruthSource, mean_area, read_ground_truth
from ..ytvis.metric.errors import CORRECT, IGNORED
from ..ytvis.metric.evaluation import evaluate
from ..ytvis.metric.identity import frame_overlaps, match_frames
from ..ytvis.metric.result_tracks import ResultTrack
from ..ytvis.metric.video_ap import require_tracks
from ..ytvis.segmented_video import SegmentedVideo
from ..ytvis.values import expect


@dataclass(frozen=True)
class Comparison:
    """A video's objects beside its results.

    Attributes:
        objects: the annotated ones, crowds left out, and their class `names`.
        verdicts: what the metric says of a result, by track id.
        missed: by index of an object, the frames on which it is seen and no result matches it.
        wrong: by track id, the frames on which a result that counts as found matches no object.
        events: (frame, what went wrong there), in order.
        summary: the counts, in a sentence.
    """

    objects: list[AnnotatedTrack]
    names: list[str]
    verdicts: dict[int, str]
    missed: dict[int, list[int]]
    wrong: dict[int, list[int]]
    events: list[tuple[int, str]]
    summary: str


def compare(
    video: SegmentedVideo, annotations: GroundTruthSource, video_id: int | None = None, score: float = 0.0
) -> Comparison:
    """Compare a video's tracks with its annotations in YouTube-VIS's format.

    Args:
        video_id: that of the video in `annotations`; None if they are of one video alone.
        score: the least of a result that counts as found.

    Raises:
        OSError, ValueError: the annotations cannot be read, or are of another video or other categories.
    """
    ground_truth = _only_video(read_ground_truth(annotations), video_id)
    _require_same_video(video, ground_truth)
    (video_id,) = ground_truth.videos
    results = _to_results(video)
    by_key = defaultdict(list)
    for track in video.tracks:
        by_key[video_id, track.category_id].append(results[track.track_id])
    evaluation = evaluate(ground_truth, dict(by_key), score=score)
    if video_id not in evaluation.findings:
        return Comparison([], [], {}, {}, {}, [], "There are neither objects nor results.")

    findings, categories = evaluation.findings[video_id], ground_truth.categories
    ids = {id(result): track_id for track_id, result in results.items()}
    track_ids = [ids[id(result)] for result in findings.results]
    counted = [
        d for d, found in enumerate(findings.results) if found.score >= score and findings.verdicts[d] != IGNORED
    ]
    names = [categories[category_id] for category_id in findings.object_categories]
    missed, wrong, events = defaultdict(list), defaultdict(list), []
    for category_id in categories:
        own = np.flatnonzero(findings.object_categories == category_id)
        found = np.array([d for d in counted if findings.result_categories[d] == category_id], dtype=np.int64)
        overlaps = frame_overlaps([findings.objects[g] for g in own], [findings.results[d] for d in found])
        for frame, (overlap, match) in enumerate(zip(overlaps, match_frames(overlaps, len(own)), strict=True)):
            for g in own[np.setdiff1d(overlap.objects, match.objects)]:
                missed[g].append(frame)
            for d in found[np.setdiff1d(overlap.results, match.results)]:
                wrong[track_ids[d]].append(frame)
            switched = match.is_switch
            for g, before, after in zip(
                own[match.objects[switched]], found[match.before[switched]], found[match.results[switched]], strict=True
            ):
                change = f"switches from #{track_ids[before]} to #{track_ids[after]}"
                events.append((frame, f"truth {g + 1} {names[g]} {change}"))
    num_switches = len(events)
    for g in np.flatnonzero(findings.missed):
        events.append((_first_frame(findings.objects[g]), f"truth {g + 1} {names[g]} is missed"))
    errors = [d for d in counted if findings.verdicts[d] != CORRECT]
    for d in errors:
        name = f"#{track_ids[d]} {categories[findings.result_categories[d]]}"
        events.append((_first_frame(findings.results[d]), f"{name} is wrong: {findings.verdicts[d]}"))
    return Comparison(
        objects=findings.objects,
        names=names,
        verdicts=dict(zip(track_ids, findings.verdicts, strict=True)),
        missed=missed,
        wrong=wrong,
        events=sorted(events),
        summary=f"Of {len(names)} objects {findings.missed.sum()} are missed, of {len(counted)} results {len(errors)} "
        f"match none; identity switches: {num_switches}.",
    )


def _only_video(ground_truth: GroundTruth, video_id: int | None) -> GroundTruth:
    require_tracks(ground_truth)
    ids = list(ground_truth.videos)
    if video_id is None:
        expect(len(ids) == 1, f"{ground_truth.source}: videos", f"{len(ids)}", "one, or the id of the right one")
        video_id = ids[0]
    expect(video_id in ground_truth.videos, f"{ground_truth.source}: video id", video_id, "the id of one of the videos")
    return replace(
        ground_truth,
        videos={video_id: ground_truth.videos[video_id]},
        tracks={video_id: ground_truth.tracks.get(video_id, [])},
    )


def _require_same_video(video: SegmentedVideo, ground_truth: GroundTruth) -> None:
    ((video_id, annotated),) = ground_truth.videos.items()
    place = f"{ground_truth.source}: video {video_id}"
    for what, found, expected in (
        ("height, width", annotated.size, video.size),
        ("frames", annotated.length, len(video.times)),
    ):
        expect(found == expected, f"{place}: {what}", found, f"{expected}, as in {video.folder}")
    for category_id in {track.category_id for track in video.tracks}:
        found, expected = ground_truth.categories.get(category_id), video.categories[category_id]
        expect(
            found == expected, f"{ground_truth.source}: category {category_id}", found, f"{expected!r}, as was found"
        )


def _to_results(video: SegmentedVideo) -> dict[int, ResultTrack]:
    """The tracks as the metric takes them, by id."""
    masks = {track.track_id: [None] * len(video.times) for track in video.tracks}
    areas = {track_id: np.zeros(len(video.times), dtype=np.int64) for track_id in masks}
    for frame, objects in enumerate(video.objects):
        for found in objects:
            masks[found.track_id][frame], areas[found.track_id][frame] = found.mask, found.area
    return {
        track.track_id: ResultTrack(
            masks[track.track_id], areas[track.track_id], mean_area(areas[track.track_id]), track.score
        )
        for track in video.tracks
    }


def _first_frame(track: ResultTrack | AnnotatedTrack) -> int:
    return int((track.mask_areas > 0).argmax())
