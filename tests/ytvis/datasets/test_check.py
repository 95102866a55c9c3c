# SPDX-License-Identifier: Apache-2.0
"""The checker: every kind of fault, at its place, and nothing else."""

import json
import math
import os
import resource
import string

import numpy as np
import pytest
from ytvis.small import HEIGHT, WIDTH, huge_png
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ifc.ytvis.datasets.check import Tolerance, check_dataset
from ifc.ytvis.faults import KINDS
from ifc.ytvis.images import image_size, read_image
from ifc.ytvis.reports.dataset_page import make_page

SQUARE = [2, 3, 12, 3, 12, 8, 2, 8]
A, V = "annotations", "videos"


def places(faults):
    """kind, video, annotation, frame and field of each fault."""
    return {(fault.kind, fault.video, fault.annotation, fault.frame, fault.field) for fault in faults}


def check(small, **options):
    return check_dataset(small.write(), small.image_root, **options)


def test_good_data_set_has_no_faults(small):
    result = check(small, decode=True)
    assert result.faults == []
    assert (result.num_annotations, result.num_frames) == (3, 5)


@pytest.mark.parametrize(
    ("path", "value", "faults"),
    [
        ([A], {}, [("field", None, None, None, "annotations")]),
        ([A, 0], 7, [("field", None, None, None, "annotations[0]")]),
        ([A, 1, "id"], 10**30, [("field", 5, str(10**30), None, "annotations[1].id")]),
        (["categories", 0, "id"], "1", [("field", None, None, None, "categories[0].id"),
                                        ("unknown id", 5, 11, None, "annotations[1].category_id")]),
        (["categories", 1, "id"], 1, [("used twice", None, None, None, "categories[1].id"),
                                      ("unknown id", 5, 10, None, "annotations[0].category_id"),
                                      ("unknown id", 2, 12, None, "annotations[2].category_id")]),
        (["categories", 1, "name"], "cat", [("used twice", None, None, None, "categories[1].name")]),
        (["categories", 0, "name"], None, [("field", None, None, None, "categories[0].name")]),
        ([V, 1, "id"], 5, [("used twice", None, None, None, "videos[1].id"),
                           ("unknown id", 2, 12, None, "annotations[2].video_id")]),
        ([V, 0, "height"], -1, [("field", 5, None, None, "videos[0]: height x width")]),
        ([V, 0, "width"], 10**9, [("field", 5, None, None, "videos[0]: height x width")]),
        ([V, 0, "length"], 4, [("length", 5, None, None, "videos[0].length")]),
        ([V, 0, "length"], "3", [("field", 5, None, None, "videos[0].length")]),
        ([V, 1, "file_names"], "a.jpg", [("field", 2, None, None, "videos[1].file_names")]),
        ([V, 1, "file_names", 1], 3, [("field", 2, None, 1, "videos[1].file_names[1]")]),
        ([V, 1, "file_names", 1], "second/00000.jpg", [("used twice", 2, None, 1, "videos[1].file_names[1]")]),
        ([V, 1, "file_names", 1], "second/9.jpg", [("missing frame", 2, None, 1, "videos[1].file_names[1]")]),
        ([V, 1, "file_names", 1], "", [("field", 2, None, 1, "videos[1].file_names[1]")]),
        ([V, 1, "file_names", 1], "second", [("missing frame", 2, None, 1, "videos[1].file_names[1]")]),
        ([V, 1, "file_names", 1], "a\0b\ud800", [("missing frame", 2, None, 1, "videos[1].file_names[1]")]),
        ([A, 1, "id"], 10, [("used twice", 5, 10, None, "annotations[1].id")]),
        ([A, 1, "video_id"], 6, [("unknown id", 6, 11, None, "annotations[1].video_id")]),
        ([A, 1, "category_id"], 2, [("unknown id", 5, 11, None, "annotations[1].category_id")]),
        ([A, 1, "iscrowd"], 2, [("field", 5, 11, None, "annotations[1].iscrowd")]),
        ([A, 1, "height"], 7, [("field", 5, 11, None, "annotations[1].height")]),
        ([A, 1, "segmentations"], None, [("field", 5, 11, None, "annotations[1].segmentations")]),
        ([A, 1, "segmentations"], [None] * 3, [("empty track", 5, 11, None, "annotations[1].segmentations"),
                                               ("area", 5, 11, 1, "annotations[1].areas[1]"),
                                               ("box", 5, 11, 1, "annotations[1].bboxes[1]")]),
        ([A, 2, "segmentations"], [[SQUARE]], [("length", 2, 12, None, "annotations[2].segmentations")]),
        ([A, 2, "areas"], [50], [("length", 2, 12, None, "annotations[2].areas")]),
        ([A, 2, "bboxes"], [[2, 3, 10, 5]] * 3, [("length", 2, 12, None, "annotations[2].bboxes")]),
        ([A, 2, "bboxes"], {"0": 1}, [("field", 2, 12, None, "annotations[2].bboxes")]),
        ([A, 0, "areas", 0], 39, [("area", 5, 10, 0, "annotations[0].areas[0]")]),
        ([A, 0, "areas", 0], None, [("area", 5, 10, 0, "annotations[0].areas[0]")]),
        ([A, 0, "areas", 1], 1, [("area", 5, 10, 1, "annotations[0].areas[1]")]),
        ([A, 0, "areas", 0], math.nan, [("field", 5, 10, 0, "annotations[0].areas[0]")]),
        ([A, 0, "areas", 0], "42", [("field", 5, 10, 0, "annotations[0].areas[0]")]),
        ([A, 0, "bboxes", 0], [4, 5, 8, 7], [("box", 5, 10, 0, "annotations[0].bboxes[0]")]),
        ([A, 0, "bboxes", 0], None, [("box", 5, 10, 0, "annotations[0].bboxes[0]")]),
        ([A, 0, "bboxes", 1], [1, 1, 2, 2], [("box", 5, 10, 1, "annotations[0].bboxes[1]")]),
        ([A, 0, "bboxes", 0], [4, 5, math.inf, 7], [("field", 5, 10, 0, "annotations[0].bboxes[0]")]),
        ([A, 0, "bboxes", 0], [4, 5, 10**400, 7], [("field", 5, 10, 0, "annotations[0].bboxes[0]")]),
        ([A, 0, "segmentations", 0], 5, [("field", 5, 10, 0, "annotations[0].segmentations[0]")]),
        ([A, 0, "segmentations", 0], {}, [("rle", 5, 10, 0, "annotations[0].segmentations[0].size")]),
        ([A, 0, "segmentations", 0, "counts"], "1P", [("rle", 5, 10, 0, "annotations[0].segmentations[0].counts")]),
        ([A, 0, "segmentations", 0, "counts"], "11", [("rle", 5, 10, 0, "annotations[0].segmentations[0].counts")]),
        ([A, 0, "segmentations", 0, "size"], [32, 24], [("rle", 5, 10, 0, "annotations[0].segmentations[0].size")]),
        ([A, 0, "segmentations", 0, "size"], [10**9] * 2, [("rle", 5, 10, 0, "annotations[0].segmentations[0].size")]),
        ([A, 1, "segmentations", 1, "counts", 0], 28, [("rle", 5, 11, 1, "annotations[1].segmentations[1].counts")]),
        ([A, 1, "segmentations", 1, "counts", 0], -27, [("rle", 5, 11, 1, "annotations[1].segmentations[1].counts")]),
        ([A, 2, "segmentations", 0, 0], SQUARE[:7], [("polygon", 2, 12, 0, "annotations[2].segmentations[0][0]")]),
        ([A, 2, "segmentations", 0, 0], SQUARE[:4], [("polygon", 2, 12, 0, "annotations[2].segmentations[0][0]")]),
        ([A, 2, "segmentations", 0, 0, 2], 65, [("polygon", 2, 12, 0, "annotations[2].segmentations[0][0]")]),
        ([A, 2, "segmentations", 0, 0, 2], 40, [("polygon", 2, 12, 0, "annotations[2].segmentations[0][0]"),
                                                ("area", 2, 12, 0, "annotations[2].areas[0]"),
                                                ("box", 2, 12, 0, "annotations[2].bboxes[0]")]),
        ([A, 2, "segmentations", 0, 0, 2], math.nan, [("polygon", 2, 12, 0, "annotations[2].segmentations[0][0]")]),
        ([A, 2, "segmentations", 0, 0], SQUARE * 40_000, [("polygon", 2, 12, 0, "annotations[2].segmentations[0]")]),
    ],
)  # fmt: skip
def test_each_fault_is_reported_at_its_place_and_nothing_else(small, path, value, faults):
    entry = small.content
    for key in path[:-1]:
        entry = entry[key]
    entry[path[-1]] = value
    result = check(small)
    assert places(result.faults) == set(faults)
    assert len(result.faults) == len(faults)
    for fault in result.faults:
        assert fault.kind in KINDS
        assert fault.found and fault.expected and str(fault).isprintable()


def spoil_file(path, change):
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda content: content[:-2], "damaged frame"),
        (lambda content: content[:100], "damaged frame"),
        (lambda content: content[:10], "damaged frame"),
        (lambda content: b"", "damaged frame"),
        (lambda content: b"no image at all", "damaged frame"),
        (lambda content: content + b"\0" * 300, None),
    ],
)
def test_damaged_frames(small, change, kind):
    spoil_file(small.image_root / "first/00001.jpg", change)
    expected = {(kind, 5, None, 1, "videos[0].file_names[1]")} if kind else set()
    assert places(check(small).faults) == expected
    assert check(small, frames=False).faults == []


def test_thumbnail_does_not_pass_for_the_end_of_a_truncated_photo(small):
    path = small.image_root / "first/00001.jpg"
    photo = path.read_bytes()
    thumbnail = b"\xff\xe1" + (2 + len(photo)).to_bytes(2, "big") + photo
    spoil_file(path, lambda content: content[:2] + thumbnail + content[2:])
    assert check(small).faults == []
    spoil_file(path, lambda content: content[:-5])
    assert places(check(small).faults) == {("damaged frame", 5, None, 1, "videos[0].file_names[1]")}


def test_damage_in_the_middle_is_found_by_decoding(small):
    path = small.image_root / "second/00000.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(path)
    small.content["videos"][1]["file_names"][0] = "second/00000.png"
    assert check(small, decode=True).faults == []
    spoil_file(path, lambda content: content[:600] + bytes(100) + content[700:])
    assert check(small).faults == []
    assert places(check(small, decode=True).faults) == {("damaged frame", 2, None, 0, "videos[1].file_names[0]")}


def test_cut_after_the_last_pixel_is_found_also_by_decoding(small):
    path = small.image_root / "second/00000.png"
    Image.new("RGB", (WIDTH, HEIGHT)).save(path)
    spoil_file(path, lambda content: content[:-12])
    small.content["videos"][1]["file_names"][0] = "second/00000.png"
    for decode in (False, True):
        assert places(check(small, decode=decode).faults) == {("damaged frame", 2, None, 0, "videos[1].file_names[0]")}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_frame_that_a_camera_stored_turned_has_the_size_that_training_reads(small, orientation, ending):
    names = [f"second/turned.{ending}", "second/00001.jpg"]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored_size = (HEIGHT, WIDTH) if orientation > 4 else (WIDTH, HEIGHT)
    Image.new("RGB", stored_size).save(small.image_root / names[0], exif=exif)
    small.content["videos"][1]["file_names"] = names
    for decode in (False, True):
        assert check(small, decode=decode).faults == []
    Image.new("RGB", stored_size[::-1]).save(small.image_root / names[0], exif=exif)
    assert places(check(small).faults) == {("frame size", 2, None, 0, "videos[1].file_names[0]")}


def test_sample_pictures_are_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.png", exif=exif)
    assert image_size(tmp_path / "a.png") == (3, 4)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", ("L",), (3, 4)), upright)


def test_frame_of_another_size_and_missing_folder(small):
    Image.new("RGB", (HEIGHT, WIDTH)).save(small.image_root / "second/00001.jpg")
    assert places(check(small).faults) == {("frame size", 2, None, 1, "videos[1].file_names[1]")}
    small.image_root = small.image_root / "nowhere"
    assert places(check(small).faults) == {("missing frame", None, None, None, str(small.image_root))}


def test_pipe_in_place_of_a_frame_does_not_hang(small):
    path = small.image_root / "second/00001.jpg"
    path.unlink()
    os.mkfifo(path)
    assert places(check(small).faults) == {("missing frame", 2, None, 1, "videos[1].file_names[1]")}


def test_png_that_claims_to_be_huge_is_not_decoded(small):
    small.content["videos"][1] |= {"file_names": ["huge.png"], "length": 1, "height": 11_000, "width": 11_000}
    small.content["annotations"].pop()
    (small.image_root / "huge.png").write_bytes(huge_png())
    (fault,) = check(small, decode=True).faults
    assert fault.kind == "damaged frame" and "bytes for 11000 x 11000 pixels" in fault.found


def test_all_faults_of_several_videos_are_reported(small):
    small.content["videos"][0]["file_names"][2] = "first/7.jpg"
    small.content["annotations"][0]["segmentations"][0]["counts"] = "?"
    small.content["annotations"][2]["bboxes"][1] = [0, 0, 1, 1]
    assert [fault.kind for fault in check(small).faults] == ["missing frame", "rle", "box"]


def test_tolerances(small):
    small.content["annotations"][0]["areas"][0] = 60
    small.content["annotations"][0]["bboxes"][0] = [1, 5, 6, 7]
    assert [fault.kind for fault in check(small).faults] == ["area", "box"]
    assert check(small, tolerance=Tolerance(area=0.5, box=3)).faults == []


@pytest.mark.parametrize(
    ("text", "position"),
    [
        (b'{"videos": [', "line 1, column 13 (character 12 of 12, where the file ends)"),
        (b'{\n"videos" []}', "line 2, column 10 (character 11 of 14)"),
        (b'{"a": "\xff"}', "byte 7"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 51 + b"]" * 51, "nested too deeply for a data set, expected at most 50 levels"),
        (b"9" * 5000, "not valid json"),
        (b"", "character 0 of 0"),
    ],
)
def test_file_that_is_no_json_is_one_fault_with_its_position(small, text, position):
    small.path.write_bytes(text)
    (fault,) = check_dataset(small.path, small.image_root).faults
    assert (fault.kind, fault.field) == ("json", str(small.path))
    assert position in fault.found


def test_extra_fields_may_be_nested_a_little(small):
    small.content["info"] = json.loads("[" * 49 + "]" * 49)
    assert check(small).faults == []


def test_missing_json_is_one_fault(small):
    (fault,) = check_dataset(small.path, small.image_root).faults
    assert "No such file" in fault.found


def test_split_without_annotations_is_good(small):
    del small.content["annotations"]
    assert check(small).faults == []
    assert "Frames a video: 2 to 3" in make_page(check(small), small.path, small.image_root).render()


def test_page_shows_counts_faults_and_pictures(small):
    small.content["categories"][0]["name"] = "<cat> $1"
    small.content["annotations"][0]["areas"][0] = 39
    html = make_page(check(small), small.path, small.image_root).render()
    assert "Frames a video: 2 to 3" in html and "Tracks a video: 1 to 2" in html
    assert "annotations[0].areas[0]" in html and "&lt;cat&gt; $1" in html
    assert html.count("data:image/jpeg") == 2 and html.count("data:image/svg") == 4


# ------------------------------------------------------------------------------------------------------------------
# Anything
# ------------------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([0, 1, 3, 5, 24, 32, 2**31, 10**30, -1]),
        st.floats(),
        st.text(string.printable, max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["id", "size", "counts", "length"]), inner, max_size=3),
    ),
    max_leaves=6,
)


def paths_of(value, prefix=()):
    """Paths of all values in a json."""
    yield prefix
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths_of(inner, (*prefix, key))


@st.composite
def spoiled(draw, content):
    """A json's content with any values in one to three places."""
    content = json.loads(json.dumps(content))
    for _ in range(draw(st.integers(1, 3))):
        path, value = draw(st.sampled_from(list(paths_of(content)))), draw(VALUES)
        if not path:
            return value
        entry = content
        for key in path[:-1]:
            entry = entry[key]
        entry[path[-1]] = value
    return content


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_anywhere_gives_faults_or_none(small, data):
    small.path.write_text(json.dumps(data.draw(spoiled(small.content))))
    result = check_dataset(small.path, small.image_root)
    assert all(fault.kind in KINDS and fault.expected for fault in result.faults)


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_anywhere_leaves_a_page(small, data):
    small.path.write_text(json.dumps(data.draw(spoiled(small.content))))
    result = check_dataset(small.path, small.image_root)
    assert make_page(result, small.path, small.image_root).render().endswith("</html>")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_cut_of_the_json_is_one_fault(small, data):
    text = json.dumps(small.content)
    small.path.write_text(text[: data.draw(st.integers(0, len(text) - 1))])
    assert [fault.kind for fault in check_dataset(small.path, small.image_root).faults] == ["json"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_in_an_image_give_faults_or_none(small, data):
    path = small.image_root / "second/00001.jpg"
    kept = path.read_bytes()
    try:
        for _ in range(data.draw(st.integers(1, 4))):
            start = data.draw(st.integers(0, len(kept)))
            spoil_file(
                path,
                lambda content, start=start: content[:start] + data.draw(st.binary(max_size=8)) + content[start + 4 :],
            )
        for decode in (False, True):
            faults = check(small, decode=decode).faults
            assert {fault.kind for fault in faults} <= {"damaged frame", "frame size"}
    finally:
        path.write_bytes(kept)


def test_small_file_with_huge_claims_takes_little_memory(small):
    side = 11_000
    small.content["videos"][0] |= {"height": side, "width": side}
    for annotation in small.content["annotations"][:2]:
        annotation["segmentations"] = [{"size": [side, side], "counts": [0, side * side]}] * 3
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check(small, frames=False)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB; one mask has 118,000
