# SPDX-License-Identifier: Apache-2.0
"""A training that is killed again and again at random moments, and resumed, against one that is left alone.

As a program, for a longer trial than the test's: python tests/engine/killed_run.py FOLDER KILLS
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

TESTS = Path(__file__).parents[1]
PROGRAM = TESTS.parent / "projects" / "IFC" / "train_net.py"


def command(config: str, output: Path, *opts: object) -> list[str]:
    """train_net.py on the CPU with `opts`, keys and values."""
    words = [sys.executable, str(PROGRAM), "--resume", "--config-file", config]
    return [*words, *map(str, opts), "OUTPUT_DIR", str(output)]


def environment(data: Path) -> dict[str, str]:
    return os.environ | {"DETECTRON2_DATASETS": str(data), "OMP_NUM_THREADS": "1"}


def last_iteration(output: Path) -> int:
    """That of the last line of a run's metrics.json, -1 before there is one."""
    path = output / "metrics.json"
    found = re.findall(r'"iteration": (\d+)', path.read_text()) if path.exists() else []
    return int(found[-1]) if found else -1


def train_with_kills(words: list[str], data: Path, output: Path, kills: int, seed: int) -> int:
    """Start the training again after each of so many kills, at random moments from its first checkpoint on; then let
    it end. Returns how many kills hit a run that was under way."""
    draw, hit = random.Random(seed), 0
    for _ in range(kills):
        before = time.time()
        with subprocess.Popen(words, env=environment(data), stdout=subprocess.DEVNULL, start_new_session=True) as run:
            while run.poll() is None:
                written = [path for path in output.glob("model_*.pth") if path.stat().st_mtime > before]
                if written:
                    time.sleep(draw.uniform(0, 0.3))
                    break
                time.sleep(0.02)
            hit += run.poll() is None
            os.killpg(run.pid, signal.SIGKILL)
    subprocess.run(words, env=environment(data), check=True, stdout=subprocess.DEVNULL)
    return hit


def differing(first: Path, second: Path) -> list[str]:
    """Names of what is not the same, bit for bit, in the final checkpoints of two runs."""
    states = [_flat(torch.load(folder / "model_final.pth", weights_only=True)) for folder in (first, second)]
    names = states[0].keys() | states[1].keys()
    return sorted(name for name in names if not _same(*(state.get(name) for state in states)))


def _flat(value: object, name: str = "") -> dict[str, object]:
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: leaf for word, inner in items for key, leaf in _flat(inner, f"{name}.{word}").items()}
    return {name: value}


def _same(first: object, second: object) -> bool:
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return torch.equal(first, second)
    return type(first) is type(second) and first == second


def main(folder: Path, kills: int) -> None:
    from engine.tiny import RESUMED, write_config, write_data

    folder.mkdir(parents=True, exist_ok=True)
    data, config = write_data(folder / "data", num_train=5), write_config(folder)
    opts = [*RESUMED, "SOLVER.MAX_ITER", 20 * kills]
    whole, killed = folder / "whole", folder / "killed"
    subprocess.run(command(config, whole, *opts), env=environment(data), check=True, stdout=subprocess.DEVNULL)
    hit = train_with_kills(command(config, killed, *opts, "DATALOADER.NUM_WORKERS", 1), data, killed, kills, seed=0)
    print(f"{hit} of {kills} kills hit; not the same: {differing(whole, killed)}")


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    main(Path(sys.argv[1]), int(sys.argv[2]))
