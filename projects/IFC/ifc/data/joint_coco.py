# SPDX-License-Identifier: Apache-2.0
"""COCO's images with the classes of a video data set, for training on both together.

The idea is that of joint trainings such as SeqFormer's, IDOL's and VITA's. A class goes to the one of the same meaning,
or to a wider one that includes it: OVIS's "Vehicle" are cars, buses and trucks. Beyond that, bicycles count as
motorbikes and skis as snowboards where YTVIS has no class for them, as such trainings do. A class that the target
divides is left out, because which part an object belongs to is not known: COCO's birds may be parrots, owls, eagles,
ducks or none of them, so YTVIS 2019 gets no birds. So is one that the target does not have (COCO's sheep in YTVIS),
although such objects are then background.
"""

from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from detectron2.utils.file_io import PathManager

COCO = "coco_2017_train"  # detectron2's data set, whose classes the json has to have

_ANIMALS = ("cat", "dog", "horse", "cow", "elephant", "bear", "zebra", "giraffe")
_YTVIS = {name: name for name in ("person", *_ANIMALS, "airplane", "train", "truck", "boat", "skateboard", "surfboard")}
_YTVIS |= {
    "bicycle": "motorbike",
    "motorcycle": "motorbike",
    "skis": "snowboard",
    "snowboard": "snowboard",
    "tennis racket": "tennis_racket",
}
_OVIS = ("person", "bird", *_ANIMALS, "sheep", "bicycle", "motorcycle", "airplane", "boat")

# folder of the video data set -> {COCO's class: its class}
COCO_TO_VIDEO_CLASSES: dict[str, dict[str, str]] = {
    "ytvis_2019": _YTVIS | {"car": "sedan"},
    "ytvis_2021": _YTVIS | {"car": "car", "bird": "bird", "frisbee": "flying_disc"},
    "ovis": {name: name.capitalize() for name in _OVIS} | dict.fromkeys(("car", "bus", "truck"), "Vehicle"),
}


def register_joint_coco(
    name: str, metadata: dict[str, Any], json_file: str, image_root: str, table: dict[str, str]
) -> None:
    """Register COCO's images with other classes under `name`; the json is read when the data set is first used.

    Args:
        name: the name for `DATASETS.TRAIN` and `DATASETS.TEST`.
        metadata: `thing_classes` and `thing_dataset_id_to_contiguous_id` of the other classes.
        json_file: an annotation file of COCO 2017.
        image_root: the folder that its `file_name`s are relative to.
        table: COCO's class -> one of `thing_classes`.
    """
    DatasetCatalog.register(name, lambda: load_joint_coco(json_file, image_root, metadata["thing_classes"], table))
    # Not as `json_file`, whose categories are COCO's: without one, detectron2's COCOEvaluator makes it of the records.
    MetadataCatalog.get(name).set(source_json=json_file, image_root=image_root, evaluator_type="coco", **metadata)


def load_joint_coco(json_file: str, image_root: str, classes: list[str], table: dict[str, str]) -> list[dict[str, Any]]:
    """Dataset dicts in detectron2's COCO form, of the images that have an object of a class in `table`.

    Raises:
        FileNotFoundError: the json or the image root does not exist.
        ValueError: the json's categories are not COCO's.
    """
    for path, exists in ((json_file, PathManager.isfile), (image_root, PathManager.isdir)):
        if not exists(path):
            raise FileNotFoundError(f"{path}: no such file or folder, expected COCO's")
    coco_classes = MetadataCatalog.get(COCO).thing_classes
    new_labels = {coco_classes.index(name): classes.index(table[name]) for name in table}
    records = []
    for record in load_coco_json(json_file, image_root, COCO):
        record["annotations"] = [
            annotation | {"category_id": new_labels[annotation["category_id"]]}
            for annotation in record["annotations"]
            if annotation["category_id"] in new_labels
        ]
        if record["annotations"]:
            records.append(record)
    return records
