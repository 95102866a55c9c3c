# SPDX-License-Identifier: Apache-2.0
"""The configurations that train on images and videos together, shrunk, on generated data of both formats."""

import itertools
import json
import math

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES
from engine.tiny import BASE, write_data

from ifc.data.catalog import VIDEO_DATASETS, register_all_joint_coco, register_all_videos
from ifc.data.joint_coco import COCO, COCO_TO_VIDEO_CLASSES
from ifc.engine import Trainer, setup_config

SMALL = {
    "MODEL.DEVICE": "cpu",
    "MODEL.WEIGHTS": "",
    "MODEL.BACKBONE.FREEZE_AT": 0,
    **{f"MODEL.RESNETS.{key}": 8 for key in ("STEM_OUT_CHANNELS", "WIDTH_PER_GROUP", "RES2_OUT_CHANNELS")},
    **{f"MODEL.IFC.{key}": 32 for key in ("HIDDEN_DIM", "DIM_FEEDFORWARD")},
    "MODEL.IFC.NUM_OBJECT_QUERIES": 20,
    "DATASETS.TEST": (),
    "DATALOADER.NUM_WORKERS": 0,
    "SOLVER.IMS_PER_BATCH": 3,
    "SOLVER.MAX_ITER": 3,
    "SOLVER.STEPS": (),
    "INPUT.SAMPLING_FRAME_NUM": 2,
    "INPUT.MIN_SIZE_TRAIN": (32,),
    "INPUT.COPY_PASTE": 0.5,
}


def change(source, target, categories):
    """Write the json `source` to `target` with other categories; annotations keep their ids."""
    content = json.loads(source.read_text())
    content["categories"] = categories
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of data sets with the training splits of COCO, YouTube-VIS and OVIS, with all their classes."""
    root = tmp_path_factory.mktemp("joint")
    write_data(root, num_train=4, num_val=1)
    shapes = root / "shapes"
    frames = shapes / "train" / "JPEGImages"
    change(shapes / "coco_train.json", root / "coco" / "annotations" / "instances_train2017.json", COCO_CATEGORIES[:80])
    (root / "coco" / "train2017").symlink_to(frames)
    for name in COCO_TO_VIDEO_CLASSES:
        classes, splits = VIDEO_DATASETS[name]
        json_file, image_root = splits["train"]
        categories = [{"id": number, "name": label} for number, label in enumerate(classes, start=1)]
        change(shapes / "train.json", root / name / json_file, categories)
        (root / name / image_root).parent.mkdir(parents=True, exist_ok=True)
        (root / name / image_root).symlink_to(frames)
    return root


@pytest.mark.parametrize("name", ["ytvis", "ytvis2021", "ovis"])
def test_joint_training(folder, tmp_path, monkeypatch, name):
    for catalog, entries in ((DatasetCatalog, {}), (MetadataCatalog, {COCO: MetadataCatalog.get(COCO)})):
        monkeypatch.setattr(catalog, "data", entries)
    register_all_videos(str(folder))
    register_all_joint_coco(str(folder))
    opts = itertools.chain(*SMALL.items(), ["OUTPUT_DIR", str(tmp_path)])
    cfg = setup_config(str(BASE.with_name(f"base_{name}_joint.yaml")), list(map(str, opts)))
    assert len({len(MetadataCatalog.get(name).thing_classes) for name in cfg.DATASETS.TRAIN}) == 1
    trainer = Trainer(cfg)
    trainer.train()
    losses = {key: value for key, (value, _) in trainer.storage.latest().items() if key.startswith("loss_")}
    assert len(losses) == 9 and all(map(math.isfinite, losses.values()))

    batches = itertools.islice(Trainer.build_train_loader(cfg), 40)
    clips = list(itertools.chain.from_iterable(batches))
    images = [clip for clip in clips if "image_id" in clip]
    share = cfg.DATASETS.TRAIN_RATIO[0] / sum(cfg.DATASETS.TRAIN_RATIO)
    assert abs(len(images) / len(clips) - share) < 0.15
    own = {record["image_id"]: len(record["annotations"]) for record in DatasetCatalog.get(cfg.DATASETS.TRAIN[0])}
    gained = [len(clip["instances"][0]) - own[clip["image_id"]] for clip in images]
    assert all(number >= 0 for number in gained) and 0.2 < sum(number > 0 for number in gained) / len(gained) < 0.8
