# SPDX-License-Identifier: Apache-2.0
"""Splits: exact in number, balanced, the same whatever does not matter."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ifc.ytvis.datasets.split import choose_videos, part_content, read_dataset, read_split_record, split_record

TRACKS = st.dictionaries(
    st.integers(0, 10**6), st.dictionaries(st.integers(1, 5), st.integers(1, 4), max_size=3), min_size=2, max_size=20
)


def long_tailed_tracks(num_videos: int = 600) -> dict[int, dict[int, int]]:
    """Videos of 30 classes, the rarest with 3 videos."""
    rng = random.Random(0)
    tracks: dict[int, dict[int, int]] = {video: {} for video in range(num_videos)}
    for category in range(30):
        for video in rng.sample(range(num_videos), 3 + category**2 // 6):
            tracks[video][category] = rng.choice([1, 1, 1, 2, 5])
    return tracks


@given(TRACKS, st.data())
def test_number_is_exact_and_order_does_not_matter(tracks, data):
    num_val = data.draw(st.integers(1, len(tracks) - 1))
    val = choose_videos(tracks, num_val, seed=3)
    assert len(val) == num_val and val <= set(tracks)
    shuffled = data.draw(st.permutations(list(tracks)))
    assert choose_videos({video: tracks[video] for video in shuffled}, num_val, seed=3) == val


def test_choice_is_that_of_every_version_and_machine():
    tracks = {video: {video % 3: 1 + video % 2} for video in range(20)}
    assert choose_videos(tracks, 5, seed=0) == {4, 7, 9, 17, 18}
    assert choose_videos(tracks, 5, seed=1) != choose_videos(tracks, 5, seed=0)


@pytest.mark.parametrize("seed", range(3))
def test_classes_have_the_share_of_the_videos(seed):
    tracks = long_tailed_tracks()
    val = choose_videos(tracks, 60, seed)
    for category in range(30):
        total, found = (sum(tracks[video].get(category, 0) for video in videos) for videos in (tracks, val))
        # A tenth, but one at least; a chance choice is up to 15 tracks off.
        assert abs(found - max(1, total / 10)) <= 2, category


@pytest.mark.parametrize("num_val", [0, 2, -1])
def test_empty_part_is_refused(num_val):
    with pytest.raises(ValueError, match=rf"validation videos: found {num_val}, expected 1 to 1 of 2 videos"):
        choose_videos({1: {}, 2: {}}, num_val, 0)


def test_parts_keep_everything_else(small):
    small.content["licenses"] = [{"name": "free"}]
    small.content["videos"][0]["note"] = "kept"
    dataset = read_dataset(small.write())
    train, val = part_content(dataset, {5}), part_content(dataset, {2})
    assert train["licenses"] == val["licenses"] == small.content["licenses"]
    assert train["categories"] == val["categories"] == small.content["categories"]
    assert (train["videos"], val["videos"]) == ([small.content["videos"][0]], [small.content["videos"][1]])
    assert train["annotations"] + val["annotations"] == small.content["annotations"]


def test_record_makes_the_split_again(small, tmp_path):
    dataset = read_dataset(small.write())
    record = split_record(dataset, {2}, {"seed": 0})
    assert record["val"] == [{"id": 2, "folder": "second"}]
    path = tmp_path / "split.json"
    path.write_text(json.dumps(record))
    assert read_split_record(path, dataset) == ({2}, True)
    small.content["info"] = {}
    assert read_split_record(path, read_dataset(small.write())) == ({2}, False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.update(val=[]), "val: found a split|1 of 2 videos in neither train nor val, such as 2"),
        (lambda record: record.update(val=None), "val: found nothing, expected a list of videos"),
        (lambda record: record.update(val=[2, 2]), r"val\[1\]: found video 2 a second time"),
        (lambda record: record.update(val=[2, 5]), "found video 5 in train and in val"),
        (lambda record: record.update(val=[7]), r"val\[0\]: found 7, expected a video of"),
        (lambda record: record.update(val=[{"id": []}]), r"val\[0\]: found {'id': \[\]}, expected a video of"),
        (
            lambda record: record["val"][0].update(folder="x"),
            r"val\[0\]: found video 2 in folder 'x', expected 'second'",
        ),
    ],
)
def test_faulty_record_is_one_error(small, tmp_path, change, message):
    dataset = read_dataset(small.write())
    record = split_record(dataset, {2}, {"seed": 0})
    change(record)
    path = tmp_path / "split.json"
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=message) as error:
        read_split_record(path, dataset)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("annotations"), "annotations: found none"),
        (lambda content: content["videos"][1].update(id=5), r"videos\[1\].id: found 5, expected another id"),
        (lambda content: content["annotations"][0].update(category_id=9), "category_id: found 9, expected"),
        (lambda content: content.clear(), "categories: found nothing, expected a list"),
    ],
)
def test_faulty_data_set_is_one_error(small, change, message):
    change(small.content)
    path = small.write()
    with pytest.raises(ValueError, match=message) as error:
        read_dataset(path).tracks()
    assert str(path) in str(error.value)
