# SPDX-License-Identifier: Apache-2.0
"""Reading jsons in YTVIS's format, good ones and faulty ones."""

import copy
import functools
import json
import re
import tracemalloc
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ifc.data.clip_masks import read_masks
from ifc.data.dataset_dicts import class_colors, load_ytvis_json


def test_records(tiny):
    first, second = load_ytvis_json(tiny.json_file, tiny.image_root)
    assert {key: first[key] for key in ("video_id", "height", "width", "length")} == {
        "video_id": 11,
        "height": 24,
        "width": 40,
        "length": 6,
    }
    assert second["video_id"] == 5
    assert first["file_names"] == [str(tiny.frame(0, t)) for t in range(6)]
    assert all(Path(name).is_file() for name in first["file_names"])
    assert [annotation["id"] for annotation in first["annotations"]] == [100, 101, 102]
    assert [annotation["iscrowd"] for annotation in first["annotations"]] == [0, 0, 1]
    written = tiny.content["annotations"]
    assert first["annotations"][1]["segmentations"] == written[1]["segmentations"]
    assert first["annotations"][1]["bboxes"] == written[1]["bboxes"]
    assert set(first["annotations"][0]) == {"id", "category_id", "iscrowd", "segmentations", "bboxes"}


def test_category_ids_become_contiguous_by_sorted_id(tiny):
    """Ids 2 and 7, listed as 7 and 2, are classes 0 and 1."""
    first, second = load_ytvis_json(tiny.json_file, tiny.image_root)
    assert [annotation["category_id"] for annotation in first["annotations"]] == [0, 1, 1]
    assert [annotation["category_id"] for annotation in second["annotations"]] == [1]


@pytest.mark.parametrize("annotations", ["absent", None])
def test_a_split_without_annotations_has_no_such_key(tiny, annotations):
    del tiny.content["annotations"]
    if annotations is None:
        tiny.content["annotations"] = None
    tiny.write()
    assert all("annotations" not in record for record in load_ytvis_json(tiny.json_file, tiny.image_root))


def test_optional_fields(tiny):
    """`length` of a video, and `iscrowd`, `bboxes` and `areas` of an annotation may be left out."""
    for video in tiny.content["videos"]:
        del video["length"]
    for annotation in tiny.content["annotations"]:
        for key in ("iscrowd", "bboxes", "areas"):
            del annotation[key]
    records = load_ytvis_json(tiny.write().json_file, tiny.image_root)
    assert records[0]["length"] == 6
    assert [annotation["iscrowd"] for annotation in records[0]["annotations"]] == [0, 0, 0]


def test_registration_completes_the_metadata_when_loaded(tiny, register):
    name = register(tiny)
    metadata = MetadataCatalog.get(name)
    assert (metadata.evaluator_type, metadata.json_file, metadata.image_root) == (
        "ytvis",
        tiny.json_file,
        tiny.image_root,
    )
    assert len(DatasetCatalog.get(name)) == 2
    assert metadata.thing_classes == ["early", "late"]
    assert metadata.thing_dataset_id_to_contiguous_id == {2: 0, 7: 1}
    assert len(metadata.thing_colors) == 2
    assert DatasetCatalog.get(name) == DatasetCatalog.get(name)  # loading again is no conflict


def test_registered_classes_rule(tiny, register):
    """The json may list some of the registered categories; contiguous ids are the registered ones."""
    classes = {"thing_classes": ["zero", "late", "early"], "thing_dataset_id_to_contiguous_id": {1: 0, 7: 1, 2: 2}}
    name = register(tiny, thing_colors=[[1, 2, 3]] * 3, **classes)
    first = DatasetCatalog.get(name)[0]
    assert [annotation["category_id"] for annotation in first["annotations"]] == [2, 1, 1]
    assert MetadataCatalog.get(name).thing_colors == [[1, 2, 3]] * 3


def test_registered_classes_in_another_spelling(tiny, register):
    tiny.content["categories"][1]["name"] = "early bird"
    name = register(tiny.write(), thing_classes=["Early_bird", "LATE"], thing_dataset_id_to_contiguous_id={2: 0, 7: 1})
    assert len(DatasetCatalog.get(name)) == 2
    assert MetadataCatalog.get(name).thing_classes == ["Early_bird", "LATE"]


@pytest.mark.parametrize(
    ("classes", "ids", "message"),
    [
        (["early", "other"], {2: 0, 7: 1}, "category 7: name: found 'late', expected 'other'"),
        (["early"], {2: 0}, "category 7: name: found 'late', expected no such category"),
    ],
)
def test_registered_classes_that_disagree(tiny, register, classes, ids, message):
    name = register(tiny, thing_classes=classes, thing_dataset_id_to_contiguous_id=ids)
    with pytest.raises(ValueError, match=f"{re.escape(tiny.json_file)}: {message}"):
        DatasetCatalog.get(name)


def test_colors_are_distinct():
    colors = class_colors(40)
    assert len({tuple(color) for color in colors}) == 40
    assert all(0 <= channel <= 255 for color in colors for channel in color)
    assert colors[:5] == class_colors(5)


def set_at(*path_and_value):
    """A change of the json: the last argument is put at the path."""
    *path, key, value = path_and_value

    def change(content):
        for step in path:
            content = content[step]
        content[key] = value

    return change


RLE = {"size": [24, 40], "counts": "PPPl0"}
SEGMENTATION = ("annotations", 1, "segmentations", 0)
FAULTS = {
    "not an object": (lambda content: content.clear(), "'categories': found None, expected a list"),
    "no videos": (set_at("videos", []), r"'videos': found \[\], expected at least one video \(the data set is empty\)"),
    "no categories": (set_at("categories", []), "'categories': found .*, expected at least one"),
    "videos no list": (set_at("videos", {"id": 1}), "'videos': found .*, expected a list"),
    "video no object": (set_at("videos", 1, 3), r"videos\[1\]: found 3, expected an object"),
    "video id twice": (set_at("videos", 1, "id", 11), r"videos\[1\].id: found 11, expected an id that is used once"),
    "video id of any size": (
        set_at("videos", 0, "id", 10**90),
        r"videos\[0\].id: found 10+\.\.\.0+, expected an integer",
    ),
    "video id text": (set_at("videos", 0, "id", "a"), r"videos\[0\].id: found 'a', expected an integer"),
    "category id twice": (set_at("categories", 1, "id", 7), r"categories\[1\].id: found 7, .* used once"),
    "annotation id twice": (set_at("annotations", 3, "id", 100), r"annotations\[3\].id: found 100, .* used once"),
    "category without name": (set_at("categories", 0, "name", None), "category 7: name: found None, expected a string"),
    "length": (set_at("videos", 0, "length", 5), "video 11: length: found 5, expected 6, the number of file_names"),
    "no frames": (set_at("videos", 0, "file_names", []), r"video 11: file_names: found \[\], expected a list of paths"),
    "frame no path": (set_at("videos", 0, "file_names", 2, None), r"video 11: file_names\[2\]: found None"),
    "height": (set_at("videos", 0, "height", -24), "video 11: height: found -24, expected a positive integer"),
    "height of any size": (
        set_at("videos", 0, "height", 10**4000),
        r"video 11: height: found 10+\.\.\.0+, expected a positive integer of at most 100000 pixels",
    ),
    "width": (set_at("videos", 1, "width", None), "video 5: width: found None, expected a positive integer"),
    "unknown video": (set_at("annotations", 0, "video_id", 6), "annotation 100: video_id: found 6, .* one of 'videos'"),
    "unknown category": (
        set_at("annotations", 2, "category_id", 3),
        "annotation 102: category_id: found 3, expected the id of one of 'categories'",
    ),
    "unknown video, true": (set_at("annotations", 0, "video_id", True), "annotation 100: video_id: found True"),
    "box of text": (
        set_at("annotations", 0, "bboxes", 3, [1, 2, "3", 4]),
        r"annotation 100: bboxes\[3\]: found \[1, 2, '3', 4\], expected \[x, y, width, height\] or null",
    ),
    "box of two": (set_at("annotations", 0, "bboxes", 0, [1, 2]), r"annotation 100: bboxes\[0\]: found \[1, 2\]"),
    "area of text": (
        set_at("annotations", 0, "areas", 1, "9"),
        r"annotation 100: areas\[1\]: found '9', expected a number or null",
    ),
    "area that is none": (set_at("annotations", 0, "areas", 1, float("nan")), r"annotation 100: areas\[1\]: found nan"),
    "iscrowd": (set_at("annotations", 0, "iscrowd", 2), "annotation 100: iscrowd: found 2, expected 0 or 1"),
    "too few segmentations": (
        lambda content: content["annotations"][0]["segmentations"].pop(),
        "annotation 100: length of segmentations: found 5, expected 6, an entry for each frame of video 11",
    ),
    "too many boxes": (
        lambda content: content["annotations"][0]["bboxes"].append(None),
        "annotation 100: length of bboxes: found 7, expected 6",
    ),
    "no segmentations": (set_at("annotations", 0, "segmentations", None), "annotation 100: segmentations: found None"),
    "RLE of another size": (
        set_at(*SEGMENTATION, {"size": [40, 24], "counts": "PPPl0"}),
        r"annotation 101: segmentations\[0\] of video 11: found an RLE of size \[40, 24\], expected \[24, 40\]",
    ),
    "RLE without size": (set_at(*SEGMENTATION, {"counts": "PPPl0"}), r"segmentations\[0\] .* an RLE of size None"),
    "RLE without counts": (set_at(*SEGMENTATION, {"size": [24, 40]}), "RLE counts of type NoneType"),
    "RLE that ends early": (
        set_at(*SEGMENTATION, {**RLE, "counts": "0"}),
        r"annotation 101: segmentations\[0\] .* found an RLE with counts that add up to 0, expected 960",
    ),
    "RLE that is none": (set_at(*SEGMENTATION, {**RLE, "counts": "PP\ud800"}), "an RLE with counts that are no RLE"),
    "RLE with empty counts": (set_at(*SEGMENTATION, {**RLE, "counts": ""}), "an RLE with empty counts"),
    "uncompressed RLE": (
        set_at(*SEGMENTATION, {**RLE, "counts": [900, 59]}),
        "counts that add up to 959, expected 960",
    ),
    "negative counts": (set_at(*SEGMENTATION, {**RLE, "counts": [961, -1]}), "counts that are not whole numbers"),
    "polygon of two points": (set_at(*SEGMENTATION, [[1, 2, 3, 4]]), "expected at least three points"),
    "polygon of text": (set_at(*SEGMENTATION, [["1"] * 6]), "coordinates that are not numbers of pixels"),
    "polygon without end": (set_at(*SEGMENTATION, [[float("inf")] * 6]), "coordinates that are not numbers of pixels"),
    "polygon with NaN": (set_at(*SEGMENTATION, [[float("nan")] * 6]), "coordinates that are not numbers of pixels"),
    "polygon of any size": (set_at(*SEGMENTATION, [[10**400] * 6]), "coordinates that are not numbers of pixels"),
    "segmentation a number": (set_at(*SEGMENTATION, 5), "found int, expected an RLE, polygons or null"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_name_file_place_finding_and_expectation(tiny, fault):
    change, message = FAULTS[fault]
    change(tiny.content)
    tiny.write()
    with pytest.raises(ValueError, match=f"^{re.escape(tiny.json_file)}: .*{message}"):
        load_ytvis_json(tiny.json_file, tiny.image_root)


def test_missing_json(tiny, register):
    Path(tiny.json_file).unlink()
    name = register(tiny)
    with pytest.raises(FileNotFoundError, match=f"{re.escape(tiny.json_file)}: annotation file of data set '{name}'"):
        DatasetCatalog.get(name)


def test_missing_image_root(tiny):
    with pytest.raises(FileNotFoundError, match="nowhere: image folder does not exist"):
        load_ytvis_json(tiny.json_file, str(tiny.root / "nowhere"))


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.999])
def test_json_cut_in_the_middle(tiny, kept):
    text = Path(tiny.json_file).read_text()
    length = kept if kept >= 1 or kept == 0 else int(kept * len(text))
    Path(tiny.json_file).write_text(text[:length])
    place = rf"line 1, column \d+ \(character \d+ of {length}\)"
    with pytest.raises(ValueError, match=f"{re.escape(tiny.json_file)}: not valid json, or cut off, at {place}"):
        load_ytvis_json(tiny.json_file, tiny.image_root)


def test_json_that_is_no_text(tiny):
    Path(tiny.json_file).write_bytes(b"\xff\xd8\xff\xe0 a picture")
    with pytest.raises(ValueError, match=f"{re.escape(tiny.json_file)}: not text in UTF-8"):
        load_ytvis_json(tiny.json_file, tiny.image_root)


def test_json_that_is_nested_without_end(tiny):
    Path(tiny.json_file).write_text("[" * 100_000)
    with pytest.raises(ValueError, match=re.escape(tiny.json_file)):
        load_ytvis_json(tiny.json_file, tiny.image_root)


# Fuzzing

NUMBERS = st.integers() | st.floats() | st.sampled_from([0, -1, 2**31, 2**63, 10**4000, 1e308, float("nan")])
WORDS = st.sampled_from(["", "id", "size", "counts", "PPPl0", "0" * 500, "\ud800", "\0", "../..", "é"])
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS | st.builds(lambda: [[] for _ in range(300)]),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=8,
)


def load_within_bounds(json_file, image_root):
    """Load, and take the masks of what was loaded, in memory of at most 100 times the file's size.

    Returns the error, if there was one, which is one line that names the file and what was found in it.
    """
    error, loaded = None, None
    tracemalloc.start()
    try:
        loaded = load_ytvis_json(json_file, image_root)
        for record in loaded:
            for annotation in record.get("annotations", []):
                for segmentation in filter(None, annotation["segmentations"]):
                    read_masks([segmentation], (record["height"], record["width"]), "here")
    except ValueError as raised:
        error = str(raised)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 500_000 + 100 * Path(json_file).stat().st_size
    if error is not None:
        assert loaded is None  # what was loaded can be used
        assert re.match(rf"{re.escape(json_file)}: (\S.*: found .*expected|not valid json|not text|nested)", error)
        assert len(error) < len(json_file) + 400
    return error


fuzz = functools.partial(settings, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fuzz(max_examples=200)
@given(data=st.data())
def test_any_value_anywhere_gives_a_result_or_one_clear_error(tiny, data):
    content = copy.deepcopy(tiny.content)
    for _ in range(data.draw(st.integers(1, 3))):
        node, path = content, []
        while isinstance(node, dict | list) and node and (not path or data.draw(st.integers(0, 3)) > 0):
            parent = node
            keys = sorted(node) if isinstance(node, dict) else range(len(node))
            path.append(data.draw(st.sampled_from(list(keys))))
            node = parent[path[-1]]
        parent[path[-1]] = data.draw(JSON_VALUES)
    Path(tiny.json_file).write_text(json.dumps(content))
    load_within_bounds(tiny.json_file, tiny.image_root)


@fuzz(max_examples=100)
@given(cut=st.integers(0, 10**6), damage=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=3))
def test_damaged_text_gives_a_result_or_one_clear_error(tiny, cut, damage):
    text = bytearray(json.dumps(tiny.content).encode())
    for place, value in damage:
        text[place % len(text)] = value
    kept = cut % len(text) if cut % 3 == 0 else len(text)
    Path(tiny.json_file).write_bytes(text[:kept])
    error = load_within_bounds(tiny.json_file, tiny.image_root)
    assert kept == len(text) or error


@pytest.mark.parametrize("depth", [10, 300, 900, 990, 5000])
@pytest.mark.parametrize("path", [("videos", 0, "id"), (*SEGMENTATION,), (*SEGMENTATION, "size")])
def test_nesting_of_any_depth(tiny, path, depth):
    set_at(*path, "MARK")(tiny.content)
    Path(tiny.json_file).write_text(json.dumps(tiny.content).replace('"MARK"', "[" * depth + "]" * depth))
    assert load_within_bounds(tiny.json_file, tiny.image_root)


@pytest.mark.parametrize("digits", [4000, 5000, 100_000])
def test_a_number_of_any_length(tiny, digits):
    tiny.content["videos"][0]["width"] = "MARK"
    Path(tiny.json_file).write_text(json.dumps(tiny.content).replace('"MARK"', "9" * digits))
    assert load_within_bounds(tiny.json_file, tiny.image_root)


@pytest.mark.parametrize("character", "0oPO")
def test_memory_of_a_long_rle(tiny, character):
    set_at(*SEGMENTATION, {**RLE, "counts": character * 300_000 + "0"})(tiny.content)
    tiny.write()
    error = load_within_bounds(tiny.json_file, tiny.image_root)
    assert re.search(r"annotation 101: segmentations\[0\] of video 11: found an RLE with counts that", error)
