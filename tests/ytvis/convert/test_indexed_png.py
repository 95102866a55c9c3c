# SPDX-License-Identifier: Apache-2.0
"""DAVIS, YouTube-VOS, MOSE to YTVIS's json and back."""

import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from ytvis.label_maps import random_map, read_maps, write_frames, write_maps
from ytvis.small import SmallDataset, huge_png, rectangle

from ifc.ytvis.convert.indexed_png import palette, read_indexed_png, write_indexed_png
from ifc.ytvis.datasets.check import check_dataset
from ifc.ytvis.tracked_video import ytvis_content

STEMS = ["00000", "00005", "00010"]


@pytest.fixture
def vos(tmp_path):
    """Two videos: one with objects 1, 3 and 255 on all frames, one with object 2, annotated on the first frame."""
    root = tmp_path / "vos"
    for name in ("bear", "a b"):
        write_frames(root / "JPEGImages" / name, STEMS)
    write_maps(root / "Annotations/bear", {stem: random_map(seed, (1, 3, 255)) for seed, stem in enumerate(STEMS)})
    write_maps(root / "Annotations/a b", {STEMS[0]: random_map(9, (2,))})
    return root


def convert(root, **options):
    """The json of a folder of PNGs, and the remarks."""
    videos, categories, remarks = read_indexed_png(root, **options)
    return ytvis_content(videos, categories, "test"), remarks


def write_json(content, path):
    path.write_text(json.dumps(content))
    return path


def test_round_trip_is_exact(vos, tmp_path):
    content, remarks = convert(vos)
    path = write_json(content, tmp_path / "a.json")
    assert check_dataset(path, vos / "JPEGImages").faults == []
    assert remarks == write_indexed_png(path, tmp_path / "back") == []
    assert read_maps(tmp_path / "back/Annotations") == read_maps(vos / "Annotations")
    os.rename(vos / "JPEGImages", tmp_path / "back/JPEGImages")
    assert convert(tmp_path / "back")[0] == content


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.sets(st.integers(1, 255), max_size=6),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 2**32),
    annotated=st.sets(st.integers(0, 3), min_size=1),
)
def test_any_label_maps_make_the_round_trip(tmp_path_factory, numbers, size, seed, annotated):
    root = tmp_path_factory.mktemp("any")
    write_frames(root / "JPEGImages/v", range(4), size)
    maps = {str(frame): random_map(seed + frame, numbers, size=size) for frame in annotated}
    write_maps(root / "Annotations/v", maps)
    path = write_json(convert(root)[0], root / "a.json")
    write_indexed_png(path, root / "back")
    assert read_maps(root / "back/Annotations") == read_maps(root / "Annotations")


def test_json_tells_objects_and_frames(vos):
    content, _ = convert(vos)
    assert content["categories"] == [{"id": 1, "name": "object"}]
    first, second = content["videos"]
    assert first["file_names"] == [f"a b/{stem}.jpg" for stem in STEMS]
    assert (first["annotated_frames"], "annotated_frames" in second) == ([0], False)
    assert [entry["object_id"] for entry in content["annotations"]] == [2, 1, 3, 255]
    assert content["annotations"][0]["segmentations"][1:] == [None, None]
    videos, categories, _ = read_indexed_png(vos)
    kept = ytvis_content(videos, categories, "test", only_annotated=True)
    assert [video["length"] for video in kept["videos"]] == [1, 3]


def test_meta_gives_categories_and_comes_back(vos, tmp_path):
    objects = {"bear": {"1": "bear", "3": "ant", "255": "bear", "7": "ghost"}, "a b": {"2": "ant"}}
    meta = {
        "videos": {
            name: {"objects": {number: {"category": category} for number, category in entries.items()}}
            for name, entries in objects.items()
        }
    }
    write_json(meta, vos / "meta.json")
    content, remarks = convert(vos)
    assert [category["name"] for category in content["categories"]] == ["ant", "bear", "ghost"]
    assert [entry["category_id"] for entry in content["annotations"]] == [1, 2, 1, 2]
    assert remarks == [f"1 objects of {vos / 'meta.json'} have no pixel in any PNG and were left out"]
    write_indexed_png(write_json(content, tmp_path / "a.json"), tmp_path / "back")
    back = json.loads((tmp_path / "back/meta.json").read_text())["videos"]
    assert back["bear"]["objects"]["255"] == {"category": "bear", "frames": STEMS}
    assert back["a b"]["objects"] == {"2": {"category": "ant", "frames": STEMS[:1]}}


def test_davis_layout_list_of_videos_and_void(vos, tmp_path):
    for kind in ("Annotations", "JPEGImages"):
        (tmp_path / "davis" / kind).mkdir(parents=True)
        os.rename(vos / kind, tmp_path / "davis" / kind / "480p")
    content, _ = convert(tmp_path / "davis", videos=["bear"], void=255)
    assert [video["file_names"][0] for video in content["videos"]] == ["bear/00000.jpg"]
    assert [entry["object_id"] for entry in content["annotations"]] == [1, 3]


def test_ending_of_the_pngs_may_be_in_capitals(vos):
    expected, _ = convert(vos)
    for path in list(vos.glob("Annotations/*/*.png")):
        path.rename(path.with_suffix(".PNG"))
    assert convert(vos)[0] == expected


def test_palette_is_that_of_davis():
    colors = palette()
    assert colors[:4].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert colors[[20, 255]].tolist() == [[0, 64, 128], [224, 224, 192]]
    assert len(np.unique(colors, axis=0)) == 256


def test_overlap_goes_to_the_object_listed_last_and_is_counted(tmp_path):
    small = SmallDataset(tmp_path)
    small.content["annotations"][1]["segmentations"][0] = small.content["annotations"][0]["segmentations"][0]
    (remark,) = write_indexed_png(small.write(), tmp_path / "out")
    assert remark.startswith("42 pixels of 1 frames belong to several objects")
    maps = read_maps(tmp_path / "out/Annotations")
    assert np.bincount(np.ravel(maps["first/00000.png"])).tolist() == [726, 0, 42]
    assert np.array_equal(maps["second/00000.png"], rectangle(2, 3, 10, 5))  # a polygon


def spoil(content):
    def change(vos):
        (vos / "Annotations/bear/00005.png").write_bytes(content)

    return change


def save(picture):
    return lambda vos: picture.save(vos / "Annotations/bear/00005.png")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil(b""), "bear/00005.png: found an empty file, expected"),
        (spoil(b"PNG"), "bear/00005.png: found no image, expected"),
        (save(Image.new("P", (16, 11))), "bear/00005.png: found 11 x 16, expected 12 x 16"),
        (save(Image.new("RGB", (16, 12))), "bear/00005.png: found an image of pixel format RGB, expected P or L"),
        (lambda vos: os.rename(vos / "Annotations/bear/00005.png", vos / "Annotations/bear/5.png"), "found no frame 5"),
        (lambda vos: os.rename(vos / "JPEGImages/bear", vos / "x"), "bear: found no such folder"),
        (lambda vos: os.rename(vos / "JPEGImages", vos / "x"), "JPEGImages: found no such folder"),
        (lambda vos: (vos / "Annotations/empty").mkdir(), "JPEGImages/empty: found no such folder"),
        (lambda vos: write_frames(vos / "JPEGImages/bear", ["00000.x"]), None),
        (lambda vos: (vos / "JPEGImages/bear/00000.png").write_bytes(b""), "00000.jpg and 00000.png"),
        (lambda vos: (vos / "meta.json").write_text("{"), "meta.json: not valid json, or cut off, at line 1"),
        (lambda vos: (vos / "meta.json").write_text("[]"), "meta.json: videos: found nothing"),
        (lambda vos: (vos / "meta.json").write_text('{"videos": {"bear": 1}}'), "'bear'.objects: found nothing"),
        (lambda vos: (vos / "meta.json").write_text('{"videos": {"v": {"objects": {"-1": {}}}}}'), "'-1': found this"),
        (lambda vos: (vos / "meta.json").write_text('{"videos": {"v": {"objects": {"1": 2}}}}'), "'1'.category: found"),
        (lambda vos: (vos / "meta.json").write_text('{"videos": {}}'), "found object 2, expected only those of meta"),
    ],
)
def test_faulty_folder_is_one_error(vos, change, message):
    change(vos)
    if message is None:
        assert convert(vos)
        return
    with pytest.raises(ValueError) as error:
        convert(vos)
    assert message in str(error.value) and str(vos) in str(error.value)


def test_png_that_claims_to_be_huge_is_refused_before_decoding(vos):
    (vos / "Annotations/bear/00005.png").write_bytes(huge_png())
    with pytest.raises(ValueError, match="bear/00005.png: found 11000 x 11000, expected 12 x 16"):
        convert(vos)
    for stem in STEMS:
        (vos / f"JPEGImages/bear/{stem}.jpg").unlink()
        (vos / f"JPEGImages/bear/{stem}.png").write_bytes(huge_png())
    with pytest.raises(ValueError, match="00000.png: found .* bytes for 11000 x 11000 pixels, expected a whole file"):
        convert(vos)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["videos", 0, "file_names", 0], "/etc/0.jpg", "file_names[0]: found '/etc/0.jpg', expected FOLDER/FRAME"),
        (["videos", 0, "file_names", 0], "../x/0.jpg", "file_names[0]: found '../x/0.jpg'"),
        (["videos", 0, "file_names", 0], "\ud800/0.jpg", "file_names[0]: found '\\ud800/0.jpg'"),
        (["videos", 0, "file_names", 0], "0.jpg", "file_names[0]: found '0.jpg'"),
        (["videos", 0, "file_names", 0], 7, "file_names[0]: found 7"),
        (["videos", 0, "file_names", 0], "x/0.jpg", "file_names: found 2 folders, 3 names, expected 1 and 3"),
        (["videos", 0, "file_names", 2], "bear/00000.jpg", "file_names: found 1 folders, 2 names"),
        (["videos", 0, "annotated_frames"], [3], "annotated_frames: found [3], expected indices of the 3 frames"),
        (["videos", 1, "id"], 1, "videos[1].id: found 1"),
        (["videos", 0, "width"], 10**9, "videos[0]: height x width"),
        (["annotations", 1, "object_id"], 256, "annotations[1].object_id: found 256"),
        (["annotations", 1, "object_id"], 3, "annotations[2].object_id: found 3"),
        (["annotations", 1, "object_id"], None, "annotations[1].object_id: found nothing"),
        (["annotations", 1, "segmentations"], [None], "annotations[1].segmentations: found 1 entries"),
        (
            ["annotations", 1, "segmentations", 0],
            [[1, 1, 5, 1, 5]],
            "segmentations[0][0]: found [1, 1, 5, 1, 5], expected",
        ),
        (["annotations", 1, "segmentations", 0], [[1, 1, 5, 1, 5, 99]], "segmentations[0][0]: found 99 in a polygon"),
        (["annotations", 1, "segmentations", 0], 3, "segmentations[0]: found 3, expected an RLE"),
        (
            ["annotations", 1, "segmentations", 0, "counts"],
            "11",
            "segmentations[0].counts: found runs that add up to 2",
        ),
        (["annotations", 1, "segmentations", 0, "size"], [16, 12], "segmentations[0].size: found [16, 12]"),
        (["annotations", 1, "category_id"], 4, "category_id: found 4"),
    ],
)
def test_faulty_json_is_one_error_and_leaves_nothing(vos, tmp_path, path, value, message):
    content, _ = convert(vos)
    content["videos"][0]["file_names"] = [f"bear2/{stem}.jpg" for stem in STEMS]
    if path[:2] == ["videos", 0] and value == "bear/00000.jpg":
        value = "bear2/00000.jpg"
    entry = content
    for key in path[:-1]:
        entry = entry[key]
    entry[path[-1]] = value
    json_file = write_json(content, tmp_path / "a.json")
    with pytest.raises(ValueError) as error:
        write_indexed_png(json_file, tmp_path / "back")
    assert message in str(error.value) and str(json_file) in str(error.value)
    assert not [path for path in (tmp_path / "back").rglob("*")]


def test_existing_folder_is_kept(vos, tmp_path):
    json_file = write_json(convert(vos)[0], tmp_path / "a.json")
    with pytest.raises(ValueError, match="Annotations: exists already"):
        write_indexed_png(json_file, vos)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 200), new=st.binary(max_size=12))
def test_any_bytes_in_a_png_give_masks_or_one_error(vos, start, new):
    path = vos / "Annotations/bear/00005.png"
    kept = path.read_bytes()
    path.write_bytes(kept[:start] + new + kept[start + len(new) :])
    try:
        convert(vos)
    except ValueError as error:
        assert "bear" in str(error)
    finally:
        path.write_bytes(kept)
