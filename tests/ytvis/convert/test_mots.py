# SPDX-License-Identifier: Apache-2.0
"""MOTS's PNGs and text to YTVIS's json and back."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ytvis.label_maps import random_map, read_maps, write_frames, write_maps
from ytvis.small import SmallDataset

from ifc.ytvis.convert.mots import CATEGORIES, read_mots_png, read_mots_text, write_mots_png, write_mots_text
from ifc.ytvis.datasets.check import check_dataset
from ifc.ytvis.tracked_video import ytvis_content

NUMBERS = (1001, 1005, 2000, 2001, 10_000)


@pytest.fixture
def kitti(tmp_path):
    """Two sequences of PNGs, the frames of the second in MOTSChallenge's folder."""
    write_frames(tmp_path / "images/0002", [f"{frame:06d}" for frame in range(4)])
    write_frames(tmp_path / "images/0010/img1", ["000001", "000002"])
    maps = {f"{frame:06d}": random_map(frame, NUMBERS, np.uint16) for frame in range(4)}
    write_maps(tmp_path / "instances/0002", maps)
    write_maps(tmp_path / "instances/0010", {"000001": random_map(7, (2000,), np.uint16)})
    return tmp_path


def from_png(root, instances="instances"):
    return ytvis_content(read_mots_png(root / instances, root / "images", CATEGORIES), CATEGORIES, "test")


def from_text(root, texts):
    return ytvis_content(read_mots_text(root / texts, root / "images", CATEGORIES), CATEGORIES, "test")


def write_json(content, path):
    path.write_text(json.dumps(content))
    return path


def test_png_json_text_and_back_are_exact(kitti):
    content = from_png(kitti)
    path = write_json(content, kitti / "a.json")
    assert check_dataset(path, kitti / "images").faults == []
    assert write_mots_png(path, kitti / "back") == []
    assert read_maps(kitti / "back") == read_maps(kitti / "instances")
    write_mots_text(path, kitti / "texts")
    again = from_text(kitti, "texts")
    assert again["annotations"] == content["annotations"]
    write_mots_text(write_json(again, kitti / "b.json"), kitti / "texts2")
    for name in ("0002", "0010"):
        assert (kitti / f"texts2/{name}.txt").read_bytes() == (kitti / f"texts/{name}.txt").read_bytes()
    write_mots_png(kitti / "b.json", kitti / "back2")
    found, expected = read_maps(kitti / "back2"), read_maps(kitti / "instances")
    assert not np.any(found.pop("0010/000002.png"))  # text cannot tell a frame without objects from one not annotated
    assert found == expected


def test_text_is_what_the_format_says(kitti):
    write_mots_text(write_json(from_png(kitti), kitti / "a.json"), kitti / "texts")
    lines = [line.split() for line in (kitti / "texts/0002.txt").read_text().splitlines()]
    assert [(int(line[0]), int(line[1])) for line in lines] == sorted((f, n) for f in range(4) for n in NUMBERS)
    assert all(line[2] == line[1][:-3] and line[3:5] == ["12", "16"] for line in lines)
    (kitti / "texts/0002/gt").mkdir(parents=True)
    (kitti / "texts/0002.txt").rename(kitti / "texts/0002/gt/gt.txt")
    assert from_text(kitti, "texts")["annotations"] == from_png(kitti)["annotations"]


def test_region_to_be_ignored_is_a_crowd_of_each_class(kitti):
    content = from_png(kitti)
    crowds = [entry for entry in content["annotations"] if entry["iscrowd"]]
    assert [(entry["object_id"], entry["category_id"]) for entry in crowds] == [(10_000, 1), (10_000, 2)]
    assert crowds[0]["segmentations"] == crowds[1]["segmentations"]
    assert content["videos"][1]["annotated_frames"] == [0]
    assert content["videos"][1]["file_names"][0] == "0010/img1/000001.jpg"


def test_objects_without_numbers_are_counted_by_class(tmp_path):
    small = SmallDataset(tmp_path)
    small.content["annotations"].append({**small.content["annotations"][0], "id": 99, "iscrowd": 1})
    write_mots_png(small.write(), tmp_path / "out")
    maps = read_maps(tmp_path / "out")
    assert np.unique([maps[f"first/{frame:05d}.png"] for frame in range(3)]).tolist() == [0, 1001, 10_000]
    assert np.unique(maps["second/00000.png"]).tolist() == [0, 3001]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1001 1 12 16", "line 1: found '0 1001 1 12 16', expected frame object class height width rle"),
        ("\n0 1001 1 12 -16 P6", "line 2: found"),
        ("0 1001 2 12 16 P6", "line 1: found class 2, expected 1, as object 1001 says"),
        ("0 1001 1 12 17 P6", "line 1: found 12 x 17, expected the frames' 12 x 16"),
        ("0 1001 1 12 16 \x7fé", "line 1.counts: found no RLE"),
        ("0 1001 1 12 16 1", "line 1.counts: found runs that add up to 1, expected 192"),
        ("9 1001 1 12 16 P6", "line 1: found frame 9, expected one of the 4"),
        ("0 3001 3 12 16 P6", "line 1: found object 3001, expected 1000 * class + instance"),
        ("0 1001 1 12 16 P6\n0 1001 1 12 16 P6", "line 2: found object 1001 a second time on frame 0"),
        ("1" * 5000 + " 1001 1 12 16 P6", "line 1: found"),
    ],
)
def test_faulty_text_is_one_error(kitti, text, message):
    (kitti / "texts").mkdir()
    (kitti / "texts/0002.txt").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError) as error:
        from_text(kitti, "texts")
    assert f"0002.txt: {message}" in str(error.value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full((12, 16), 3001, np.uint16), "000000.png: found object 3001, expected 1000 * class + instance"),
        (np.full((12, 16), 5, np.uint16), "000000.png: found object 5"),
        (np.full((12, 16), 5, np.uint8), "000000.png: found an image of pixel format P, expected I;16"),
        (np.full((16, 12), 1001, np.uint16), "000000.png: found 16 x 12, expected 12 x 16"),
    ],
)
def test_faulty_png_is_one_error(kitti, labels, message):
    write_maps(kitti / "instances/0002", {"000000": labels})
    with pytest.raises(ValueError) as error:
        from_png(kitti)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("category_id", 10, "annotations[0].category_id: found 10, expected a number from 1 to 64 other than 10"),
        ("category_id", 65, "annotations[0].category_id: found 65"),
        ("object_id", 2001, "annotations[0].object_id: found 2001, expected a number of class 1"),
        ("object_id", 1005, "annotations[1].object_id: found 1005"),
        ("object_id", None, "annotations[0].object_id: found nothing"),
    ],
)
def test_json_that_does_not_fit_is_one_error_and_leaves_nothing(kitti, field, value, message):
    content = from_png(kitti)
    content["annotations"][0][field] = value
    content["categories"] += [{"id": 10, "name": "ten"}, {"id": 65, "name": "many"}]
    path = write_json(content, kitti / "a.json")
    for write in (write_mots_png, write_mots_text):
        with pytest.raises(ValueError) as error:
            write(path, kitti / "out")
        assert message in str(error.value)
        assert not (kitti / "out").exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_text_gives_tracks_or_one_error(kitti, data):
    (kitti / "texts").mkdir(exist_ok=True)
    field = st.one_of(st.sampled_from(["0", "1", "1001", "10000", "10", "12", "16", "P6", "d2a0"]), st.text(max_size=6))
    lines = data.draw(st.lists(st.lists(field, min_size=4, max_size=7).map(" ".join), max_size=4))
    (kitti / "texts/0002.txt").write_bytes("\n".join(lines).encode("utf-8", errors="surrogatepass"))
    try:
        from_text(kitti, "texts")
    except ValueError as error:
        assert "0002.txt: line" in str(error)
