# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks compare is equal, and they find it out where it is not."""

import numpy as np
import pytest
import torch

from ifc.benchmark import time_metric as metric
from ifc.benchmark import time_rle as rle
from ifc.benchmark.scripted import shape_logits
from ifc.benchmark.time_loading import check_same

SMALL = (48, 80)


def test_the_plain_way_to_rle_gives_the_same():
    frames = [shape_logits(count, (6, 10), seed=count) for count in (3, 8)]
    frames[0][1] = -1
    plain = rle.encode_plainly(frames, SMALL)
    assert plain == rle.encode_masks(frames, SMALL)
    assert [len(rles) for rles in plain] == [3, 8] and plain[0][1] is None


def test_different_masks_are_counted(monkeypatch):
    encode = rle.encode_masks
    monkeypatch.setattr(
        rle,
        "encode_masks",
        lambda frames, size: [encode([-f[:1]], size)[0] + encode([f[1:]], size)[0] for f in frames],
    )
    column = rle.compare_ways([shape_logits(4, (6, 10))] * 2, (48, 80), torch.device("cpu"), repeat=1)
    assert column["different masks"] == 2


def test_mappers_that_differ_are_found():
    clip = {"image": [torch.zeros(3, 4, 4, dtype=torch.uint8)], "instances": []}
    check_same(clip, {"image": [clip["image"][0] + 1], "instances": []})
    with pytest.raises(RuntimeError, match="images differ"):
        check_same(clip, {"image": [clip["image"][0] + 2], "instances": []})


def test_metric_cases():
    crowded = metric.crowded(num_frames=14, num_objects=7, num_results=9, size=SMALL)
    assert crowded["times faster"] == pytest.approx(crowded["pair by pair, s"] / crowded["IoUs, s"])
    validation = metric.validation(num_videos=4, num_results=200, num_categories=5, size=SMALL)
    assert validation["results, MiB"] > 0 and validation["memory, peak MiB"] > 20


def test_results_are_near_their_objects():
    ground_truth = metric.objects(1, 6, 12, SMALL, 1)
    results = metric.near_results(ground_truth, 8, 1)
    ious = metric.track_ious(*tracks_of(ground_truth, results))
    own = ious[np.arange(8), np.arange(8) % 6]
    assert (own > 0.2).all() and (own < 1).all()


def test_an_inexact_metric_is_found(monkeypatch):
    exact = metric.track_ious
    monkeypatch.setattr(metric, "track_ious", lambda *tracks: np.nextafter(exact(*tracks), 1))
    with pytest.raises(RuntimeError, match="the IoUs differ by up to"):
        metric.crowded(num_frames=2, num_objects=3, num_results=3, size=SMALL)


def test_the_long_case_is_exact_beyond_32_bits(monkeypatch):
    assert metric.long(num_frames=2100)["exact at pixels"] > 2**32
    exact = metric.track_ious
    monkeypatch.setattr(metric, "track_ious", lambda *tracks: np.nextafter(exact(*tracks), 1))
    with pytest.raises(RuntimeError, match="found IoU"):
        metric.long(num_frames=2)


def tracks_of(ground_truth, results):
    read = metric.read_ground_truth(ground_truth)
    (found,) = metric.read_results(results, read).values()
    (annotated,) = read.by_category().values()
    return found, annotated
