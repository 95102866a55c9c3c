# SPDX-License-Identifier: Apache-2.0
"""COCO's images with the classes of video data sets."""

import json

import pytest
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from detectron2.evaluation import COCOEvaluator

from ifc.data import build_train_loader
from ifc.data.catalog import VIDEO_DATASETS, register_all_joint_coco
from ifc.data.joint_coco import COCO, COCO_TO_VIDEO_CLASSES

IDS = {name: number for number, name in enumerate(MetadataCatalog.get(COCO).thing_classes, start=1)}


@pytest.fixture
def coco(tiny, tmp_path, monkeypatch):
    """A json with COCO's categories: a frame with a person and a car, one with a sheep, one with a crowd of birds.

    Returns the json's path. The joint data sets are registered for it.
    """
    objects = [(1, "person", 0), (1, "car", 0), (2, "sheep", 0), (3, "bird", 1)]
    images = [
        {"id": number, "file_name": tiny.content["videos"][0]["file_names"][number], "height": 24, "width": 40}
        for number in (1, 2, 3)
    ]
    source = tiny.content["annotations"][0]
    annotations = [
        {"id": number, "image_id": image, "category_id": IDS[name], "iscrowd": crowd, "area": 64}
        | {"bbox": source["bboxes"][0], "segmentation": source["segmentations"][0]}
        for number, (image, name, crowd) in enumerate(objects, start=1)
    ]
    categories = [{"id": number, "name": name} for name, number in IDS.items()]
    json_file = tmp_path / "coco" / "annotations" / "instances_train2017.json"
    json_file.parent.mkdir(parents=True)
    json_file.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))
    (tmp_path / "coco" / "train2017").symlink_to(tiny.image_root)
    for catalog, entries in (
        (DatasetCatalog, {}),
        (MetadataCatalog, {COCO: Metadata(name=COCO, thing_classes=list(IDS))}),
    ):
        monkeypatch.setattr(catalog, "data", entries)
    register_all_joint_coco(str(tmp_path))
    return json_file


def classes_in(name):
    """The class names of each image's objects."""
    names = MetadataCatalog.get(name).thing_classes
    return [[names[entry["category_id"]] for entry in record["annotations"]] for record in DatasetCatalog.get(name)]


def test_tables_name_classes_that_exist():
    for target, table in COCO_TO_VIDEO_CLASSES.items():
        assert set(table) <= set(IDS)
        assert set(table.values()) <= set(VIDEO_DATASETS[target][0])
    sizes = {target: (len(table), len(set(table.values()))) for target, table in COCO_TO_VIDEO_CLASSES.items()}
    assert sizes == {"ytvis_2019": (21, 19), "ytvis_2021": (23, 21), "ovis": (18, 16)}


def test_images_without_a_mapped_class_are_left_out(coco):
    assert classes_in("coco2ytvis2019_train") == [["person", "sedan"]]
    assert classes_in("coco2ytvis2021_train") == [["person", "car"], ["bird"]]
    assert classes_in("coco2ovis_train") == [["Person", "Vehicle"], ["Sheep"], ["Bird"]]
    assert [entry["iscrowd"] for entry in DatasetCatalog.get("coco2ovis_train")[2]["annotations"]] == [1]


def test_training_on_images_and_videos(cfg, coco, tiny, register):
    """The json's sheep and birds are left out, and the video has the same forty classes."""
    classes = MetadataCatalog.get("coco2ytvis2019_train").thing_classes
    video = register(tiny, thing_classes=classes, thing_dataset_id_to_contiguous_id={2: 0, 7: 1})
    tiny.content["categories"] = [{"id": 2, "name": "person"}, {"id": 7, "name": "giant_panda"}]
    tiny.write()
    cfg.MODEL.IFC.NUM_CLASSES = 40
    cfg.SOLVER.IMS_PER_BATCH = 3
    cfg.DATASETS.TRAIN = ["coco2ytvis2019_train", video]
    clips = next(iter(build_train_loader(cfg)))
    assert sorted(clip.get("video_id", 0) for clip in clips) == [0, 5, 11]
    assert [clip["instances"][0].gt_classes.tolist() for clip in clips if "image_id" in clip] == [[0, 5]]


def test_evaluation_is_of_the_other_classes(coco, tmp_path):
    """detectron2's evaluator has the video data set's categories and the mapped objects, not COCO's."""
    evaluator = COCOEvaluator("coco2ovis_train", ("segm",), False, output_dir=str(tmp_path), use_fast_impl=False)
    truth = evaluator._coco_api
    assert [truth.cats[number]["name"] for number in (1, 6, 25)] == ["Person", "Sheep", "Vehicle"]
    assert sorted(entry["category_id"] for entry in truth.anns.values()) == [1, 2, 6, 25]


def test_json_of_other_categories(cfg, coco):
    content = json.loads(coco.read_text())
    content["categories"][0]["name"] = "human"
    coco.write_text(json.dumps(content))
    cfg.DATASETS.TRAIN, cfg.MODEL.IFC.NUM_CLASSES = ["coco2ovis_train"], 25
    with pytest.raises(
        ValueError, match=f"^{coco}: data set 'coco2ovis_train' cannot be read: .*thing_classes.*{COCO}"
    ):
        build_train_loader(cfg)


def test_missing_json(cfg, coco):
    coco.unlink()
    cfg.DATASETS.TRAIN, cfg.MODEL.IFC.NUM_CLASSES = ["coco2ovis_train"], 25
    with pytest.raises(FileNotFoundError, match=f"^{coco}: annotation file of data set 'coco2ovis_train'"):
        build_train_loader(cfg)
