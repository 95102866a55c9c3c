# SPDX-License-Identifier: Apache-2.0
"""The clip tracker: the reference results, the plain definition, and what it keeps."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from inference.dense_tracker import Window, random_windows, track

from ifc.inference import AssociationSettings
from ifc.inference.live_instances import ClipInstances
from ifc.inference.tracker import ClipTracker

GOLDEN = Path(__file__).parents[1] / "golden"
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def clip_of(window: Window, device: str = "cpu") -> ClipInstances:
    return ClipInstances(
        window.first_frame,
        torch.from_numpy(window.class_probs).to(device),
        torch.from_numpy(window.mask_logits).to(device),
        None if window.embeddings is None else torch.from_numpy(window.embeddings).to(device),
    )


def run_tracker(
    windows: list[Window],
    window: int,
    num_frames: int,
    device: str = "cpu",
    association: AssociationSettings | None = None,
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """The tracker's results in the form of `dense_tracker.track`, from what it hands out window by window."""
    tracker = ClipTracker(window, association)
    assignment, released = [], []
    for item in windows:
        released.append(tracker.release(item.first_frame))
        assignment += tracker.update([clip_of(item, device)])
    released.append(tracker.release())

    frames = [frame for frames, _ in released for frame in frames]
    assert [frame.index for frame in frames] == list(range(num_frames))
    num_instances = 1 + max(ids.max(initial=-1) for ids in assignment)
    class_probs = np.full((num_instances, windows[0].class_probs.shape[1]), np.nan)
    mask_logits = np.full((num_instances, num_frames, *windows[0].mask_logits.shape[2:]), np.nan)
    for frame in frames:
        mask_logits[frame.instance_ids, frame.index] = frame.mask_logits.cpu().numpy()
    for _, instances in released:
        if instances is not None:
            assert np.isnan(class_probs[instances.ids]).all()  # each is handed out once
            class_probs[instances.ids] = instances.class_probs.cpu().numpy()
    return assignment, class_probs, mask_logits


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["tracker_a", "tracker_b", "tracker_c", "tracker_d"])
def test_golden(name, device):
    golden = np.load(GOLDEN / f"{name}.npz")
    windows = [
        Window(int(golden[f"frames{i}"][0]), golden[f"cls{i}"], golden[f"logits{i}"].astype(np.float32))
        for i in range(golden["num_clips"])
    ]
    shape = tuple(golden["out_shape"])
    _, class_probs, mask_logits = run_tracker(windows, int(golden["window"]), shape[1], device)
    np.testing.assert_allclose(class_probs, golden["out_cls"], atol=1e-5)

    resized = F.interpolate(torch.from_numpy(mask_logits), size=shape[2:], mode="bilinear", align_corners=False)
    masks = (resized > 0).numpy()
    expected = np.unpackbits(golden["out_masks"], count=masks.size).reshape(shape).astype(bool)
    intersection, union = (masks & expected).sum((2, 3)), (masks | expected).sum((2, 3))
    assert (intersection >= 0.999 * union).all()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    window=st.integers(1, 6),
    stride=st.integers(1, 6),
    num_frames=st.integers(1, 24),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_the_definition(window, stride, num_frames, seed):
    windows = random_windows(np.random.default_rng(seed), num_frames, window, min(stride, window))
    assignment, class_probs, mask_logits = run_tracker(windows, window, num_frames)
    expected_assignment, expected_probs, expected_logits = track(windows, num_frames)
    assert [ids.tolist() for ids in assignment] == [ids.tolist() for ids in expected_assignment]
    np.testing.assert_allclose(class_probs, expected_probs, atol=1e-5)
    np.testing.assert_allclose(mask_logits, expected_logits, atol=1e-5)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    window=st.integers(1, 5), num_frames=st.integers(1, 20), at_once=st.integers(2, 9), seed=st.integers(0, 2**32 - 1)
)
def test_windows_at_once_give_what_they_give_one_by_one(window, num_frames, at_once, seed):
    windows = random_windows(np.random.default_rng(seed), num_frames, window, 1)
    one_by_one, tracker, ids = ClipTracker(window), ClipTracker(window), []
    expected = [one_by_one.update([clip_of(item)])[0] for item in windows]
    for first in range(0, len(windows), at_once):
        ids += tracker.update([clip_of(item) for item in windows[first : first + at_once]])
    assert [x.tolist() for x in ids] == [x.tolist() for x in expected]
    (frames, instances), (expected_frames, expected_instances) = tracker.release(), one_by_one.release()
    for frame, expected_frame in zip(frames, expected_frames, strict=True):
        assert frame.instance_ids.tolist() == expected_frame.instance_ids.tolist()
        torch.testing.assert_close(frame.mask_logits, expected_frame.mask_logits)
    assert (instances is None) == (expected_instances is None)
    if instances is not None:
        torch.testing.assert_close(instances.class_probs, expected_instances.class_probs)


def test_first_window_creates_all_its_instances():
    same_masks = np.zeros((4, 2, 3, 3), dtype=np.float32)
    (ids,) = ClipTracker(2).update([clip_of(Window(0, np.full((4, 2), 0.5, dtype=np.float32), same_masks))])
    assert ids.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("overlap", "is_same"), [(0.051, True), (0.049, False)])
def test_threshold(overlap, is_same):
    """Two constant masks p and q have soft IoU pq / (p + q - pq); with q = 1 that is p."""
    tracker = ClipTracker(2)
    probs = np.full((1, 2), 0.5, dtype=np.float32)
    logit = np.log(overlap / (1 - overlap))
    tracker.update([clip_of(Window(0, probs, np.full((1, 2, 8, 8), logit, dtype=np.float32)))])
    (ids,) = tracker.update([clip_of(Window(1, probs, np.full((1, 2, 8, 8), 30, dtype=np.float32)))])
    assert ids.tolist() == ([0] if is_same else [1])


def test_more_instances_than_the_original_can_hold():
    """50 is no limit, neither at once nor in all: one cell an instance, over windows that each show other ones."""
    tracker, known = ClipTracker(3), {}
    rng = np.random.default_rng(0)
    for start in range(6):
        cells = np.sort(rng.permutation(np.arange(120) + 40 * start)[:110])
        logits = np.full((110, 3, 20, 20), -20, dtype=np.float32)
        logits.reshape(110, 3, 400)[np.arange(110), :, cells] = 20
        (ids,) = tracker.update([clip_of(Window(start, np.full((110, 2), 0.5, dtype=np.float32), logits))])
        assert len(set(ids.tolist())) == 110
        for cell, i in zip(cells.tolist(), ids.tolist(), strict=True):
            assert known.setdefault(cell, i) == i
        tracker.release(start + 1)
    assert len(known) > 250 and set(known.values()) == set(range(len(known)))


@pytest.mark.parametrize("stride", [1, 2])
def test_state_does_not_grow_with_the_video(stride):
    """What the tracker holds, storage under views included, is the same after 30 windows and after 240."""
    rng = np.random.default_rng(0)
    tracker = ClipTracker(4)
    sizes = []
    for start in range(0, 240 * stride, stride):
        tracker.release(start)
        logits = rng.normal(-3, 1, (3, 4, 6, 6)).astype(np.float32)
        logits[0] += 6  # one instance that never leaves; the others are new ones now and then
        logits[1, :, (start // 20) % 6] += 8
        (ids,) = tracker.update([clip_of(Window(start, np.full((3, 3), 1 / 3, dtype=np.float32), logits))])
        sizes.append(len(pickle.dumps(tracker)))
    assert ids.max() > 15
    assert max(sizes[30:]) <= 1.2 * max(sizes[:30])


def test_windows_that_no_later_one_meets_are_forgotten():
    """Where windows do not overlap, nothing is left of one when the next begins."""
    tracker = ClipTracker(6)
    sizes = []
    for start in range(0, 36, 6):
        logits = np.ones((2, 6, 4, 4), dtype=np.float32)
        tracker.update([clip_of(Window(start, np.full((2, 3), 1 / 3, dtype=np.float32), logits))])
        tracker.release(start + 6)
        sizes.append(len(pickle.dumps(tracker)))
    assert max(sizes) <= 1.05 * sizes[0]


def test_frames_that_no_window_holds():
    """A gap between two windows gives frames without instances, in their place."""
    tracker = ClipTracker(2)
    logits, probs = np.ones((1, 2, 3, 3), dtype=np.float32), np.full((1, 2), 0.5, dtype=np.float32)
    frames = []
    for start in (0, 5):
        frames += tracker.release(start)[0]
        tracker.update([clip_of(Window(start, probs, logits))])
    frames += tracker.release()[0]
    assert [(frame.index, frame.instance_ids.tolist()) for frame in frames] == [
        (0, [0]), (1, [0]), (2, []), (3, []), (4, []), (5, [1]), (6, [1])
    ]  # fmt: skip


def test_window_on_final_frames_is_an_error():
    tracker = ClipTracker(3)
    item = Window(0, np.full((1, 2), 0.5, dtype=np.float32), np.ones((1, 3, 2, 2), dtype=np.float32))
    tracker.update([clip_of(item)])
    tracker.release(2)
    with pytest.raises(ValueError, match="window at frame 0: the frames before 2 are final"):
        tracker.update([clip_of(item)])
