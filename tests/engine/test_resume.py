# SPDX-License-Identifier: Apache-2.0
"""Runs that are killed, stopped and resumed, as processes."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from engine.killed_run import command, differing, environment, train_with_kills
from engine.tiny import RESUMED, write_config, write_data

OPTS = [*RESUMED, "SOLVER.MAX_ITER", 60]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder to be $DETECTRON2_DATASETS, with five videos: no number of batches is an epoch."""
    return write_data(tmp_path_factory.mktemp("data"), num_train=5)


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> str:
    return write_config(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data, config) -> Path:
    """The output folder of a run that was left alone."""
    output = tmp_path_factory.mktemp("whole") / "output"
    subprocess.run(command(config, output, *OPTS), env=environment(data), check=True, stdout=subprocess.DEVNULL)
    return output


def test_killed_five_times(tmp_path, data, config, whole):
    """Also with another number of workers."""
    words = command(config, tmp_path / "output", *OPTS, "DATALOADER.NUM_WORKERS", 1)
    assert train_with_kills(words, data, tmp_path / "output", kills=5, seed=0) >= 3
    assert differing(whole, tmp_path / "output") == []
    lines = map(json.loads, (tmp_path / "output" / "metrics.json").read_text().splitlines())
    assert [line["iteration"] for line in lines if "total_loss" in line] == [19, 39, 59]
    assert len(list((tmp_path / "output").glob("model_0*.pth"))) == 2
    assert not list((tmp_path / "output").glob(".*.part"))


@pytest.mark.parametrize("warning", [signal.SIGTERM, signal.SIGUSR1])
def test_stopped_and_resumed(tmp_path, data, config, whole, warning):
    """A checkpoint of the last step, status 75, and the same end; the damaged checkpoint is passed over."""
    output = tmp_path / "output"
    words = command(config, output, *OPTS)
    with subprocess.Popen(words, env=environment(data), stdout=subprocess.PIPE, text=True) as run:
        while not (output / "last_checkpoint").exists() and run.poll() is None:
            time.sleep(0.02)
        run.send_signal(warning)
        log, _ = run.communicate(timeout=30)
    assert run.returncode == 75, log
    iteration = int(re.search(rf"Stopped by {warning.name} after iteration (\d+)", log)[1])
    newest = output / f"model_{iteration:07d}.pth"
    assert (output / "last_checkpoint").read_text() == newest.name
    newest.write_bytes(newest.read_bytes()[:-1000])
    run = subprocess.run(words, env=environment(data), check=True, capture_output=True, text=True)
    assert f"{newest} " in run.stdout
    assert differing(whole, output) == []
