# SPDX-License-Identifier: Apache-2.0
"""Label Studio's json to YTVIS's."""

import copy
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_utils
from ytvis.label_maps import write_frames

from ifc.ytvis.convert.label_studio import read_label_studio
from ifc.ytvis.datasets.check import check_dataset
from ifc.ytvis.tracked_video import ytvis_content


def key_frame(frame, enabled=True, x=0.0, y=0.0, width=25.0, height=50.0, rotation=0):
    """A box on frames of 16 x 12 pixels: at first 4 x 6 pixels, in the corner."""
    box = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}
    return {"frame": frame, "enabled": enabled, "time": frame / 25, **box}


def task(*sequences, **data):
    """A task as it is exported, with a region of label "car" for each sequence."""
    results = [
        {
            "id": f"r{index}",
            "type": "videorectangle",
            "from_name": "box",
            "to_name": "video",
            "value": {"framesCount": 6, "duration": 0.24, "sequence": sequence, "labels": ["car"]},
        }
        for index, sequence in enumerate(sequences)
    ]
    data = data or {"video": "/data/upload/3/0a1b2c3d-my.clip.mp4"}
    return {"id": 12, "data": data, "annotations": [{"id": 5, "was_canceled": False, "result": results}]}


@pytest.fixture
def read(tmp_path):
    """A function that reads an export."""
    write_frames(tmp_path / "frames/my.clip", range(6))

    def run(content):
        path = tmp_path / "export.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return read_label_studio(path, tmp_path / "frames")

    run.root = tmp_path
    return run


def masks_of(read, *sequence):
    videos, _, _ = read([task(sequence)])
    return [mask and mask_utils.decode(mask) for mask in videos[0].tracks[0].masks]


def test_boxes_move_between_key_frames_and_stay_after_the_last(read):
    masks = masks_of(read, key_frame(1), key_frame(5, x=50.0))
    assert [int(np.argmax(mask.any(axis=0))) for mask in masks] == [0, 2, 4, 6, 8, 8]
    assert all(mask.sum() == 24 and mask[:6].sum() == 24 for mask in masks)


def test_object_is_gone_after_a_key_frame_that_is_not_enabled(read):
    masks = masks_of(read, key_frame(5), key_frame(3, enabled=False, x=50.0), key_frame(2))
    assert [mask is not None for mask in masks] == [False, True, True, False, True, True]
    assert masks[2].any(axis=0).argmax() == 8


def test_rotation_is_clockwise_around_the_upper_left_corner(read):
    (mask, *_) = masks_of(read, key_frame(1, x=50.0, rotation=90))
    expected = np.zeros((12, 16))
    expected[0:4, 2:8] = 1  # 4 wide and 6 high, now to the left of its corner
    assert np.abs(mask - expected).sum() <= 8


def test_json_is_good(read):
    first = task([key_frame(1)], [key_frame(2, x=90.0, width=50.0)], [])
    first["annotations"][0]["result"].append({"type": "choices", "value": {"choices": ["day"]}})
    first["annotations"][0]["result"].append({"from_id": "r0", "to_id": "r1", "type": "relation"})
    first["annotations"].append({"was_canceled": True, "result": [{"type": "brushlabels"}]})
    write_frames(read.root / "frames/13", range(6))
    second = {**task([key_frame(1)], video="s3://bucket/other.mp4?x=1"), "id": 13}
    videos, categories, remarks = read([first, second])
    assert remarks == [f"1 results of type {kind} have no region and were left out" for kind in ("choices", "relation")]
    assert [video.file_names[0] for video in videos] == ["my.clip/0.jpg", "13/0.jpg"]
    path = read.root / "out.json"
    path.write_text(json.dumps(ytvis_content(videos, categories, "test")))
    assert check_dataset(path, read.root / "frames").faults == []


@pytest.mark.parametrize(
    "url",
    [
        "/data/local-files/?d=my+videos%2Fmy.clip.mp4",
        "/data/local-files/?x=1&d=my.clip.mp4",
        "https://host/a%20b/my%2Eclip.mp4?token=1",
    ],
)
def test_name_of_the_video_stands_in_its_url(read, url):
    videos, _, _ = read([task([key_frame(1)], video=url)])
    assert videos[0].file_names[0] == "my.clip/0.jpg"


RESULT = [0, "annotations", 0, "result", 0]
KEY_FRAME = [*RESULT, "value", "sequence", 0]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ([], {}, "found {}, expected a list of tasks"),
        ([], [], "found [], expected a list of tasks"),
        ([0], 5, "[0].annotations: found nothing"),
        ([0, "annotations"], [], "found no region that is seen"),
        ([0, "annotations"], [{"result": []}] * 2, "[0].annotations: found 2 annotations of one video, expected 1"),
        ([0, "annotations", 0], 1, "[0].annotations[0].result: found nothing"),
        ([0, "data"], {"n": 1}, "[0].data: found {'n': 1}, expected the path of a video"),
        ([0, "data"], {"video": "else.mp4"}, "found no folder of its frames in"),
        ([0, "data"], {"video": "../.."}, "found no folder of its frames in"),
        (RESULT, None, "result[0]: found nothing, expected an object"),
        ([*RESULT, "type"], "brushlabels", "result[0].type: found 'brushlabels', expected 'videorectangle'"),
        ([*RESULT, "type"], [], "result[0].type: found [], expected"),
        ([*RESULT, "value"], 1, "value: found 1"),
        ([*RESULT, "value", "labels"], ["a", "b"], "value.labels: found ['a', 'b'], expected one label"),
        ([*RESULT, "value", "framesCount"], 8, "framesCount: found 8, expected 6"),
        ([*RESULT, "value", "framesCount"], 10**9, "framesCount: found 1000000000"),
        ([*RESULT, "value", "sequence"], None, "sequence: found nothing"),
        (KEY_FRAME, None, "sequence[0]: found nothing"),
        ([*KEY_FRAME, "frame"], 0, "sequence[0].frame: found 0, expected a new one from 1 to 6"),
        ([*KEY_FRAME, "frame"], 3, "sequence[1].frame: found 3"),
        ([*KEY_FRAME, "enabled"], 1, "sequence[0].enabled: found 1"),
        ([*KEY_FRAME, "x"], None, "sequence[0].x: found nothing, expected a number up to 1000"),
        ([*KEY_FRAME, "rotation"], 1e300, "sequence[0].rotation: found 1e+300"),
        ([*KEY_FRAME, "x"], 900, "result[0]: found 144.0 in a polygon"),
        ([*KEY_FRAME, "width"], float("nan"), "sequence[0].width: found nan"),
    ],
)
def test_faulty_export_is_one_error(read, path, value, message):
    content = [task([key_frame(1, rotation=5), key_frame(3)])]
    if not path:
        content = value
    else:
        entry = content
        for key in path[:-1]:
            entry = entry[key]
        entry[path[-1]] = value
    with pytest.raises(ValueError) as error:
        read(content)
    assert "export.json" in str(error.value) and message in str(error.value)


def test_two_tasks_of_one_video_are_refused(read):
    with pytest.raises(ValueError, match=r"\[1\]: found the frames of .*\[0\], my.clip"):
        read([task([key_frame(1)])] * 2)


VALUES = st.one_of(
    st.none(), st.integers(), st.floats(), st.text(max_size=3), st.just([]), st.just({}), st.sampled_from([1, 2, 6, 7])
)


def paths_of(value, prefix=()):
    yield prefix
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths_of(inner, (*prefix, key))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_anywhere_gives_tracks_or_one_error(read, data):
    content = copy.deepcopy([task([key_frame(1), key_frame(3, enabled=False)], [key_frame(2)])])
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from([path for path in paths_of(content) if path]))
        entry = content
        for key in path[:-1]:
            entry = entry[key]
        entry[path[-1]] = data.draw(VALUES)
    try:
        read(content)
    except ValueError as error:
        assert "export.json" in str(error)
