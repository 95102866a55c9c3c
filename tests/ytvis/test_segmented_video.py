# SPDX-License-Identifier: Apache-2.0
"""Reading an output folder of `ifc segment`, whole, unfinished and damaged."""

import json

import numpy as np
import pytest
from segmented_folder import write_folder

from ifc.ytvis.segmented_video import read_folder


@pytest.fixture
def folder(tmp_path):
    masks = np.zeros((2, 3, 6, 8), dtype=bool)
    masks[0, :, 1:3, 2:5] = True
    masks[1, 1:, 4:, :] = True
    return write_folder(tmp_path / "clip", "clip.mp4", masks, [0.0, 0.5, 0.7], scores=[0.6, 0.9])


def edit(path, *keys, value):
    """Set a field of a json, or of the last line of a file of jsons."""
    *before, last = path.read_text().splitlines()
    content = field = json.loads(last)
    for key in keys[:-1]:
        field = field[key]
    field[keys[-1]] = value
    path.write_text("\n".join([*before, json.dumps(content)]) + "\n")


def test_reads_frames_and_tracks_best_first(folder):
    video = read_folder(folder)
    assert (video.size, video.times, video.status) == ((6, 8), [0.0, 0.5, 0.7], "finished")
    assert [(track.track_id, track.category_id, track.score) for track in video.tracks] == [(2, 2, 0.9), (1, 1, 0.6)]
    assert [[(o.track_id, o.area) for o in objects] for objects in video.objects] == [
        [(1, 6)],
        [(1, 6), (2, 16)],
        [(1, 6), (2, 16)],
    ]


def test_an_unfinished_folder_gives_what_is_there(folder):
    edit(folder / "video.json", "status", value="running")
    edit(folder / "video.json", "tracks", value=[])
    path = folder / "objects.jsonl"
    path.write_text(path.read_text()[:-20])
    video = read_folder(folder)
    assert video.times == [0.0, 0.5]
    assert {track.track_id for track in video.tracks} == {1, 2}


@pytest.mark.parametrize(
    ("file", "keys", "value", "names"),
    [
        ("video.json", ["height"], -1, "height"),
        ("video.json", ["status"], None, "status"),
        ("video.json", ["categories", 0, "name"], 5, "categories[0].name"),
        ("video.json", ["tracks", 0, "id"], "1", "tracks[0].id"),
        ("objects.jsonl", ["time"], 0.4, "line 3: time"),
        ("objects.jsonl", ["objects", 1, "track_id"], 1, "objects[1].track_id"),
        ("objects.jsonl", ["objects", 0, "category_id"], 7, "objects[0].category_id"),
        ("objects.jsonl", ["objects", 0, "score"], "high", "objects[0].score"),
        ("objects.jsonl", ["objects", 0, "segmentation", "counts"], "~~~", "objects[0].segmentation"),
        ("objects.jsonl", ["objects", 0, "segmentation", "size"], [6, 9], "objects[0].segmentation.size"),
    ],
)
def test_a_fault_is_named_with_file_and_field(folder, file, keys, value, names):
    edit(folder / file, *keys, value=value)
    with pytest.raises(ValueError) as raised:
        read_folder(folder)
    assert str(folder / file) in str(raised.value) and names in str(raised.value)


def test_files_outside_of_the_folder_are_not_offered(folder):
    (folder.parent / "secret.txt").write_text("secret")
    edit(folder / "video.json", "files", value={"a": "../secret.txt", "b": "objects.jsonl", "c": "gone", "d": 5})
    assert read_folder(folder).files == ["objects.jsonl"]
