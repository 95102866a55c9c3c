# SPDX-License-Identifier: Apache-2.0
"""train_net.py as a process that torchrun or srun has started. (Several: tests/engine/test_distributed.py.)"""

import socket

import pytest
import torch
from detectron2.utils import comm
from engine.tiny import write_config
from engine.train_share import train_arguments

from ifc.cli import training


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Runs the program with these words in the environment of a torchrun of one process; returns whether it resumes."""
    (tmp_path / "output").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    names = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    for name, value in (names | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}).items():
        monkeypatch.setenv(name, value)
    resumes = []

    def main(args, cfg):
        assert torch.distributed.get_backend() == "gloo"
        assert (comm.get_world_size(), comm.get_local_rank(), comm.get_local_size()) == (1, 0, 1)
        resumes.append(args.resume)

    monkeypatch.setattr(training, "main", main)

    def run(*words: str) -> bool:
        options = ["--config-file", write_config(tmp_path), *words]
        training.run(train_arguments(*options, "OUTPUT_DIR", str(tmp_path / "output")))
        assert not torch.distributed.is_initialized()
        return resumes.pop()

    yield run
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("restarts", "words", "resumes"),
    [
        ("0", [], False),
        ("0", ["--resume"], True),
        ("1", [], True),  # before its first checkpoint, or after
        ("1", ["--eval-only"], False),  # of MODEL.WEIGHTS, again
    ],
)
def test_a_restarted_training_resumes(start, monkeypatch, restarts, words, resumes):
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", restarts)
    assert start(*words) is resumes


def test_a_training_does_not_start_over_one_that_is_there(start, tmp_path, capsys):
    """torchrun starts all again without a word when a machine comes or goes."""
    (tmp_path / "output" / "last_checkpoint").write_text("model_0000009.pth")
    with pytest.raises(SystemExit, match="^1$"):
        start()
    expected = f"error: OUTPUT_DIR {tmp_path / 'output'}: found a checkpoint, expected --resume or another folder\n"
    assert capsys.readouterr().err == expected
    assert start("--resume") is True


@pytest.mark.parametrize("words", [["--num-gpus=4"], ["--num-machines=2"]])
def test_processes_that_are_asked_for_twice(start, capsys, words):
    with pytest.raises(SystemExit, match="^1$"):
        start(*words)
    error = capsys.readouterr().err
    assert error.startswith("error: --num-gpus, --num-machines: found ") and error.count("\n") == 1
    assert "torchrun has started 1 processes" in error
