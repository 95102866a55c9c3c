# SPDX-License-Identifier: Apache-2.0
"""One step in all its ways: in parts, averaged, in bfloat16, with losses that are no numbers, and frames that go."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from engine.tiny import LENGTH, register_data, tiny_config, write_data

from ifc import Ifc
from ifc.engine import Trainer, step
from ifc.engine.failed_step import replay_step
from ifc.engine.step import NotFiniteError
from ifc.training import ClipCriterion

TRAIN = ["SEED", 1, "DATASETS.TRAIN", ("engine_train",), "DATASETS.TEST", ()]


def trained(cfg, seed: int = 0) -> Trainer:
    torch.manual_seed(seed)
    trainer = Trainer(cfg)
    trainer.train()
    return trainer


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


def metrics(cfg) -> dict[str, float]:
    """The latest value of every number in metrics.json."""
    lines = Path(cfg.OUTPUT_DIR, "metrics.json").read_text().splitlines()
    return {name: value for line in lines for name, value in json.loads(line).items()}


def spoil(monkeypatch, *iterations: int) -> None:
    """Let the losses of these forward passes, counted from 0, be NaN."""
    forward, calls = ClipCriterion.forward, []

    def spoiled(self, *args):
        losses, found = forward(self, *args)
        calls.append(1)
        return ({n: v * math.nan for n, v in losses.items()} if len(calls) - 1 in iterations else losses), found

    monkeypatch.setattr(ClipCriterion, "forward", spoiled)


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_accumulated_steps_are_those_of_a_whole_batch(data, tmp_path, parts):
    """Also with parts of unequal numbers of clips and of instances. Plain SGD, whose steps are the gradients."""
    opts = [*TRAIN, "SOLVER.OPTIMIZER", "SGD", "SOLVER.BASE_LR", 0.01, "SOLVER.IMS_PER_BATCH", 4, "SOLVER.MAX_ITER", 3]
    whole = trained(tiny_config(tmp_path, *opts))
    found = metrics(whole.cfg)
    shutil.rmtree(whole.cfg.OUTPUT_DIR)
    accumulated = trained(tiny_config(tmp_path, *opts, "SOLVER.ACCUMULATE", parts))
    torch.manual_seed(0)
    start = weights(Trainer(whole.cfg))
    moved = (weights(whole) - start).norm()
    assert (weights(accumulated) - weights(whole)).norm() < 2e-4 * moved
    again = metrics(accumulated.cfg)
    losses = [name for name in found if "loss" in name]
    assert len(losses) == 7
    assert [again[name] for name in losses] == pytest.approx([found[name] for name in losses], rel=1e-4)


def test_clips_of_a_video_stay_in_one_part(data, tmp_path, monkeypatch):
    """Three parts of four clips that are two pairs: two."""
    pairs = ["SOLVER.IMS_PER_BATCH", 4, "INPUT.CLIPS_PER_VIDEO", 2, "MODEL.IFC.APPEARANCE.DIM", 8]
    parts, forward = [], Ifc.forward

    def spied(self, batch, *args):
        parts.append([clip["video_id"] for clip in batch])
        return forward(self, batch, *args)

    monkeypatch.setattr(Ifc, "forward", spied)
    cfg = tiny_config(tmp_path, *TRAIN, *pairs, "SOLVER.ACCUMULATE", 3, "SOLVER.MAX_ITER", 2)
    trained(cfg)
    assert len(parts) == 4 and all(len(part) == 2 and len(set(part)) == 1 for part in parts)
    assert metrics(cfg)["loss_appearance"] > 0


def test_averaged_weights(data, tmp_path):
    """Against the recursion, evaluated and saved beside the weights."""
    opts = ["SOLVER.EMA_DECAY", 0.75, "SOLVER.MAX_ITER", 3, "DATASETS.TEST", ("engine_val",)]
    cfg = tiny_config(tmp_path, *TRAIN, *opts, "SOLVER.CHECKPOINT_PERIOD", 1, "SOLVER.KEEP_CHECKPOINTS", 0)
    trained(cfg)
    output = Path(cfg.OUTPUT_DIR)
    names = ["model_0000000.pth", "model_0000001.pth", "model_final.pth"]
    first, *others = (torch.load(output / name, weights_only=True)["model"] for name in names)
    expected = {name: value.double() for name, value in first.items()}
    for state in others:
        expected = {name: 0.75 * value + 0.25 * state[name].double() for name, value in expected.items()}
    averaged = torch.load(output / "model_final_ema.pth", weights_only=True)["model"]
    parameters = [name for name, value in averaged.items() if "running" not in name and "num_batches" not in name]
    for name in parameters:
        torch.testing.assert_close(averaged[name].double(), expected[name], rtol=1e-5, atol=1e-6, msg=name)
    assert {"segm/AP", "ema/segm/AP"} <= metrics(cfg).keys()
    assert (output / "inference_ema" / "results.json").exists()


def test_the_best_and_the_newest_checkpoints_stay(data, tmp_path, monkeypatch):
    scores = iter([3.0, 7.0, math.nan, 5.0])
    monkeypatch.setattr(Trainer, "test", classmethod(lambda cls, *_: {"segm": {"AP": next(scores)}}))
    opts = ["SOLVER.MAX_ITER", 4, "TEST.EVAL_PERIOD", 1, "DATASETS.TEST", ("engine_val",)]
    cfg = tiny_config(tmp_path, *TRAIN, *opts, "SOLVER.CHECKPOINT_PERIOD", 100)
    trained(cfg)
    output = Path(cfg.OUTPUT_DIR)
    files = sorted(path.name for path in output.glob("*.pth"))
    assert files == ["model_0000001.pth", "model_0000002.pth", "model_best.pth", "model_final.pth"]
    best, second = (torch.load(output / name, weights_only=True) for name in ("model_best.pth", "model_0000001.pth"))
    assert (best["iteration"], best["AP"]) == (1, 7.0)
    torch.testing.assert_close(best["model"], second["model"], rtol=0, atol=0)


def test_amp_is_bfloat16_where_that_is_fast(data, tmp_path, monkeypatch):
    """On any CPU here: the network's products are, and the losses are not."""
    monkeypatch.setattr(step, "fast_precision", lambda _: "bfloat16")
    found = {}
    score = ClipCriterion.forward

    def forward(self, predictions, *args):
        found["logits"], found["autocast"] = predictions.pred_logits.dtype, torch.is_autocast_enabled("cpu")
        return score(self, predictions, *args)

    monkeypatch.setattr(ClipCriterion, "forward", forward)
    plain = trained(tiny_config(tmp_path, *TRAIN))
    reference = metrics(plain.cfg)["total_loss"]
    shutil.rmtree(plain.cfg.OUTPUT_DIR)
    trainer = trained(tiny_config(tmp_path, *TRAIN, "SOLVER.AMP.ENABLED", True))
    assert found == {"logits": torch.bfloat16, "autocast": False}
    assert all(parameter.dtype == torch.float32 for parameter in trainer.model.parameters())
    assert metrics(trainer.cfg)["total_loss"] == pytest.approx(reference, rel=0.05)
    assert metrics(trainer.cfg)["total_loss"] != reference


@pytest.mark.filterwarnings("ignore:Error detected in .*Backward0", "ignore:Anomaly Detection has been enabled")
def test_losses_that_are_no_numbers_end_the_run(data, tmp_path, monkeypatch):
    """With the weights from before, and all that it takes to make the step again."""
    opts = ["SOLVER.MAX_ITER", 4, "SOLVER.CHECKPOINT_PERIOD", 1, "MODEL.IFC.DROPOUT", 0.3]
    cfg = tiny_config(tmp_path, *TRAIN, *opts, "INPUT.CLIPS_PER_VIDEO", 2, "MODEL.IFC.APPEARANCE.DIM", 8)
    spoil(monkeypatch, 2, 4)
    torch.manual_seed(0)
    trainer = Trainer(cfg)
    with pytest.raises(NotFiniteError, match=r"^iteration 2: .* loss_ce.*/JPEGImages/.*\.jpg.*--replay .*_0\.pth "):
        trainer.train()
    output = Path(cfg.OUTPUT_DIR)
    (dump,) = output.glob("not_finite_*.pth")
    states = [torch.load(path, weights_only=True)["model"] for path in (dump, output / "model_0000001.pth")]
    torch.testing.assert_close(*states, rtol=0, atol=0)
    replay_step(cfg, str(dump))  # the fourth pass, which is not spoiled
    with pytest.raises(FloatingPointError, match="found NaN or infinity in loss_ce_0, .*Backward0"):
        replay_step(cfg, str(dump))
    with pytest.raises(ValueError, match=r"--replay .*model_0000001.pth: expected a file that a training wrote when"):
        replay_step(cfg, str(output / "model_0000001.pth"))


@pytest.mark.parametrize(("spoiled", "ends"), [([1], False), ([1, 2], False), ([1, 2, 3], True), ([1, 3, 4], False)])
def test_steps_that_may_be_left_out(data, tmp_path, monkeypatch, spoiled, ends):
    """Two in a row may; a step that is left out changes no weight."""
    cfg = tiny_config(tmp_path, *TRAIN, "SOLVER.MAX_ITER", 6, "SOLVER.MAX_SKIPPED_STEPS", 2)
    cfg.defrost()
    cfg.SOLVER.CHECKPOINT_PERIOD, cfg.SOLVER.KEEP_CHECKPOINTS = 1, 0
    spoil(monkeypatch, *spoiled)
    if ends:
        with pytest.raises(NotFiniteError, match="^iteration 3: "):
            trained(cfg)
        return
    trainer = trained(cfg)
    assert torch.isfinite(weights(trainer)).all()
    assert metrics(cfg)["skipped_steps"] == len(spoiled)
    names = [f"model_{iteration:07d}.pth" for iteration in range(5)]
    states = [torch.load(Path(cfg.OUTPUT_DIR, name), weights_only=True)["model"] for name in names]
    same = [all(map(torch.equal, a.values(), b.values())) for a, b in zip(states, states[1:], strict=False)]
    assert [iteration for iteration, is_same in enumerate(same, start=1) if is_same] == spoiled


@pytest.fixture
def breaking_data(tmp_path):
    """Data sets breaking_train, whose frames a test may remove."""
    root = write_data(tmp_path / "data", num_train=4)
    register_data(root, "breaking")
    yield root / "shapes" / "train" / "JPEGImages"
    for split in ("train", "val", "coco_train", "coco_val"):
        DatasetCatalog.pop(f"breaking_{split}")
        MetadataCatalog.pop(f"breaking_{split}")


@pytest.mark.parametrize("workers", [0, 2])
def test_frames_that_cannot_be_read_are_replaced(breaking_data, tmp_path, workers):
    """The same way each time; more than the allowed share end the run with their list."""
    opts = ["DATASETS.TRAIN", ("breaking_train",), "SOLVER.MAX_ITER", 4, "DATALOADER.NUM_WORKERS", workers]
    cfg = tiny_config(tmp_path, *TRAIN, *opts, "DATALOADER.MAX_UNREADABLE", 0.25)
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        trainer = Trainer(cfg)  # which finds all as it should be
        for t in range(LENGTH):
            (breaking_data / "00001" / f"{t:05d}.jpg").rename(tmp_path / f"{t}.jpg")
        trainer.train()
        found.append(weights(trainer))
        for t in range(LENGTH):
            (tmp_path / f"{t}.jpg").rename(breaking_data / "00001" / f"{t:05d}.jpg")
    assert torch.equal(*found)
    assert metrics(cfg)["unreadable_samples"] == 1
    cfg = tiny_config(tmp_path, *TRAIN, *opts, "DATALOADER.MAX_UNREADABLE", 0.2)
    trainer = Trainer(cfg)
    shutil.rmtree(breaking_data / "00001")
    with pytest.raises(OSError, match=r"^DATALOADER.MAX_UNREADABLE: found 1 .*/00001/\d+\.jpg") as error:
        trainer.train()
    assert "00002" not in str(error.value)
