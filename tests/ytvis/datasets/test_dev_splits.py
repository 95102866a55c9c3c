# SPDX-License-Identifier: Apache-2.0
"""The named splits: what a name stands for never changes."""

import json

import pytest

from ifc.data.catalog import VIDEO_DATASETS
from ifc.ytvis.datasets.dev_splits import DEV_SPLITS, FOLDER, is_held_back, named_videos
from ifc.ytvis.datasets.split import read_dataset


def write_videos(path, folders):
    """A json of videos in these folders, of one frame and without objects."""
    content = {
        "videos": [
            {"id": number, "width": 8, "height": 8, "length": 1, "file_names": [f"{folder}/00000.jpg"]}
            for number, folder in enumerate(folders, start=1)
        ],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [],
    }
    path.write_text(json.dumps(content))
    return path


def test_the_rule_is_that_of_every_version_and_machine():
    names = ["0043f083b5", "2b88561d", *(f"{number:02d}" for number in range(20))]
    assert {name for name in names if is_held_back(name)} == {"05", "06", "08", "11", "14", "19"}


@pytest.mark.parametrize("name", DEV_SPLITS)
def test_a_name_is_made_of_the_data_set_that_it_names(name, tmp_path):
    folders = [f"{number:010x}" for number in range(DEV_SPLITS[name].num_videos)]
    dataset = read_dataset(write_videos(tmp_path / "train.json", [f"frames/{folder}" for folder in folders]))
    held_back = named_videos(name, dataset)
    assert held_back == {number for number, folder in enumerate(folders, start=1) if is_held_back(folder)}
    assert 0.13 < len(held_back) / len(folders) < 0.17


def test_another_number_of_videos_or_another_name_is_refused(tmp_path):
    dataset = read_dataset(write_videos(tmp_path / "train.json", ["a", "b"]))
    with pytest.raises(ValueError, match=r"train\.json: found 2 videos, expected the 607 of OVIS"):
        named_videos("ifc-dev-ovis", dataset)
    with pytest.raises(ValueError, match="found 'ifc-dev', expected one of ifc-dev-2019, "):
        named_videos("ifc-dev", dataset)


def test_both_parts_are_registered_with_the_training_frames():
    for _, splits in VIDEO_DATASETS.values():
        frames = splits["train"][1]
        assert splits["ifc_dev"] == (f"{FOLDER}/val.json", frames)
        assert splits["ifc_dev_train"] == (f"{FOLDER}/train.json", frames)
