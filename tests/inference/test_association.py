# SPDX-License-Identifier: Apache-2.0
"""Association by embeddings: the plain definition, windows that share no frame, returns, and what is kept."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inference.dense_association import DenseAssociation
from inference.dense_tracker import Window, random_windows, track
from inference.test_tracker import DEVICES, clip_of, run_tracker

from ifc.inference import AssociationSettings
from ifc.inference.track_memory import TrackMemory
from ifc.inference.tracker import ClipTracker

LENGTH = 6  # of an embedding made by hand
SIZE = (4, 6)


def by_embedding(**options) -> AssociationSettings:
    return AssociationSettings("mask+embedding", **options)


def window_of(first_frame: int, *instances: tuple[list[float], int | None], frames: int = 2, label: int = 0) -> Window:
    """A window of instances with an embedding, and a mask that fills a column; None for an empty mask."""
    logits = np.full((len(instances), frames, *SIZE), -20, dtype=np.float32)
    for i, (_, column) in enumerate(instances):
        if column is not None:
            logits[i, :, :, column] = 20
    probs = np.full((len(instances), 3), 0.05, dtype=np.float32)
    probs[:, label] = 0.9
    embeddings = np.array([embedding for embedding, _ in instances], dtype=np.float32).reshape(-1, LENGTH)
    return Window(first_frame, probs, logits, embeddings)


def axis(*numbers: int) -> list[float]:
    """The sum of these axes' unit vectors."""
    return np.eye(LENGTH)[list(numbers)].sum(0).tolist()


def ids_of(windows: list[Window], association: AssociationSettings, window: int = 2) -> list[list[int]]:
    tracker, ids = ClipTracker(window, association), []
    for item in windows:
        tracker.release(item.first_frame)
        ids += [x.tolist() for x in tracker.update([clip_of(item)])]
    return ids


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    window=st.integers(1, 5),
    stride=st.integers(1, 5),
    num_frames=st.integers(1, 24),
    association=st.builds(
        by_embedding,
        mask_weight=st.sampled_from([0.0, 0.5, 1.0]),
        embedding_weight=st.sampled_from([0.3, 1.0]),
        similarity=st.sampled_from([0.1, 0.3, 0.6]),
        momentum=st.sampled_from([0.2, 0.6, 1.0]),
        exemplars=st.integers(0, 3),
        memory_frames=st.sampled_from([0, 1, 4, 100]),
        memory_tracks=st.integers(1, 5),
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_the_definition(window, stride, num_frames, association, seed):
    windows = random_windows(np.random.default_rng(seed), num_frames, window, min(stride, window))
    assignment, class_probs, mask_logits = run_tracker(windows, window, num_frames, association=association)
    expected = track(windows, num_frames, DenseAssociation(windows, association))
    assert [ids.tolist() for ids in assignment] == [ids.tolist() for ids in expected[0]]
    np.testing.assert_allclose(class_probs, expected[1], atol=1e-5)
    np.testing.assert_allclose(mask_logits, expected[2], atol=1e-5)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    window=st.integers(1, 4), at_once=st.integers(2, 9), memory_tracks=st.integers(1, 4), seed=st.integers(0, 2**32 - 1)
)
@pytest.mark.parametrize("device", DEVICES)
def test_any_batch_of_windows_gives_the_same(device, window, at_once, memory_tracks, seed):
    """Those that are released in between included: each instance is handed out once, and when it cannot return."""
    association = by_embedding(similarity=0.3, memory_frames=5, memory_tracks=memory_tracks, exemplars=1)
    windows = random_windows(np.random.default_rng(seed), 20, window, window)
    expected_ids, expected_probs, _ = run_tracker(windows, window, 20, association=association)
    tracker, ids, finished = ClipTracker(window, association), [], []
    for first in range(0, len(windows), at_once):
        batch = windows[first : first + at_once]
        finished.append(tracker.release(batch[0].first_frame)[1])
        ended = [i for batch in finished if batch is not None for i in batch.ids]
        ids += tracker.update([clip_of(item, device) for item in batch])
        assert not np.isin(np.concatenate(ids[first:]), ended).any()
    finished.append(tracker.release()[1])
    assert [x.tolist() for x in ids] == [x.tolist() for x in expected_ids]
    found = {i: p for b in finished if b is not None for i, p in zip(b.ids, b.class_probs, strict=True)}
    assert sorted(found) == list(range(len(expected_probs)))
    assert sum(len(b.ids) for b in finished if b is not None) == len(found)
    for i, probs in found.items():
        np.testing.assert_allclose(probs.cpu(), expected_probs[i], atol=1e-5)


def test_masks_alone_take_no_look_at_embeddings():
    windows = random_windows(np.random.default_rng(3), 20, 4, 1)
    other = [Window(w.first_frame, w.class_probs, w.mask_logits, w.embeddings * np.nan) for w in windows]
    for found, expected in zip(run_tracker(other, 4, 20), run_tracker(windows, 4, 20), strict=True):
        for x, y in zip(found, expected, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("frames", [1, 3])
def test_windows_that_share_no_frame_are_joined(frames):
    a, b = axis(0), axis(1)
    windows = [window_of(n * frames, *((a, 0), (b, 5)) if n % 2 else ((b, 5), (a, 0)), frames=frames) for n in range(4)]
    assert ids_of(windows, by_embedding(), frames) == [[0, 1], [1, 0]] * 2
    assert ids_of(windows, AssociationSettings(), frames) == [[0, 1], [2, 3], [4, 5], [6, 7]]


@pytest.mark.parametrize(("absence", "memory", "is_same"), [(6, 6, True), (6, 5, False), (1, 0, False)])
def test_return_after_an_absence(absence, memory, is_same):
    windows = [window_of(0, (axis(0), 0)), window_of(2 + absence, (axis(1), 3), (axis(0), 5))]
    assert ids_of(windows, by_embedding(memory_frames=memory)) == [[0], [1, 0] if is_same else [1, 2]]


def test_return_needs_the_class():
    windows = [window_of(0, (axis(0), 0)), window_of(5, (axis(0), 0), label=1), window_of(10, (axis(0), 0))]
    association = by_embedding(memory_frames=20)
    assert ids_of(windows, association) == [[0], [1], [0]]


@pytest.mark.parametrize(("similarity", "is_same"), [(0.81, True), (0.82, False)])
def test_return_needs_the_similarity(similarity, is_same):
    """The cosine is 2 / √6 = 0.816; the classes are the same."""
    windows = [window_of(0, (axis(0, 1), 0)), window_of(5, (axis(0, 1, 2), 0))]
    assert ids_of(windows, by_embedding(memory_frames=20, similarity=similarity)) == [[0], [0 if is_same else 1]]


def test_look_alikes_that_are_seen_on_shared_frames_are_told_apart_by_their_masks():
    """An instance does not take the id of one that is elsewhere on the same frames, however alike."""
    association = by_embedding(memory_frames=20)
    windows = [window_of(0, (axis(0), 0)), window_of(1, (axis(0), 5))]
    assert ids_of(windows, association) == [[0], [1]]
    # Unless one of the two masks is empty there: then they say nothing.
    assert ids_of([window_of(0, (axis(0), None)), windows[1]], association) == [[0], [0]]


def test_live_and_absent_tracks_are_assigned_together():
    """The look-alike that never left keeps its id, as masks agree, and the one that returns takes the other."""
    windows = [
        window_of(0, (axis(0, 1), 0), (axis(0, 2), 5)),
        *(window_of(start, (axis(0, 1), 0)) for start in range(1, 8)),
        window_of(8, (axis(0, 2), 3), (axis(0, 1), 0)),
    ]
    assert ids_of(windows, by_embedding(memory_frames=20, similarity=0.4))[-1] == [1, 0]
    assert ids_of(windows, AssociationSettings())[-1] == [2, 0]


def test_the_track_that_ended_first_is_evicted_first():
    windows = [window_of(4 * n, (axis(n), 0)) for n in range(4)]
    returns = window_of(20, *((axis(n), n) for n in range(4)))
    for memory_tracks, expected in [(4, [0, 1, 2, 3]), (2, [4, 5, 2, 3]), (1, [4, 5, 6, 3])]:
        association = by_embedding(memory_frames=100, memory_tracks=memory_tracks)
        assert ids_of([*windows, returns], association)[-1] == expected


def test_exemplars_remember_what_the_average_has_forgotten():
    """Seen from behind for long, the object returns as it was at first."""
    windows = [window_of(0, (axis(0), 0)), *(window_of(n, (axis(1), 0)) for n in range(1, 30))]
    windows.append(window_of(40, (axis(0), 0)))
    assert ids_of(windows, by_embedding(memory_frames=20, similarity=0.5))[-1] == [1]
    assert ids_of(windows, by_embedding(memory_frames=20, similarity=0.5, exemplars=2))[-1] == [0]


def test_a_track_that_returns_is_handed_out_once_with_the_mean_over_all_its_windows():
    tracker = ClipTracker(2, by_embedding(memory_frames=10, similarity=0))
    windows = [window_of(0, (axis(0), 0)), window_of(6, (axis(0), 0)), window_of(30, (axis(1), 0), label=1)]
    windows[1].class_probs[0] = [0.5, 0.2, 0.3]
    released = []
    for item in windows:
        released.append(tracker.release(item.first_frame))
        tracker.update([clip_of(item)])
    assert tracker.running_instances().ids.tolist() == [1]
    (instances,) = [instances for _, instances in released if instances is not None]
    assert instances.ids.tolist() == [0] and instances is released[2][1]
    np.testing.assert_allclose(instances.class_probs, [[0.7, 0.125, 0.175]], atol=1e-6)
    frames = [frame for frames, _ in released for frame in frames]
    assert [frame.instance_ids.tolist() for frame in frames] == [[0], [0], [], [], [], [], [0], [0]]


def test_memory_is_bounded():
    """Objects pass, each a new one: what is kept does not grow, and nothing of it is as large as a mask."""
    rng, association = np.random.default_rng(0), by_embedding(memory_frames=10**6, memory_tracks=7, similarity=0.99)
    tracker, sizes, handed_out = ClipTracker(2, association), [], 0
    for start in range(0, 400, 2):
        _, finished = tracker.release(start)
        handed_out += 0 if finished is None else len(finished.ids)
        tracker.update([clip_of(window_of(start, (rng.normal(size=LENGTH), 0), (rng.normal(size=LENGTH), 3)))])
        sizes.append(len(pickle.dumps(tracker)))
        assert len(tracker.running_instances().ids) <= 2 + 2 + 7
    assert handed_out >= 400 - 11
    assert max(sizes) <= 1.2 * max(sizes[:30])


def test_a_remembered_track_takes_less_than_a_kilobyte():
    """Of the published models, whose embeddings are 256 numbers long, on YouTube-VIS."""
    assert TrackMemory(by_embedding(), num_classes=40, length=256).bytes_per_track <= 1000


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_embedding_that_is_not_finite_is_an_error(number):
    wrong = window_of(8, (axis(0), 0), ([number] + [1] * (LENGTH - 1), 3))
    with pytest.raises(ValueError, match="window at frame 8: found embeddings of 1 of 2 instances that are not finite"):
        ids_of([window_of(6, (axis(0), 0)), wrong], by_embedding())


def test_no_instances():
    nothing = Window(0, *(np.zeros((0, *shape), np.float32) for shape in ((3,), (2, *SIZE), (LENGTH,))))
    assert ids_of([nothing, window_of(2, (axis(0), 0))], by_embedding(memory_frames=4)) == [[], [0]]
    assert torch.equal(clip_of(nothing).embeddings, torch.zeros(0, LENGTH))
