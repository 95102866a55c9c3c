# SPDX-License-Identifier: Apache-2.0
"""On a GPU: the reference numbers, the bytes of RLE, training steps, and that the host does not wait for each instance.

They need nothing of conftest.py, so that `ifc benchmark gpu-report` can run them where its libraries are missing.
"""

import json

import numpy as np
import pytest
import torch
from detectron2.utils.events import EventStorage
from golden.models import golden_batch, golden_model, golden_opts, load
from inference.test_video_golden import VIDEOS, assert_golden
from inference.test_video_golden import load as load_video

from ifc import Ifc
from ifc.benchmark.gpu_report.inference import counted_waits
from ifc.benchmark.gpu_report.settings import PACKAGE
from ifc.benchmark.gpu_report.variants import Variant, as_in
from ifc.benchmark.scripted import ScriptedNetwork, shape_logits
from ifc.benchmark.shapes_data import moving_shapes, write_dataset
from ifc.engine import Trainer, setup_config
from ifc.inference.mask_encoding import encode_masks
from ifc.predictor import VideoSegmenter
from ifc.video import VideoReader, VideoWriter
from ifc.video.containers import nvdec

DEVICE = torch.device("cuda")
MIXED = ["SOLVER.AMP.ENABLED", "True"]
TOY = PACKAGE / "models" / "shapes_tiny"

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]


@pytest.fixture(autouse=True)
def exact():
    """Products of float32 in float32."""
    with as_in(Variant(), DEVICE):
        yield


def toy_model(*opts: str) -> Ifc:
    opts = ["MODEL.DEVICE", str(DEVICE), "MODEL.IFC.PRECISION", "float32", *opts]
    return VideoSegmenter.from_config(TOY / "config.yaml", TOY / "model.pth", opts).model


def toy_video(length: int = 12) -> dict:
    frames = [torch.from_numpy(frame.transpose(2, 0, 1).copy()) for frame in moving_shapes(length, (128, 192), 3, 12)]
    return {"image": frames, "height": 180, "width": 270}


@pytest.mark.parametrize("name", VIDEOS)
def test_video(name):
    golden, model, video = load_video(name)
    assert_golden(model.to(DEVICE)([video]), golden, len(video["image"]))


@pytest.mark.parametrize("name", ["train_r50", "train_coco"])
def test_training_step(name):
    golden = load(name)
    model = golden_model(golden_opts(golden)).to(DEVICE).train()
    losses = model(golden_batch(golden))
    sum(losses.values()).backward()
    expected = json.loads(str(golden["losses"]))
    found = {name: value.item() for name, value in (losses | model.metrics).items()}
    assert found == pytest.approx(expected, rel=1e-4)
    gradients = json.loads(str(golden["grad_norms"]))
    parameters = dict(model.named_parameters())
    assert {name: parameters[name].grad.norm().item() for name in gradients} == pytest.approx(gradients, rel=1e-3)


@pytest.mark.parametrize("size", [(720, 1280), (181, 77)])
def test_rle_is_that_of_the_cpu(size):
    logits = shape_logits(12, (90, 160))
    (found,), (expected,) = (encode_masks([x], size) for x in (logits.to(DEVICE), logits))
    assert found == expected and None not in found


def test_nvdec_decodes_as_the_cpu(tmp_path):
    try:
        nvdec()
    except ValueError as error:
        pytest.skip(str(error))
    with VideoWriter(tmp_path / "video.mp4", 25) as writer:
        for frame in moving_shapes(20, (180, 320), 3, 20):
            writer.write(frame)
    found, expected = (list(VideoReader(tmp_path / "video.mp4", name).timed(0.2)) for name in ("nvdec", "cpu"))
    assert [time for time, _ in found] == [time for time, _ in expected] and len(found) == 15
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.image.astype(int), other.image, atol=4)  # of another converter to RGB


@pytest.mark.parametrize("window", [5, 12])
def test_the_host_does_not_wait_for_each_instance(window):
    numbers = []
    for num_instances in (2, 16):
        model = toy_model("INPUT.SAMPLING_FRAME_NUM", str(window), "MODEL.IFC.PRECISION", "bfloat16")
        model.inference.network.prepare()
        model.inference.network = ScriptedNetwork(model.inference.network, num_instances)
        model([toy_video()])
        with counted_waits(DEVICE) as waits:
            model([toy_video()])
        numbers.append(waits)
    assert numbers[0] == numbers[1] and numbers[0]


@pytest.mark.parametrize(
    ("fast", "opts"),
    [
        ("bfloat16", []),
        ("bfloat16", MIXED),
        ("float32", MIXED),  # where bfloat16 is not fast, float16 is used
        ("bfloat16", [*MIXED, "MODEL.IFC.NUM_POINTS", "64", "SOLVER.ACCUMULATE", "2"]),
        ("bfloat16", [*MIXED, "MODEL.IFC.CHECKPOINT_ACTIVATIONS", "['encoder']"]),
        ("bfloat16", ["SOLVER.EMA_DECAY", "0.9", "DATALOADER.NUM_WORKERS", "2"]),
    ],
    ids=["float32", "bfloat16", "float16", "points", "checkpointed", "averaged"],
)
def test_training_runs(fast, opts, tmp_path, monkeypatch):
    monkeypatch.setattr("ifc.engine.step.fast_precision", lambda device: fast)
    paths = write_dataset(tmp_path, 2, (64, 96), length=4, num_instances=2, num_categories=6)
    on_top = [
        "MODEL.DEVICE",
        str(DEVICE),
        "MODEL.WEIGHTS",
        "",
        "SOLVER.IMS_PER_BATCH",
        "2",
        "OUTPUT_DIR",
        str(tmp_path),
    ]
    on_top += ["DATASETS.VIDEO_JSON", str([[tmp_path.name, *paths]]), "DATASETS.TRAIN", f"('{tmp_path.name}',)"]
    on_top += ["DATASETS.TEST", "()", "INPUT.MIN_SIZE_TRAIN", "(64,)", "DATALOADER.NUM_WORKERS", "0"]
    trainer = Trainer(setup_config(str(TOY / "config.yaml"), [*on_top, *opts]))
    before = [x.clone() for x in trainer.model.parameters()]
    with EventStorage() as storage:
        for trainer.iter in range(8):  # a loss scaler may leave the first ones out
            trainer.run_step()
            storage.step()
        trainer._trainer.settle()
        assert storage.latest()["total_loss"][0] > 0
        assert storage.latest()["skipped_steps"][0] == 0
    assert any(not torch.equal(x, y) for x, y in zip(before, trainer.model.parameters(), strict=True))


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled(mode):
    """A video after another one, of another length: what is recorded is replayed, and is not overwritten."""
    plain, compiled = toy_model(), toy_model("MODEL.IFC.COMPILE", mode)
    for length in (12, 9, 12):
        results = [model([toy_video(length)]) for model in (plain, compiled)]
        expected, found = (
            [(label, score) for label, score in zip(x["pred_labels"], x["pred_scores"], strict=True) if score > 0.3]
            for x in results
        )
        assert expected and [label for label, _ in found] == [label for label, _ in expected]
        assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-3)
