# SPDX-License-Identifier: Apache-2.0
"""A tiny data set in YTVIS's format, whose frames show their number and their instances' masks."""

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image
from pycocotools import mask as mask_util

from ifc.config import add_ifc_config
from ifc.data import register_ytvis_instances

HEIGHT, WIDTH, LENGTH = 24, 40, 6


@dataclass
class TinyDataset:
    """A data set on disk; tests change `content` or the frames and write it again."""

    root: Path
    content: dict[str, Any]

    @property
    def json_file(self) -> str:
        return str(self.root / "train.json")

    @property
    def image_root(self) -> str:
        return str(self.root / "JPEGImages")

    def write(self) -> "TinyDataset":
        Path(self.json_file).write_text(json.dumps(self.content))
        return self

    def frame(self, video: int, frame: int) -> Path:
        return Path(self.image_root) / self.content["videos"][video]["file_names"][frame]


def box_mask(box: tuple[int, int, int, int]) -> np.ndarray:
    """(HEIGHT, WIDTH) uint8, 1 inside of (x1, y1, x2, y2)."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    return mask


def encode(mask: np.ndarray) -> dict[str, Any]:
    rle = mask_util.encode(np.asfortranarray(mask))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def write_frame(path: Path, number: int, boxes: list[tuple[int, int, int, int]]) -> None:
    """A frame whose red is 20 times its number and whose green is 250 inside of the boxes, 0 outside."""
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    image[..., 0] = 20 * number
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2, 1] = 250
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def make_annotation(annotation_id: int, video_id: int, category_id: int, boxes: list, iscrowd: int = 0) -> dict:
    """An annotation from one box or None a frame."""
    return {
        "id": annotation_id,
        "video_id": video_id,
        "category_id": category_id,
        "iscrowd": iscrowd,
        "height": HEIGHT,
        "width": WIDTH,
        "length": len(boxes),
        "segmentations": [encode(box_mask(box)) if box else None for box in boxes],
        "bboxes": [[box[0], box[1], box[2] - box[0], box[3] - box[1]] if box else None for box in boxes],
        "areas": [int(box_mask(box).sum()) if box else None for box in boxes],
    }


@pytest.fixture
def tiny(tmp_path) -> TinyDataset:
    """Two videos of 6 frames, 24 x 40.

    Video 11: one instance of "early" that moves right, one of "late" on frames 0 and 1 alone, and a crowd. Video 5: a
    still instance of "late".
    """
    moving = [(4 * t, 8, 4 * t + 8, 16) for t in range(LENGTH)]
    leaving = [(32, 0, 40, 8), (32, 0, 40, 8), None, None, None, None]
    still = [(16, 8, 24, 24)] * LENGTH
    videos = []
    for video_id in (11, 5):
        names = [f"video{video_id}/{t:05d}.png" for t in range(LENGTH)]
        videos.append({"id": video_id, "file_names": names, "height": HEIGHT, "width": WIDTH, "length": LENGTH})
    annotations = [
        make_annotation(100, 11, 2, moving),
        make_annotation(101, 11, 7, leaving),
        make_annotation(102, 11, 7, [(0, 16, 40, 24)] * LENGTH, iscrowd=1),
        make_annotation(103, 5, 7, still),
    ]
    categories = [{"id": 7, "name": "late"}, {"id": 2, "name": "early"}]
    dataset = TinyDataset(tmp_path, {"videos": videos, "categories": categories, "annotations": annotations})
    for t in range(LENGTH):
        write_frame(dataset.frame(0, t), t, [box for box in (moving[t], leaving[t]) if box])
        write_frame(dataset.frame(1, t), t, [still[t]])
    return dataset.write()


@pytest.fixture
def image_record(tiny):
    """Frame 1 of video 11 as an image in detectron2's COCO form: a polygon, an RLE and a crowd."""
    segmentations = [annotation["segmentations"][1] for annotation in tiny.content["annotations"][:3]]
    segmentations[0] = [[4, 8, 12, 8, 12, 16, 4, 16]]
    annotations = [
        {"category_id": category, "iscrowd": crowd, "bbox": [0, 0, 1, 1], "segmentation": segmentation}
        for category, crowd, segmentation in zip((0, 1, 1), (0, 0, 1), segmentations, strict=True)
    ]
    return {
        "file_name": str(tiny.frame(0, 1)),
        "image_id": 9,
        "height": 24,
        "width": 40,
        "annotations": annotations,
    }


@pytest.fixture
def register():
    """Registers a `TinyDataset`, or any loading function with metadata, for one test; returns its name."""
    names = []

    def register_one(dataset: TinyDataset | None = None, *, load: Any = None, **metadata: Any) -> str:
        name = f"tiny_{uuid.uuid4().hex}"
        if dataset is not None:
            register_ytvis_instances(name, metadata, dataset.json_file, dataset.image_root)
        else:
            DatasetCatalog.register(name, load)
            MetadataCatalog.get(name).set(**metadata)
        names.append(name)
        return name

    yield register_one
    for name in names:
        DatasetCatalog.pop(name)
        MetadataCatalog.pop(name)


@pytest.fixture
def cfg() -> CfgNode:
    """Clips of 3 neighboring frames in the files' size, without flips."""
    cfg = get_cfg()
    add_ifc_config(cfg)
    cfg.INPUT.MIN_SIZE_TRAIN = (HEIGHT,)
    cfg.INPUT.MIN_SIZE_TEST = HEIGHT
    cfg.INPUT.RANDOM_FLIP = "none"
    cfg.INPUT.FORMAT = "RGB"
    cfg.INPUT.SAMPLING_FRAME_NUM = 3
    cfg.MODEL.IFC.NUM_CLASSES = 2
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    cfg.SOLVER.IMS_PER_BATCH = 2
    return cfg
