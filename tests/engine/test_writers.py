# SPDX-License-Identifier: Apache-2.0
"""What a training tells while it runs: the progress line, metrics.json, TensorBoard's events and pictures."""

import json
import logging
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
from detectron2.engine.hooks import CallbackHook
from detectron2.utils.events import EventStorage
from engine.tiny import tiny_config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ifc.engine import Trainer
from ifc.engine.writers import MetricsWriter, ProgressPrinter, TensorBoardWriter, tensorboard_name
from ifc.monitoring.metrics_file import read_metrics


def events_of(folder) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()


def run(folder, start: int, end: int, base: float, close: bool = True) -> None:
    """Steps that put what a training does, and writers that write after every 20th and an evaluation at every 30th."""
    trainer = SimpleNamespace(start_iter=start)
    writers = [MetricsWriter(str(folder), trainer), TensorBoardWriter(str(folder), trainer)]
    with EventStorage(start) as storage:
        for iteration in range(start, end):
            storage.iter = iteration
            storage.put_scalars(total_loss=base + iteration, clipped=iteration % 4 == 0)
            storage.put_scalar("lr", base, smoothing_hint=False)
            if iteration % 30 == 29:
                storage.put_scalar("segm/AP", base + iteration, smoothing_hint=False)
                storage.put_scalar("segm/APl", math.nan, smoothing_hint=False)
            if iteration % 20 == 19:
                for writer in writers:
                    writer.write()
    for writer in writers if close else []:
        writer.close()


def test_noisy_numbers_are_smoothed_over_the_last_steps(tmp_path):
    run(tmp_path, 0, 60, 0.0)
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [19, 29, 39, 59]
    assert lines[0] == {"iteration": 19, "total_loss": 9.5, "clipped": 0.25, "lr": 0.0}  # the share of the steps
    assert lines[1] == {"iteration": 29, "segm/AP": 29.0, "segm/APl": None}
    assert lines[3] == {"iteration": 59, "total_loss": 49.5, "clipped": 0.25, "lr": 0.0} | lines[3]


def test_what_comes_later_for_an_iteration_is_written_too(tmp_path):
    """An evaluation's numbers come after those of the step have been written."""
    writer = MetricsWriter(str(tmp_path), SimpleNamespace(start_iter=0))
    with EventStorage(19) as storage:
        for name in ("lr", "segm/AP"):
            storage.put_scalar(name, 1, smoothing_hint=False)
            writer.write()
            writer.write()
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    assert lines == [{"iteration": 19, "lr": 1.0}, {"iteration": 19, "segm/AP": 1.0}]


def test_a_resumed_run_replaces_what_it_computes_again(tmp_path):
    """A run that is killed and one that goes on from an earlier checkpoint leave one curve."""
    run(tmp_path, 0, 100, 0.0, close=False)
    run(tmp_path, 50, 120, 1000.0)
    expected = {"total_loss": [(19, 9.5), (39, 29.5), (59, 1054.5), (79, 1069.5), (99, 1089.5), (119, 1109.5)]}
    expected["segm/AP"] = [(29, 29.0), (59, 1059.0), (89, 1089.0), (119, 1119.0)]
    events, metrics = events_of(tmp_path), read_metrics(tmp_path)
    for name, points in expected.items():
        shown = [(event.step, event.value) for event in events.Scalars(tensorboard_name(name))]
        assert shown == points
        assert list(zip(*metrics[name], strict=True)) == points
    iterations = [json.loads(line)["iteration"] for line in (tmp_path / "metrics.json").read_text().splitlines()]
    assert iterations == sorted(set(iterations))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("loss_ce", "loss_ce/last_layer"),
        ("loss_mask_0", "loss_mask/layer_0"),
        ("loss_appearance", "loss_appearance/last_layer"),
        ("cardinality_error_1", "cardinality_error/layer_1"),
        ("lr_backbone", "learning_rate/lr_backbone"),
        ("total_loss", "training/total_loss"),
        ("gradient_norm", "training/gradient_norm"),
        ("data_time", "speed/data_time"),
        ("segm/AP", "segm/AP"),
        ("own", "own"),
    ],
)
def test_cards_of_tensorboard(name, expected):
    assert tensorboard_name(name) == expected


def progress(caplog, monkeypatch, max_iter: int, iteration: int, **numbers: float) -> str:
    """The line at an iteration of a training of which these numbers are known."""
    monkeypatch.setattr(logging.getLogger("ifc"), "propagate", True)
    caplog.clear()
    printer = ProgressPrinter(max_iter, "cpu")
    with caplog.at_level(logging.INFO, "ifc"), EventStorage(iteration) as storage:
        printer.write()  # as after a step that ended in an error
        storage.put_scalar("lr", 1e-4, smoothing_hint=False)
        storage.put_scalars(**numbers)
        printer.write()
        printer.write()  # as after a training that ended here
        assert storage.history("peak_memory_mib").latest() > 1
        storage.iter = max_iter
        printer.write()
    (record,) = caplog.records
    return record.getMessage()


def test_progress_line(caplog, monkeypatch):
    line = progress(caplog, monkeypatch, 160_000, 99_999, total_loss=12.3456, time=2.0, data_time=0.01)
    assert re.fullmatch(r"100000/160000  eta 1 day, 9:20:00  2 s/step  loss 12.35  [\d,]+ MiB", line)
    assert len(line) + len("[11/27 11:57:03 ifc]: ") <= 100


def test_progress_line_says_what_is_wrong(caplog, monkeypatch):
    numbers = {"time": 2.0, "data_time": 0.5, "skipped_steps": 3, "unreadable_samples": 0}
    line = progress(caplog, monkeypatch, 20, 9, **numbers)
    assert "25% of it waiting for data" in line and line.endswith("skipped steps: 3")
    assert re.fullmatch(r"2/9  [\d,]+ MiB", progress(caplog, monkeypatch, 9, 1))  # before times and losses are known


def test_a_training_and_its_pictures(data, tmp_path):
    """Losses by layer, both learning rates and AP in both files, and pictures of the first data set's videos."""
    opts = ["DATASETS.TRAIN", ("engine_train",), "DATASETS.TEST", ("engine_val", "engine_train")]
    cfg = tiny_config(tmp_path, *opts, "TEST.PICTURES", 1, "TEST.EVAL_PERIOD", 1)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    before_step = []
    metrics_file = tmp_path / "output" / "metrics.json"
    trainer.register_hooks([CallbackHook(before_step=lambda _: before_step.append(metrics_file.exists()))])
    trainer.train()
    assert before_step == [False, True]  # an evaluation's numbers do not wait
    metrics, events = read_metrics(cfg.OUTPUT_DIR), events_of(cfg.OUTPUT_DIR)
    assert {f"loss_{kind}{layer}" for kind in ("ce", "mask", "dice") for layer in ("", "_0")} < metrics.keys()
    assert {"total_loss", "class_error", "data_time", "engine_val/segm/AP", "gradient_norm", "clipped"} < metrics.keys()
    np.testing.assert_allclose(metrics["lr_backbone"][1], cfg.SOLVER.BACKBONE_MULTIPLIER * metrics["lr_rest"][1])
    assert metrics["lr_rest"][1] == pytest.approx([cfg.SOLVER.BASE_LR] * 2)
    for name, (iterations, values) in metrics.items():
        shown = events.Scalars(tensorboard_name(name))
        assert [event.step for event in shown] == iterations.tolist()
        np.testing.assert_allclose([event.value for event in shown], values, rtol=1e-6)
    (tag,) = events.Tags()["images"]
    assert re.fullmatch(r"engine_val/video_\d_found_above_annotated", tag)
    pictures = events.Images(tag)
    assert [picture.step for picture in pictures] == [0, cfg.SOLVER.MAX_ITER]
    picture = pictures[0]
    assert (picture.width, picture.height) == (4 * 320 + 3 * 8, 2 * 213 + 8)  # of 64 x 96 pixels each
