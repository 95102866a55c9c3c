# SPDX-License-Identifier: Apache-2.0
"""What is shown does not flicker."""

from ifc.inference import SegmentedFrame
from ifc.inference.segmented_frame import EndedInstance
from ifc.outputs.shown import ShownTracks

RLE = {"size": [1, 1], "counts": "01"}


def shown(scores, labels=None, threshold=0.5):
    """For each frame the class under which instance 7 is shown, None if it is not."""
    tracks = ShownTracks(threshold)
    found = []
    for index, score in enumerate(scores):
        label = 0 if labels is None else labels[index]
        masks = {} if score is None else {7: RLE}
        frame = SegmentedFrame(index, (1, 1), masks, dict.fromkeys(masks, label), dict.fromkeys(masks, score), ["a"])
        found.append(tracks.update(frame).get(7))
    return found


def test_track_stays_until_it_falls_well_below_the_threshold():
    scores = [0.49, 0.5, 0.49, 0.41, 0.39, 0.49, 0.5]
    assert shown(scores) == [None, 0, 0, 0, None, None, 0]
    assert shown([0.6, None, 0.45]) == [0, None, 0]


def test_class_changes_when_another_stays_the_best():
    labels = [1, 2, 1, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2]
    assert shown([0.9] * 14, labels) == [1] * 12 + [2, 2]
    assert shown([0.1, 0.1, 0.9], [1, 2, 2]) == [None, None, 2]


def test_everything_is_shown_at_threshold_zero():
    assert shown([0.0, 0.01], threshold=0.0) == [0, 0]


def test_nothing_is_kept_of_what_ended():
    tracks = ShownTracks(0.5)
    for i in range(100):
        ended = [EndedInstance(i, 0, 0.9, {0: 0.9})]
        tracks.update(SegmentedFrame(i, (1, 1), {i: RLE}, {i: 0}, {i: 0.9}, ["a"], ended))
    assert len(tracks._tracks) == 0
