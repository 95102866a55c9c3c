# SPDX-License-Identifier: Apache-2.0
"""Reading jsons in YTVIS's format, good ones and faulty ones."""

import json
import re
import tracemalloc
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from ifc.data.dataset_dicts import load_ytvis_json
from ifc.ytvis.ground_truth import read_ground_truth


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
    for mask, segmentation in zip(first["annotations"][1]["segmentations"], written[1]["segmentations"], strict=True):
        assert mask == (segmentation and {**segmentation, "counts": segmentation["counts"].encode()})
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


def set_at(*path_and_value):
    """A change of the json: the last argument is put at the path."""
    *path, key, value = path_and_value

    def change(content):
        for step in path:
            content = content[step]
        content[key] = value

    return change


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
    place = rf"line 1, column \d+ \(character \d+ of {length}"
    with pytest.raises(ValueError, match=f"{re.escape(tiny.json_file)}: not valid json, or cut off, at {place}"):
        load_ytvis_json(tiny.json_file, tiny.image_root)


def test_json_that_is_no_text(tiny):
    Path(tiny.json_file).write_bytes(b"\xff\xd8\xff\xe0 a picture")
    with pytest.raises(ValueError, match=f"{re.escape(tiny.json_file)}: not valid json: found bytes that are no UTF-8"):
        load_ytvis_json(tiny.json_file, tiny.image_root)


def test_a_video_without_file_names(tiny):
    """The metric does without frames, training does not."""
    del tiny.content["videos"][1]["file_names"]
    tiny.write()
    with pytest.raises(ValueError, match=r"videos\[1\].file_names: found nothing, expected a list of paths"):
        load_ytvis_json(tiny.json_file, tiny.image_root)


def test_what_is_in_use_is_read_once(tiny):
    """An evaluation's loader and metric share it; a file that was written again is read again."""
    first = read_ground_truth(tiny.json_file)
    assert read_ground_truth(tiny.json_file) is first
    tiny.content["categories"][0]["name"] = "later"
    assert read_ground_truth(tiny.write().json_file).categories[7] == "later"


SEGMENTATION = ("annotations", 1, "segmentations", 0)


def load_within_bounds(json_file, image_root):
    """Load in memory of at most 100 times the file's size; the error, if there was one."""
    error = None
    tracemalloc.start()
    try:
        load_ytvis_json(json_file, image_root)
    except ValueError as raised:
        error = str(raised)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 500_000 + 100 * Path(json_file).stat().st_size
    if error is not None:
        assert re.match(rf"{re.escape(json_file)}: (\S.*: found .*expected|not valid json)", error)
        assert len(error) < len(json_file) + 400
    return error


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
    set_at(*SEGMENTATION, {"size": [24, 40], "counts": character * 300_000 + "0"})(tiny.content)
    tiny.write()
    error = load_within_bounds(tiny.json_file, tiny.image_root)
    assert "video 11, annotation 101, frame 0: annotations[1].segmentations[0].counts: found " in error
