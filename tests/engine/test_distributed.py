# SPDX-License-Identifier: Apache-2.0
"""Two processes on the CPU learn what one learns from the same batch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from engine import train_share
from engine.tiny import write_config
from torch import nn

from ifc.engine import setup_config
from ifc.engine.trainer import distribute


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where two processes left their gradients, {scenario}_{rank}.pth."""
    folder = tmp_path_factory.mktemp("gradients")
    program = [sys.executable, train_share.__file__, write_config(folder), str(folder)]
    run = subprocess.run(program, capture_output=True, text=True, timeout=900)  # hangs if it takes that long
    assert run.returncode == 0, run.stderr
    return folder


@pytest.mark.parametrize("scenario", train_share.SCENARIOS)
def test_gradients_are_those_of_one_process(folder, scenario):
    """DistributedDataParallel averages the processes' gradients; what does that make of each loss?

    The mask losses are divided by the number of instances and the cross entropy by the queries' weights, both averaged
    over the processes: the average is exactly what one process computes from the whole batch, whoever has them.
    """
    instances_of_clips, opts = train_share.SCENARIOS[scenario]
    expected = train_share.gradients(setup_config(str(folder / "tiny.yaml"), opts), instances_of_clips)
    first, second = (torch.load(folder / f"{scenario}_{rank}.pth") for rank in range(2))
    assert first.keys() == second.keys() == expected.keys()
    total = torch.cat([gradient.flatten() for gradient in expected.values()]).norm()
    for name, gradient in expected.items():
        assert torch.equal(first[name], second[name]), name
        # The losses are float32's; that of a bias before a norm has no gradient but rounding.
        assert (first[name] - gradient).norm() < 1e-6 * gradient.norm() + 1e-12 * total, name


def test_one_process_needs_no_wrapper():
    model = nn.Linear(1, 1)
    assert distribute(model) is model


@pytest.mark.parametrize(("device", "expected"), [("cpu", {"device_ids": None}), ("meta", {})])
def test_only_gpus_have_ids(monkeypatch, device, expected):
    """Any device but the CPU stands for a GPU, whose id detectron2 fills in."""
    calls = []
    monkeypatch.setattr("ifc.engine.trainer.create_ddp_model", lambda *args, **kwargs: calls.append((args, kwargs)))
    model = nn.Linear(1, 1, device=device)
    distribute(model)
    # Buffers are alike everywhere, and processes evaluate different numbers of videos: nobody would answer the last.
    assert calls == [((model,), {"broadcast_buffers": False} | expected)]
