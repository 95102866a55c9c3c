# SPDX-License-Identifier: Apache-2.0
"""Data sets that the configuration names."""

import re

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from ifc.data.own import register_video_json


@pytest.fixture
def entry(tiny):
    """An entry of DATASETS.VIDEO_JSON; its name is forgotten after the test."""
    yield ["own_tiny", tiny.json_file, tiny.image_root]
    if "own_tiny" in DatasetCatalog:
        DatasetCatalog.pop("own_tiny")
        MetadataCatalog.pop("own_tiny")


def test_own_data_set(entry):
    for _ in range(2):  # each process does it, perhaps not for the first time
        register_video_json([entry])
    assert [record["video_id"] for record in DatasetCatalog.get("own_tiny")] == [11, 5]
    assert MetadataCatalog.get("own_tiny").thing_classes == ["early", "late"]
    assert MetadataCatalog.get("own_tiny").evaluator_type == "ytvis"


@pytest.mark.parametrize(
    "wrong",
    ["own_tiny", ["own_tiny", "a.json"], ["own_tiny", "a.json", "b", "c"], [1, "a.json", "b"], ["own_tiny", "", "b"]],
)
def test_what_is_no_entry(entry, wrong):
    expected = r"expected \[name, json file, folder of the frames\]"
    with pytest.raises(ValueError, match=rf"^DATASETS.VIDEO_JSON\[1\]: found {re.escape(repr(wrong))}, {expected}"):
        register_video_json([entry, wrong])


@pytest.mark.parametrize("name", ["own_tiny", "ytvis_2019_train", "coco_2017_val"])
def test_a_name_stands_for_one_data_set(entry, name):
    other = [name, "other.json", entry[2]]
    message = rf"^DATASETS.VIDEO_JSON\[1\]: found .*other.json.*, but '{name}' is registered with .*; choose another"
    with pytest.raises(ValueError, match=message):
        register_video_json([entry, other])
