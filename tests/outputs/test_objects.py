# SPDX-License-Identifier: Apache-2.0
"""objects.jsonl, results.json and the tracks of video.json where an instance is absent for a while, and ends late."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from ifc.inference.segmented_frame import EndedInstance, SegmentedFrame
from ifc.outputs.frame import FinishedFrame
from ifc.outputs.objects import ObjectsSink
from ifc.outputs.shown import ShownTracks
from ifc.outputs.tracks import TrackBook
from ifc.predictor import Classes

CLASSES = Classes(ids=[3, 7], names=["cat", "dog"])


def mask_of(index: int) -> dict:
    """That of frame `index`, unlike all others."""
    mask = np.zeros((4, 10), np.uint8, order="F")
    mask[1, : index + 1] = 1
    rle = coco_mask.encode(mask)
    return {"size": rle["size"], "counts": rle["counts"].decode()}


@pytest.mark.parametrize("ends_at", [5, 9])
def test_track_with_a_gap_that_ends_long_after_its_last_frame(tmp_path, ends_at):
    """It is on frames 1, 2 and 5 of ten; while it may return, its class is the one so far."""
    book, shown = TrackBook(threshold=0.1), ShownTracks(0.3)
    sink = ObjectsSink(tmp_path, CLASSES, book, results=True)
    on = {1: 0.9, 2: 0.9, 5: 0.6}
    for index in range(10):
        masks = {4: mask_of(index)} if index in on else {}
        scores = {i: on[index] for i in masks}
        ended = [EndedInstance(4, 1, 0.6, {0: 0.2, 1: 0.6})] if index == ends_at else []
        segmented = SegmentedFrame(index, (4, 10), masks, dict.fromkeys(masks, 1), scores, CLASSES.names, ended)
        assert shown.update(segmented) == dict.fromkeys(masks, 1)
        image = np.zeros((4, 10, 3), np.uint8)
        sink.write(FinishedFrame(index, index / 10, image, segmented, dict.fromkeys(masks, 1)))
    sink.close(whole=True)
    assert not shown._tracks
    results = json.loads((tmp_path / "results.json").read_text())
    assert [(r["category_id"], r["score"]) for r in results] == [(3, 0.2), (7, 0.6)]
    for result in results:
        assert result["segmentations"] == [mask_of(index) if index in on else None for index in range(10)]
    (track,) = book.as_json(CLASSES)
    assert track == {
        "id": 4, "category_id": 7, "score": 0.6, "first_frame": 1, "last_frame": 5, "num_frames": 3
    }  # fmt: skip
