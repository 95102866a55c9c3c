# SPDX-License-Identifier: Apache-2.0
"""The known data sets: names, paths and classes."""

import importlib.machinery
import importlib.util
import itertools
import re
import sys
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from ifc.data import catalog as builtin
from ifc.data.catalog import register_video_json
from ifc.ytvis.datasets import shapes


@pytest.fixture
def empty_catalogs(monkeypatch):
    for catalog in (DatasetCatalog, MetadataCatalog):
        monkeypatch.setattr(catalog, "data", {})


@pytest.fixture
def import_copy():
    """Imports the folder `data` once more, in a package of another name than `ifc`; gives its `builtin`."""
    names = []

    def import_one(name):
        names.append(name)
        # The package alone, without what its __init__ does: a second meta-architecture of the same name is refused.
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations.append(str(Path(builtin.__file__).parents[1]))
        sys.modules[name] = importlib.util.module_from_spec(spec)
        return importlib.import_module(f"{name}.data.catalog")

    yield import_one
    for module in [module for module in sys.modules if module.split(".")[0] in names]:
        del sys.modules[module]


def test_names_and_paths_under_the_environments_folder(monkeypatch, empty_catalogs, import_copy):
    """The folder can be imported twice, as `ifc` and as `detectron2.projects.ifc`."""
    monkeypatch.setenv("DETECTRON2_DATASETS", "/my/data")
    assert import_copy("one_ifc") is not import_copy("other_ifc")
    metadata = {name: MetadataCatalog.get(name) for name in DatasetCatalog}
    paths = {name: [entry.get("json_file") or entry.source_json, entry.image_root] for name, entry in metadata.items()}
    expected = {}
    for year in (2019, 2021, 2022):
        root = f"/my/data/ytvis_{year}"
        expected[f"ytvis_{year}_train"] = [f"{root}/train.json", f"{root}/train/JPEGImages"]
        expected[f"ytvis_{year}_val"] = [f"{root}/valid.json", f"{root}/valid/JPEGImages"]
        expected[f"ytvis_{year}_test"] = [f"{root}/test.json", f"{root}/test/JPEGImages"]
        if year == 2022:
            expected["ytvis_2022_val_long"] = [f"{root}/valid_long.json", f"{root}/valid/JPEGImages"]
        else:
            expected[f"ytvis_{year}_dev"] = [f"{root}/instances_train_sub.json", f"{root}/train/JPEGImages"]
    for split, folder in (("train", "train"), ("val", "valid"), ("test", "test")):
        expected[f"ovis_{split}"] = [f"/my/data/ovis/annotations_{folder}.json", f"/my/data/ovis/{folder}"]
    for name in ("ytvis_2019", "ytvis_2021", "ytvis_2022", "ovis"):
        folder = "train" if name == "ovis" else "train/JPEGImages"
        for split, file in (("ifc_dev_train", "train"), ("ifc_dev", "val")):
            expected[f"{name}_{split}"] = [f"/my/data/{name}/ifc-dev/{file}.json", f"/my/data/{name}/{folder}"]
    for split, target in itertools.product(("train", "val"), ("ytvis2019", "ytvis2021", "ovis")):
        root = "/my/data/coco"
        json_file = f"{root}/annotations/instances_{split}2017.json"
        expected[f"coco2{target}_{split}"] = [json_file, f"{root}/{split}2017"]
    for split in ("train", "val"):
        root = "/my/data/shapes"
        expected[f"shapes_{split}"] = [f"{root}/{split}.json", f"{root}/{split}/JPEGImages"]
        expected[f"shapes_coco_{split}"] = [f"{root}/coco_{split}.json", f"{root}/{split}/JPEGImages"]
    assert paths == expected


@pytest.mark.parametrize(
    ("name", "num_classes"),
    [("ytvis_2019_train", 40), ("ytvis_2021_dev", 40), ("ytvis_2022_val_long", 40), ("ovis_test", 25)],
)
def test_metadata_of_videos(name, num_classes):
    metadata = MetadataCatalog.get(name)
    assert metadata.evaluator_type == "ytvis"
    assert len(set(metadata.thing_classes)) == num_classes
    assert metadata.thing_dataset_id_to_contiguous_id == {index + 1: index for index in range(num_classes)}
    assert len(metadata.thing_colors) == num_classes


def test_classes_of_ytvis():
    """Spot checks of category ids against the challenge's jsons."""
    classes_2019 = dict(enumerate(builtin.YTVIS_2019_CLASSES, start=1))
    assert {index: classes_2019[index] for index in (1, 2, 11, 16, 26, 40)} == {
        1: "person",
        2: "giant_panda",
        11: "hand",
        16: "fish",
        26: "owl",
        40: "tennis_racket",
    }
    assert list(builtin.YTVIS_2021_CLASSES) == sorted(builtin.YTVIS_2021_CLASSES)
    assert builtin.YTVIS_2021_CLASSES[25] == "person"
    new = set(builtin.YTVIS_2021_CLASSES) - set(builtin.YTVIS_2019_CLASSES)
    assert new == {"bird", "car", "flying_disc", "squirrel", "whale"}
    assert MetadataCatalog.get("ytvis_2022_val").thing_classes == list(builtin.YTVIS_2021_CLASSES)


def test_classes_of_ovis():
    classes = dict(enumerate(builtin.OVIS_CLASSES, start=1))
    spots = {1: "Person", 6: "Sheep", 13: "Giant_panda", 19: "Fish", 25: "Vehicle"}
    assert {index: classes[index] for index in spots} == spots


def test_shapes_load_as_videos_and_as_images(tmp_path, empty_catalogs):
    """What `shapes` writes is what the registered names read."""
    root = tmp_path / "shapes"
    shapes.write_ytvis(root, "train", 2, seed=1, image_size=(32, 48), length=3)
    shapes.write_coco(root, "train")
    builtin.register_all_shapes(str(tmp_path))
    videos, images = DatasetCatalog.get("shapes_train"), DatasetCatalog.get("shapes_coco_train")
    for name, evaluator in (("shapes_train", "ytvis"), ("shapes_coco_train", "coco")):
        metadata = MetadataCatalog.get(name)
        assert metadata.evaluator_type == evaluator
        assert metadata.thing_classes == list(shapes.CATEGORIES.values())
        assert list(metadata.thing_dataset_id_to_contiguous_id) == list(shapes.CATEGORIES)
    assert [len(video["file_names"]) for video in videos] == [3, 3]
    assert len(images) == 6
    classes = {annotation["category_id"] for video in videos for annotation in video["annotations"]}
    assert classes and classes <= set(range(len(shapes.CATEGORIES)))


# Data sets that the configuration names


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
