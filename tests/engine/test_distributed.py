# SPDX-License-Identifier: Apache-2.0
"""Several processes on the CPU learn what one learns from the same batches."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from engine import train_share
from engine.tiny import tiny_config, tiny_model, write_config, write_data
from torch import nn

from ifc.engine import setup_config
from ifc.engine.trainer import distribute


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Four videos to train on, two to evaluate, a configuration and weights to begin with."""
    folder = write_data(tmp_path_factory.mktemp("share"), num_train=4)
    torch.save(tiny_model(tiny_config(folder)).state_dict(), folder / "start.pth")
    return folder


def train(folder: Path, world_size: int, words: list[str], **environment: str) -> subprocess.CompletedProcess:
    """Train in so many processes, which `words` start."""
    words = [*words, "--config-file", write_config(folder), *train_share.opts(world_size, folder)]
    environment |= {"DETECTRON2_DATASETS": str(folder), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(words, env=os.environ | environment, capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stdout + run.stderr
    return run


@pytest.fixture(scope="module")
def one(folder) -> Path:
    """The output of a training in one process."""
    train(folder, 1, [sys.executable, train_share.__file__])
    return folder / "1"


@pytest.fixture(scope="module")
def two(folder) -> Path:
    """The output of a training in two, after which their gradients are in the folder, too, {scenario}_{rank}.pth."""
    train(folder, 2, [sys.executable, train_share.__file__, "--gradients", str(folder), "--num-gpus=2"])
    return folder / "2"


@pytest.fixture(scope="module")
def four(folder) -> Path:
    """The output of a training in four that torchrun has started, of which one is killed."""
    program = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4", "--max-restarts=1"]
    run = train(folder, 4, [sys.executable, *program, train_share.__file__], LOSES_ONE="yes")
    assert re.search(r"exitcode: (-9|1)\b", run.stderr)  # of the killed one, or of one that has lost it
    return folder / "4"


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("scenario", train_share.SCENARIOS)
def test_gradients_are_those_of_one_process(folder, scenario):
    """DistributedDataParallel averages the processes' gradients; what does that make of each loss?

    The mask losses are divided by the number of instances and the cross entropy by the queries' weights, both averaged
    over the processes: the average is exactly what one process computes from the whole batch, whoever has them.
    """
    instances_of_clips, opts = train_share.SCENARIOS[scenario]
    expected = train_share.gradients(setup_config(write_config(folder), opts), instances_of_clips)
    first, second = (torch.load(folder / f"{scenario}_{rank}.pth") for rank in range(2))
    assert first.keys() == second.keys() == expected.keys()
    total = torch.cat([gradient.flatten() for gradient in expected.values()]).norm()
    for name, gradient in expected.items():
        assert torch.equal(first[name], second[name]), name
        # The losses are float32's; that of a bias before a norm has no gradient but rounding.
        assert (first[name] - gradient).norm() < 1e-6 * gradient.norm() + 1e-12 * total, name


def losses(output: Path) -> list[tuple[int, float]]:
    return [tuple(json.loads(line)) for line in (output / "losses.json").read_text().splitlines()]


@pytest.mark.parametrize("number", ["two", "four"])
def test_trained_weights_are_those_of_one_process(request, folder, one, number):
    """Clips have two frames or three, and every process its own; so does one process, which takes them one by one.

    SOLVER.REFERENCE_WORLD_SIZE makes one batch, learning rate and schedule of the different ones that were given.
    """
    output = request.getfixturevalue(number)
    expected, found = losses(one), losses(output)
    assert [step for step, _ in expected] == list(range(train_share.STEPS))
    for step, loss in found:
        assert loss == pytest.approx(expected[step][1], rel=1e-6)
    start, expected, found = (
        torch.load(path)["model"] if path.name == "model_final.pth" else torch.load(path)
        for path in (folder / "start.pth", one / "model_final.pth", output / "model_final.pth")
    )
    moved = {name: (weight - start[name].double()).norm() for name, weight in expected.items()}
    assert sum(distance > 1e-6 for distance in moved.values()) > 200
    for name, distance in moved.items():  # that of a bias before a norm is rounding
        assert (found[name] - expected[name]).norm() < 2e-6 * distance + 1e-12, name
    # Two of the four have no video to evaluate.
    expected, found = (json.loads((folder / "inference" / "results.json").read_text()) for folder in (one, output))
    assert [track.pop("score") for track in found] == pytest.approx([track.pop("score") for track in expected])
    assert found == expected
    assert {track["video_id"] for track in found} == {1, 2}


def test_a_lost_process_is_no_loss(one, four):
    """torchrun starts all four again, and they go on from the last checkpoint."""
    steps = [step for step, _ in losses(four)]
    resumed_at = train_share.PERIOD
    assert steps == [*range(train_share.LOST_AT), *range(resumed_at, train_share.STEPS)]
    assert losses(four)[resumed_at] == losses(four)[train_share.LOST_AT]


def test_one_process_needs_no_wrapper():
    model = nn.Linear(1, 1)
    assert distribute(model) is model


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_only_gpus_have_ids(monkeypatch, device):
    """Any device but the CPU stands for a GPU."""
    calls = []
    monkeypatch.setattr("ifc.engine.trainer.create_ddp_model", lambda *args, **kwargs: calls.append((args, kwargs)))
    model = nn.Linear(1, 1, device=device)
    distribute(model)
    # Buffers are alike everywhere, and processes evaluate different numbers of videos: nobody would answer the last.
    ids = None if device == "cpu" else [torch.device(device)]
    assert calls == [((model,), {"broadcast_buffers": False, "device_ids": ids})]
