# SPDX-License-Identifier: Apache-2.0
"""A COCO test set gets the same numbers from faster-coco-eval and from pycocotools, whichever is installed."""

import json
import sys

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation import coco_evaluation
from detectron2.structures import Boxes, Instances
from faster_coco_eval import COCOeval_faster
from pycocotools.cocoeval import COCOeval

from ifc.evaluation.image_evaluator import ImageEvaluator, installed_coco_eval

SIZE = (40, 50)
CATEGORIES = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}, {"id": 9, "name": "nowhere"}]


@pytest.fixture
def data_set(tmp_path):
    """The name of a registered data set of ten images with up to five rectangles each, as polygons, some crowds."""
    rng = np.random.default_rng(5)
    annotations = []
    for image_id in range(10):
        for _ in range(rng.integers(0, 6)):
            y0, x0 = (int(bound) for bound in rng.integers(0, 20, size=2))
            height, width = (int(side) for side in rng.integers(4, 20, size=2))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(rng.choice([3, 7])),
                    "iscrowd": int(rng.random() < 0.2),
                    "bbox": [x0, y0, width, height],
                    "area": width * height,
                    "segmentation": [[x0, y0, x0 + width, y0, x0 + width, y0 + height, x0, y0 + height]],
                }
            )
    images = [{"id": image_id, "height": SIZE[0], "width": SIZE[1]} for image_id in range(10)]
    path = tmp_path / "coco.json"
    path.write_text(json.dumps({"images": images, "categories": CATEGORIES, "annotations": annotations}))
    MetadataCatalog.get("ten_images").set(
        json_file=str(path),
        thing_dataset_id_to_contiguous_id={3: 0, 7: 1, 9: 2},
        thing_classes=["cat", "dog", "nowhere"],
    )
    yield "ten_images", annotations
    MetadataCatalog.pop("ten_images")


def numbers(data_set, folder, order=range(10)):
    """What an evaluator makes of results that are the objects, moved by up to three pixels, under random classes."""
    name, annotations = data_set
    evaluator = ImageEvaluator(name, str(folder))
    evaluator.reset()
    for image_id in order:
        rng = np.random.default_rng(image_id)
        boxes = [a["bbox"] for a in annotations if a["image_id"] == image_id] + [[0, 0, 10, 10]]
        masks = torch.zeros(len(boxes), *SIZE, dtype=torch.bool)
        for mask, (x, y, width, height) in zip(masks, boxes, strict=True):
            dx, dy = rng.integers(0, 4, size=2)
            mask[y + dy : y + dy + height, x + dx : x + dx + width] = True
        corners = torch.tensor([[x, y, x + width, y + height] for x, y, width, height in boxes], dtype=torch.float32)
        result = Instances(SIZE)
        result.pred_boxes, result.pred_masks = Boxes(corners), masks
        result.scores = torch.tensor(rng.choice([0.2, 0.5, 0.9], size=len(boxes)))
        result.pred_classes = torch.tensor(rng.choice([0, 1, 2], size=len(boxes), p=[0.45, 0.45, 0.1]))
        evaluator.process([{"image_id": image_id}], [{"instances": result}])
    return evaluator.evaluate()


def test_both_give_the_same_numbers(data_set, tmp_path, monkeypatch):
    assert installed_coco_eval() is COCOeval_faster
    fast = numbers(data_set, tmp_path / "fast")
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    assert installed_coco_eval() is COCOeval
    slow = numbers(data_set, tmp_path / "slow")
    assert fast.keys() == slow.keys() == {"bbox", "segm"}
    for task in slow:
        assert fast[task].keys() == slow[task].keys()
        np.testing.assert_allclose(list(fast[task].values()), list(slow[task].values()), rtol=0, atol=1e-9)
    assert 1 < slow["segm"]["AP"] < slow["bbox"]["AP"] < 99
    assert np.isnan(slow["segm"]["AP-nowhere"])


def test_detectron2s_own_choice_is_put_back(data_set, tmp_path, monkeypatch):
    used = []

    class Recorder(COCOeval):
        def evaluate(self):
            used.append(self.params.iouType)
            super().evaluate()

    monkeypatch.setattr("ifc.evaluation.image_evaluator.installed_coco_eval", lambda: Recorder)
    numbers(data_set, tmp_path)
    assert used == ["bbox", "segm"]
    assert coco_evaluation.COCOeval is COCOeval


def test_results_are_in_order_whoever_had_which_image(data_set, tmp_path):
    files = []
    for name, order in (("one", range(10)), ("several", [1, 4, 7, 0, 3, 6, 9, 2, 5, 8])):
        numbers(data_set, tmp_path / name, order)
        files.append((tmp_path / name / "coco_instances_results.json").read_text())
    assert files[0] == files[1]
