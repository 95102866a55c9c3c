# SPDX-License-Identifier: Apache-2.0
"""CVAT's XML to YTVIS's json."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_utils
from ytvis.label_maps import write_frames

from ifc.ytvis.convert.cvat import read_cvat
from ifc.ytvis.datasets.check import check_dataset
from ifc.ytvis.tracked_video import ytvis_content

META = """<meta><task><id>7</id><name>my task</name><size>4</size><start_frame>10</start_frame>
<frame_filter>step=5</frame_filter><labels><label><name>car</name></label><label><name>person</name></label></labels>
<original_size><width>16</width><height>12</height></original_size></task></meta>"""
BOX = '<box frame="{}" outside="{}" occluded="0" keyframe="1" xtl="{}" ytl="{}" xbr="{}" ybr="{}"/>'
POLYGON = '<polygon frame="10" outside="0" points="{}"/>'
MASK = '<mask frame="10" outside="0" rle="{}" left="{}" top="{}" width="{}" height="{}"/>'


@pytest.fixture
def cvat(tmp_path):
    """A function that reads an XML of the given tracks."""
    write_frames(tmp_path / "frames/clip", range(4))

    def read(*tracks, meta=META, text=None):
        shapes = "".join(f'<track id="{i}" label="car">{track}</track>' for i, track in enumerate(tracks))
        text = (
            f'<?xml version="1.0"?><annotations><version>1.1</version>{meta}{shapes}</annotations>'
            if text is None
            else text
        )
        path = tmp_path / "clip.xml"
        path.write_bytes(text.encode("utf-8", errors="surrogatepass") if isinstance(text, str) else text)
        return read_cvat([path], tmp_path / "frames")

    read.root = tmp_path
    return read


def masks_of(read, track):
    """The masks of one track, None where absent."""
    ((video,), _) = read(track)
    if not video.tracks:
        return [None] * 4
    return [mask and mask_utils.decode(mask) for mask in video.tracks[0].masks]


def box(left, top, right, bottom):
    mask = np.zeros((12, 16), dtype=np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def test_boxes_end_where_they_go_outside(cvat):
    masks = masks_of(
        cvat, BOX.format(10, 0, 2, 3, 6.4, 7.6) + BOX.format(15, 0, 3, 3, 7, 8) + BOX.format(20, 1, 3, 3, 7, 8)
    )
    assert (masks[0] == box(2, 3, 6, 8)).all() and (masks[1] == box(3, 3, 7, 8)).all()
    assert masks[2:] == [None, None]


def test_missing_boxes_are_interpolated_or_held(cvat):
    masks = masks_of(cvat, BOX.format(10, 0, 0, 0, 4, 4) + BOX.format(25, 0, 6, 3, 10, 7))
    assert [mask.argmax() for mask in masks] == [0, 1 * 16 + 2, 2 * 16 + 4, 3 * 16 + 6]
    masks = masks_of(cvat, BOX.format(10, 0, 0, 0, 4, 4) + BOX.format(25, 1, 6, 3, 10, 7))
    assert [None if mask is None else mask.argmax() for mask in masks] == [0, 0, 0, None]


def test_rotated_box_turns_clockwise_around_its_center(cvat):
    turned = BOX.format(10, 0, 4, 4, 12, 6).replace("/>", ' rotation="90"/>')
    assert np.abs(masks_of(cvat, turned)[0].astype(int) - box(7, 1, 9, 9)).sum() <= 4
    # Turned by a little, the left end of a flat box rises.
    tilted = masks_of(cvat, BOX.format(10, 0, 2, 5, 14, 7).replace("/>", ' rotation="30"/>'))[0]
    rows, columns = np.nonzero(tilted)
    assert rows[columns == columns.min()].mean() < rows[columns == columns.max()].mean()


def test_polygons_and_masks(cvat):
    assert (masks_of(cvat, POLYGON.format("2,3;6,3;6,8;2,8"))[0] == box(2, 3, 6, 8)).all()
    # A ring of 3 x 3 without its center, along the rows: 0 outside, 4 in, 1 out, 4 in.
    ring = box(5, 6, 8, 9)
    ring[7, 6] = 0
    assert (masks_of(cvat, MASK.format("0, 4, 1, 4", 5, 6, 3, 3))[0] == ring).all()
    assert masks_of(cvat, MASK.format("9", 5, 6, 3, 3)) == [None] * 4


def test_json_is_good_and_finds_frames_by_several_names(cvat):
    videos, categories = cvat(BOX.format(10, 0, 2, 3, 6, 8), POLYGON.format("2,3;6,3;6,8"))
    assert categories == {"car": 1, "person": 2}
    path = cvat.root / "out.json"
    path.write_text(json.dumps(ytvis_content(videos, categories, "test")))
    assert check_dataset(path, cvat.root / "frames").faults == []
    (cvat.root / "frames/clip").rename(cvat.root / "frames/my task")
    ((video,), _) = cvat("")
    assert video.file_names[0] == "my task/0.jpg" and video.tracks == []


@pytest.mark.parametrize(
    ("track", "message"),
    [
        ("<points frame='10' points='1,2'/>", "line 3: found <points>, expected <box>, <polygon> or <mask>"),
        (BOX.format(11, 0, 1, 1, 2, 2), "frame: found 11, expected that of one of the 4 frames"),
        (BOX.format(30, 0, 1, 1, 2, 2), "frame: found 30"),
        (BOX.format("x", 0, 1, 1, 2, 2), "frame: found 'x', expected a whole number"),
        (BOX.format("9" * 30, 0, 1, 1, 2, 2), "frame: found '999"),
        (BOX.format(10, 0, 1, 1, 2, 2) * 2, "frame: found 10 a second time"),
        (BOX.format(10, 0, "nan", 1, 2, 2), "xtl: found 'nan', expected a number from -32 to 32"),
        (BOX.format(10, 0, 1, 1, "1e999", 2), "xbr: found '1e999'"),
        (BOX.format(10, 0, 3, 1, 2, 2), "found a box from (3.0, 1.0) to (2.0, 2.0)"),
        (BOX.format(10, 0, 0, 0, 31, 31).replace("/>", ' rotation="45"/>'), "found 37.4"),
        ("<box frame='10'/>", "xtl: found nothing"),
        (POLYGON.format("1,2;3,4"), "points: found '1,2;3,4', expected x,y;x,y;... of 3 points or more"),
        (POLYGON.format("1,2;3,4;5"), "points: found '1,2;3,4;5'"),
        (POLYGON.format("1,2;3,4;5,y"), "points: found 'y'"),
        (POLYGON.format(";".join(["1,2;15,9"] * 60_000)), "points: found an outline of"),
        (
            POLYGON.format("1,1;5,1;5,5") + BOX.format(20, 0, 1, 1, 2, 2),
            "found frame 15 missing in a track of <polygon>",
        ),
        (MASK.format("9", 14, 6, 3, 3), "found a mask of 3 x 3 at 14, 6, expected one in the frame of 16 x 12"),
        (MASK.format("9", 0, 0, 10**8, 10**8), "found a mask of 100000000 x 100000000"),
        (MASK.format("4,4", 5, 6, 3, 3), "rle: found run lengths of 8 pixels, expected 9"),
        (MASK.format("-1,10", 5, 6, 3, 3), "rle: found run lengths of 9 pixels, expected 9, width x height, none neg"),
        (MASK.format("a", 5, 6, 3, 3), "rle: found 'a', expected a whole number"),
    ],
)
def test_faulty_track_is_one_error(cvat, track, message):
    with pytest.raises(ValueError) as error:
        cvat(track)
    assert "clip.xml: line 3" in str(error.value) and message in str(error.value)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><annotations>&b;</annotations>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found no valid XML at line 1, column 1: no element found"),
        ("<annotations><version>", "found no valid XML at line 1"),
        (BOMB, "line 1: found a document type, expected XML without one"),
        ('<!DOCTYPE x SYSTEM "/etc/passwd"><annotations/>', "line 1: found a document type"),
        ("<a>" * 100_000, "line 1: found elements nested more than 50 deep"),
        ('<?xml version="1.0" encoding="rot13"?><a/>', "found no valid XML"),
        ('<?xml version="1.0" encoding="gbk"?><a/>', "found no valid XML: multi-byte encodings"),
        ("<images/>", "found <images>, expected <annotations>"),
        ("<annotations/>", "meta: found 0 tasks, expected 1"),
        (f"<annotations>{META}<image/></annotations>", "found <image>, expected <track> only"),
        (f"<annotations>{META}<track label='x'/></annotations>", "line 3: label: found 'x', expected one of the 2"),
        (f"<annotations>{META.replace('<size>4', '<size>5')}</annotations>", "size: found 5 frames, expected the 4"),
        (f"<annotations>{META.replace('step=5', 'step=0')}</annotations>", "found frames from 10 in steps of 0"),
        (f"<annotations>{META.replace('<width>16', '<width>17')}</annotations>", "original_size/width: found '17'"),
    ],
)
def test_faulty_xml_is_one_error(cvat, text, message):
    with pytest.raises(ValueError) as error:
        cvat(text=text)
    assert "clip.xml: " in str(error.value) and message in str(error.value)


def test_missing_frames_are_one_error(cvat):
    (cvat.root / "frames/clip").rename(cvat.root / "frames/other")
    with pytest.raises(
        ValueError, match="clip.xml: found no folder of its frames in .*, expected 'clip' or .*'my task'"
    ):
        cvat()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_gives_tracks_or_one_error(cvat, data):
    tracks = BOX.format(10, 0, 2, 3, 6, 8) + "</track><track label='person'>" + MASK.format("0,4,5", 5, 6, 3, 3)
    text = f"<annotations>{META}<track label='car'>{tracks}</track></annotations>".encode()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        new = data.draw(st.one_of(st.binary(max_size=5), st.sampled_from([b"9" * 400, b'"', b"<mask/>", b"-1", b"e9"])))
        text = text[:start] + new + text[start + data.draw(st.integers(0, 6)) :]
    try:
        cvat(text=text)
    except ValueError as error:
        assert "clip.xml" in str(error)
