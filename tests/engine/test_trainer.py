# SPDX-License-Identifier: Apache-2.0
"""Training, resuming and evaluating on the tiny data set, and what cannot be trained on."""

import json
import math
import re
from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.evaluation import verify_results
from engine.tiny import LENGTH, tiny_config, tiny_model

from ifc.data import loaders, mapper
from ifc.engine import Trainer
from ifc.evaluation.evaluator import IncompleteResultsError
from ifc.ytvis import ground_truth

NO_TEST = ["DATASETS.TEST", ()]
TRAIN = ["DATASETS.TRAIN", ("engine_train",)]
WARMUP = ["SOLVER.WARMUP_ITERS", 4, "SOLVER.WARMUP_FACTOR", 0.1, "SOLVER.MAX_ITER", 4, "SOLVER.CHECKPOINT_PERIOD", 2]


def trained(cfg, resume: bool = False) -> Trainer:
    torch.manual_seed(0)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return trainer


def test_metrics(data, tmp_path):
    """Losses, their sum, and the two errors, which are no part of it."""
    trained(tiny_config(tmp_path, *TRAIN, "DATASETS.TEST", ("engine_val",)))
    lines = [json.loads(line) for line in (tmp_path / "output" / "metrics.json").read_text().splitlines()]
    metrics = {key: value for line in lines for key, value in line.items()}
    losses = [f"loss_{kind}{suffix}" for kind in ("ce", "mask", "dice") for suffix in ("", "_0")]
    assert {name for name in metrics if name.startswith("loss_")} == set(losses)
    assert metrics["total_loss"] == pytest.approx(sum(metrics[name] for name in losses), rel=1e-5)
    assert 0 <= metrics["class_error"] <= 100
    assert metrics["cardinality_error"] >= 0 and metrics["cardinality_error_0"] >= 0
    assert math.isfinite(metrics["segm/AP"])


def test_resuming_a_finished_run_trains_no_more(data, tmp_path, monkeypatch):
    cfg = tiny_config(tmp_path, *TRAIN, "DATASETS.TEST", ("engine_val",))
    finished = trained(cfg)
    monkeypatch.setattr(Trainer, "run_step", lambda _: pytest.fail("a step was taken"))
    resumed = trained(cfg, resume=True)
    assert all(map(torch.equal, finished.model.state_dict().values(), resumed.model.state_dict().values()))
    assert resumed._last_eval_results.keys() == {"segm"}


def test_without_resume_weights_alone_are_loaded(data, tmp_path):
    cfg = tiny_config(tmp_path, *TRAIN, *NO_TEST)
    first = trained(cfg)
    weights = str(tmp_path / "output" / "model_final.pth")
    second = Trainer(tiny_config(tmp_path, *TRAIN, *NO_TEST, "MODEL.WEIGHTS", weights))
    second.resume_or_load(resume=False)
    assert all(map(torch.equal, first.model.state_dict().values(), second.model.state_dict().values()))
    assert second.start_iter == 0
    assert second.optimizer.state_dict()["state"] == {}


@pytest.mark.parametrize("fault", ["optimizer", "trainer"])
def test_resuming_from_another_training(data, tmp_path, fault):
    cfg = tiny_config(tmp_path, *TRAIN, *NO_TEST)
    trained(cfg)
    path = tmp_path / "output" / "model_final.pth"
    checkpoint = torch.load(path)
    if fault == "optimizer":
        del checkpoint["trainer"]["_trainer"]["optimizer"]["param_groups"][0]
    else:
        del checkpoint["trainer"]["_trainer"]
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=f"^--resume: .* in {cfg.OUTPUT_DIR}, found one whose training state does not"):
        Trainer(cfg).resume_or_load(resume=True)


def test_resuming_from_weights_alone(data, tmp_path):
    cfg = tiny_config(tmp_path, *TRAIN, *NO_TEST)
    trained(cfg)
    path = tmp_path / "output" / "model_final.pth"
    torch.save({"model": torch.load(path)["model"]}, path)
    expected = rf"^--resume: expected a checkpoint of a training, found {re.escape(str(path))} with weights alone"
    with pytest.raises(ValueError, match=expected):
        Trainer(cfg).resume_or_load(resume=True)


def test_every_test_set_has_its_own_mapper_and_evaluator(data, tmp_path):
    cfg = tiny_config(tmp_path, "DATASETS.TEST", ("engine_val", "engine_coco_val"))
    results = Trainer.test(cfg, tiny_model(cfg))
    assert list(results) == ["engine_val", "engine_coco_val"]
    assert results["engine_val"].keys() == {"segm"}
    assert results["engine_coco_val"].keys() == {"bbox", "segm"}
    assert {"AP", "AR100", "APl"} <= results["engine_val"]["segm"].keys()
    inference = tmp_path / "output" / "inference"
    assert (inference / "engine_val" / "results.json").is_file()
    assert json.loads((inference / "engine_coco_val" / "coco_instances_results.json").read_text())


@pytest.mark.parametrize("optimizer", ["ADAMW", "SGD"])
def test_resuming_with_other_classes(data, tmp_path, variant, optimizer):
    """A finetuning's class head may start fresh, not that of a training that goes on."""
    trained(tiny_config(tmp_path, *TRAIN, *NO_TEST, "SOLVER.OPTIMIZER", optimizer))
    name = variant("train", lambda content: content["categories"].append({"id": 99, "name": "new"}))
    opts = ["DATASETS.TRAIN", (name,), "MODEL.IFC.NUM_CLASSES", 7, "SOLVER.OPTIMIZER", optimizer]
    trainer = Trainer(tiny_config(tmp_path, *opts, *NO_TEST))
    with pytest.raises(ValueError, match=r"^--resume: expected .* does not fit: \w+ of shape \[7.* of shape \[8"):
        trainer.resume_or_load(resume=True)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("id", 0, "an integer from 1"),
        ("bbox", [1, 2, 3], "[x, y, width, height]"),
        ("area", None, "a number of pixels"),
        ("iscrowd", None, "0 or 1"),
        ("segmentation", [], "a mask"),
        ("segmentation", {"size": [1, 1], "counts": "01"}, "[64, 96]"),
    ],
)
def test_images_that_cannot_be_evaluated(tmp_path, variant, key, value, expected):
    name = variant("coco_val", lambda content: content["annotations"][1].update({key: value}))
    cfg = tiny_config(tmp_path, "DATASETS.TEST", (name,))
    message = rf"/{name}.json: annotation \d+: {key}.*: found .*, expected {re.escape(expected)}"
    with pytest.raises(ValueError, match=message):
        Trainer.build_test_sets(cfg)


def test_images_whose_ids_are_words(tmp_path, variant):
    name = variant("coco_val", lambda content: content.update(images=[content["images"][0] | {"id": "a"}]))
    with pytest.raises(ValueError, match=f"/{name}.json: images: id: found 'a', expected an integer$"):
        Trainer.build_test_sets(tiny_config(tmp_path, "DATASETS.TEST", (name,)))


@pytest.mark.parametrize("mended", [False, True])
def test_a_frame_that_breaks_is_said_when_the_training_is_done(data, tmp_path, monkeypatch, mended):
    """After all steps, with the numbers of all data sets; an evaluation on the way does not end it."""
    read_frame, num_broken = mapper.read_frame, 0

    def read(file_name, *args):
        nonlocal num_broken
        if file_name.endswith("val/JPEGImages/00001/00003.jpg") and not (mended and num_broken == 2):
            num_broken += 1
            raise ValueError(f"{file_name}: not readable as an image")
        return read_frame(file_name, *args)

    monkeypatch.setattr(mapper, "read_frame", read)
    opts = ["DATASETS.TEST", ("engine_val", "engine_train"), "TEST.EVAL_PERIOD", 1, "SOLVER.MAX_ITER", 3]
    trainer = Trainer(tiny_config(tmp_path, *TRAIN, *opts))
    if mended:
        trainer.train()
    else:
        with pytest.raises(IncompleteResultsError, match=r"^Data set engine_val: video 2 .* in part only: .* is in"):
            trainer.train()
    assert trainer.iter == 3
    lines = [json.loads(line) for line in (tmp_path / "output" / "metrics.json").read_text().splitlines()]
    assert {"engine_val/segm/AP", "engine_train/segm/AP"} < lines[-1].keys()
    assert num_broken == (2 if mended else 3)


def test_results_are_verified(data, tmp_path):
    expected = [["segm", "AP50", 50.0, 50.0], ["segm", "AR10", 0.0, 100.0]]
    cfg = tiny_config(tmp_path, "DATASETS.TEST", ("engine_val",), "TEST.EXPECTED_RESULTS", expected)
    results = Trainer.test(cfg, tiny_model(cfg))
    assert results.keys() == {"segm"}
    assert verify_results(cfg, results)
    for wrong in (["segm", "AP50", -5.0, 1.0], ["segm", "AP49", 0.0, 100.0]):
        other = tiny_config(tmp_path, "DATASETS.TEST", ("engine_val",), "TEST.EXPECTED_RESULTS", [wrong])
        with pytest.raises(SystemExit) as end:
            verify_results(other, results)
        assert end.value.code == 1


def without_annotations(content):
    del content["annotations"]


def test_split_without_annotations(tmp_path, variant):
    cfg = tiny_config(tmp_path, "DATASETS.TEST", (variant("val", without_annotations),))
    results = Trainer.test(cfg, Trainer.build_model(cfg), Trainer.build_test_sets(cfg))
    assert results == {}
    assert verify_results(cfg, results)
    assert (tmp_path / "output" / "inference" / "results.json").is_file()


def test_training_with_a_test_split_without_annotations(data, tmp_path, variant):
    cfg = tiny_config(tmp_path, *TRAIN, "DATASETS.TEST", (variant("val", without_annotations),))
    assert trained(cfg)._last_eval_results == {}


def unknown_category(content):
    content["annotations"][0]["category_id"] = 77


def one_class_less(content):
    content["categories"].pop()
    known = {category["id"] for category in content["categories"]}
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] in known]


def no_videos(content):
    content["videos"], content["annotations"] = [], []


def another_size(content):
    content["videos"][-1]["height"] += 1
    last = content["videos"][-1]["id"]
    content["annotations"] = [a for a in content["annotations"] if a["video_id"] != last]


def missing_frame(content):
    content["videos"][-1]["file_names"][-1] = "gone.jpg"


@pytest.mark.parametrize("key", ["DATASETS.TRAIN", "DATASETS.TEST"])
@pytest.mark.parametrize(
    ("change", "paths", "message"),
    [
        (dict, {"json_file": "nowhere.json"}, "nowhere.json: annotation file"),
        (dict, {"image_root": "nowhere"}, "nowhere: image folder"),
        (unknown_category, {}, r"annotation 1: .*category_id: found 77"),
        (one_class_less, {}, "MODEL.IFC.NUM_CLASSES: found 6, expected 5, the classes of data set"),
        (no_videos, {}, "videos: found an empty list"),
        (another_size, {}, "found 64 x 96, expected 65 x 96"),
        (missing_frame, {}, "gone.jpg: found no such file"),
    ],
)
def test_data_that_cannot_be_used(data, tmp_path, variant, key, change, paths, message):
    """Known before any training, also where only the evaluation at its end would meet it."""
    cfg = tiny_config(tmp_path, *TRAIN, *NO_TEST, key, (variant("train", change, **paths),))
    with pytest.raises((OSError, ValueError), match=message):
        Trainer(cfg)


@pytest.mark.parametrize("key", ["DATASETS.TRAIN", "DATASETS.TEST"])
def test_data_set_that_is_not_registered(data, tmp_path, key):
    assert "nowhere_train" not in DatasetCatalog
    with pytest.raises(
        ValueError, match="^data set 'nowhere_train' is not registered, expected one of: .*engine_train"
    ):
        Trainer(tiny_config(tmp_path, *TRAIN, *NO_TEST, key, ("nowhere_train",)))


def test_batch_that_the_processes_cannot_share(data, tmp_path, monkeypatch):
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 3)
    cfg = tiny_config(tmp_path, *TRAIN, *NO_TEST)
    with pytest.raises(ValueError, match=r"^SOLVER.IMS_PER_BATCH: found 2, expected a multiple of .* processes, 3$"):
        Trainer(cfg)


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (["SOLVER.LR_SCHEDULER_NAME", "Cosine"], "SOLVER: found LR_SCHEDULER_NAME 'Cosine', .*Unknown LR scheduler"),
        (["SOLVER.WARMUP_METHOD", "cold"], "SOLVER: found .*WARMUP_METHOD 'cold', of which no schedule can be made"),
        (["MODEL.RESNETS.NORM", "XN"], "MODEL: cannot be built from this config: KeyError: 'XN'"),
        (["MODEL.RESNETS.OUT_FEATURES", ["res4"]], "MODEL.RESNETS.OUT_FEATURES: expected"),
    ],
)
def test_values_that_only_building_finds(data, tmp_path, opts, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Trainer(tiny_config(tmp_path, *TRAIN, *NO_TEST, *opts))


def test_a_test_set_is_read_and_its_frames_are_looked_at_once(data, tmp_path, variant, monkeypatch):
    """By the checks before the training, two evaluations on its way and the one at its end."""
    reads, looks = [], []
    load_json, check_image = ground_truth.load_json, loaders.check_image
    monkeypatch.setattr(ground_truth, "load_json", lambda path, what: reads.append(path) or load_json(path, what))
    monkeypatch.setattr(loaders, "check_image", lambda path, size: looks.append(path) or check_image(path, size))
    val, train = variant("val"), variant("train")
    opts = ["DATASETS.TEST", (val,), "DATASETS.TRAIN", (train,), "TEST.EVAL_PERIOD", 1, "SOLVER.MAX_ITER", 3]
    trained(tiny_config(tmp_path, *opts))
    assert [Path(path).stem for path in reads] == [val, train]
    assert len(looks) == len(set(looks)) == 2 * (2 * LENGTH)


def test_expected_results_need_annotations(data, tmp_path, variant):
    expected = ["TEST.EXPECTED_RESULTS", [["segm", "AP", 1.0, 1.0]]]
    for split in ("val", "coco_val"):
        bare = variant(split, without_annotations)
        with pytest.raises(ValueError, match=f"^TEST.EXPECTED_RESULTS: .*'{bare}' has no annotations"):
            Trainer.build_test_sets(tiny_config(tmp_path, "DATASETS.TEST", (bare,), *expected))
    (test_set,) = Trainer.build_test_sets(tiny_config(tmp_path, "DATASETS.TEST", ("engine_val",), *expected))
    assert test_set.name == "engine_val"
