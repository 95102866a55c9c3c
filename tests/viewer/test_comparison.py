# SPDX-License-Identifier: Apache-2.0
"""A video's tracks beside its ground truth: missed, wrong and switched."""

import numpy as np
import pytest
from segmented_folder import CATEGORIES, segmentations, write_folder

from ifc.viewer.comparison import compare
from ifc.ytvis.segmented_video import read_folder

T, H, W = 6, 10, 12


def moving(left, frames=range(T), top=0):
    """Masks (T, H, W) of a box of 3 x 3 that moves to the right."""
    masks = np.zeros((T, H, W), dtype=bool)
    for frame in frames:
        masks[frame, top : top + 3, left + frame : left + frame + 3] = True
    return masks


def annotations(*objects, video_id=5):
    """A ground truth of (category id, masks, iscrowd)."""
    return {
        "videos": [{"id": video_id, "height": H, "width": W, "length": T}],
        "categories": CATEGORIES,
        "annotations": [
            {
                "id": i,
                "video_id": video_id,
                "category_id": label,
                "iscrowd": crowd,
                "segmentations": segmentations(masks),
            }
            for i, (label, masks, crowd) in enumerate(objects)
        ],
    }


def found(tmp_path, *tracks):
    """A folder with (category id, score, masks); ids are 1, 2, ..."""
    labels, scores, masks = zip(*tracks, strict=True)
    ids = range(1, len(tracks) + 1)
    folder = write_folder(
        tmp_path / "clip", "clip.mp4", np.stack(masks), np.arange(T) / 10, scores=scores, labels=labels, ids=ids
    )
    return read_folder(folder)


def test_a_perfect_result_has_no_errors(tmp_path):
    video = found(tmp_path, (1, 0.9, moving(0)), (2, 0.8, moving(2, top=5)))
    comparison = compare(video, annotations((1, moving(0), 0), (2, moving(2, top=5), 0)))
    assert comparison.verdicts == {1: "correct", 2: "correct"}
    assert not any(comparison.missed.values()) and not any(comparison.wrong.values()) and not comparison.events


def test_missed_wrong_and_switched_are_found_where_they_are(tmp_path):
    first, second = moving(0, range(2)), moving(0, range(3, T))  # of one object, which nobody finds on frame 2
    video = found(tmp_path, (1, 0.8, first), (1, 0.9, second), (2, 0.95, moving(2, range(1, 3), top=6)))
    truth = annotations((1, moving(0), 0), (2, moving(3, [4], top=3), 0))
    comparison = compare(video, truth)
    assert comparison.missed == {0: [2], 1: [4]}
    assert comparison.wrong == {3: [1, 2]}
    assert comparison.verdicts == {1: "localisation", 2: "correct", 3: "background"}
    frames = [frame for frame, _ in comparison.events]
    assert frames == sorted(frames)
    (switch,) = [frame for frame, text in comparison.events if "#1" in text and "#2" in text]
    assert switch == 3
    at_90 = compare(video, truth, score=0.9)
    assert at_90.missed == {0: [0, 1, 2], 1: [4]} and at_90.wrong == {3: [1, 2]}


def test_results_on_crowds_are_no_errors(tmp_path):
    video = found(tmp_path, (1, 0.9, moving(0)), (1, 0.9, moving(0, top=6)))
    comparison = compare(video, annotations((1, moving(0), 0), (1, moving(0, top=6), 1)))
    assert comparison.verdicts == {1: "correct", 2: "ignored"}
    assert len(comparison.objects) == 1 and not comparison.wrong and not comparison.events


def test_a_video_with_neither_objects_nor_results_can_be_compared(tmp_path):
    folder = write_folder(tmp_path / "clip", "clip.mp4", np.zeros((0, T, H, W), dtype=bool), np.arange(T) / 10)
    comparison = compare(read_folder(folder), annotations())
    assert not comparison.objects and not comparison.events


def test_another_video_or_other_categories_are_refused(tmp_path):
    video = found(tmp_path, (1, 0.9, moving(0)))
    right = annotations((1, moving(0), 0))
    for changed, named in (
        ({"videos": [{**right["videos"][0], "length": 9}], "annotations": []}, "frames"),
        ({"videos": [{**right["videos"][0], "height": 9}], "annotations": []}, "height"),
        ({"categories": [{"id": 1, "name": "dog"}, CATEGORIES[1]]}, "category 1"),
        ({"videos": [*right["videos"], {**right["videos"][0], "id": 6}]}, "videos"),
        ({"annotations": None}, "annotations"),
    ):
        with pytest.raises(ValueError, match=named):
            compare(video, {**right, **changed})
    with pytest.raises(ValueError, match="7"):
        compare(video, right, video_id=7)
    two = {**right, "videos": [*right["videos"], {**right["videos"][0], "id": 6}]}
    assert compare(video, two, video_id=5).verdicts == {1: "correct"}
