# SPDX-License-Identifier: Apache-2.0
"""The tiny data set, and data sets with a fault."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from engine.tiny import register_data, write_data

from ifc.data import register_ytvis_instances

PREFIX = "engine"


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """The folder of the data sets engine_train, engine_val, engine_coco_train and engine_coco_val."""
    root = write_data(tmp_path_factory.mktemp("data"))
    register_data(root, PREFIX)
    yield root
    for split in ("train", "val", "coco_train", "coco_val"):
        DatasetCatalog.pop(f"{PREFIX}_{split}")
        MetadataCatalog.pop(f"{PREFIX}_{split}")


@pytest.fixture
def variant(data, tmp_path):
    """Registers a changed split for one test; returns its name."""
    names = []

    def register(split: str = "val", change: Callable[[dict[str, Any]], object] = dict, **paths: str) -> str:
        content = json.loads((data / "shapes" / f"{split}.json").read_text())
        change(content)
        name = f"variant_{uuid.uuid4().hex}"
        json_file = tmp_path / f"{name}.json"
        json_file.write_text(json.dumps(content))
        image_root = str(data / "shapes" / split.removeprefix("coco_") / "JPEGImages")
        arguments = {"json_file": str(json_file), "image_root": image_root} | paths
        register_one = register_coco_instances if split.startswith("coco_") else register_ytvis_instances
        register_one(name, {}, **arguments)
        names.append(name)
        return name

    yield register
    for name in names:
        DatasetCatalog.pop(name)
        MetadataCatalog.pop(name)
