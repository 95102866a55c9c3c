# SPDX-License-Identifier: Apache-2.0
"""Processes that run `ifc segment`, forked from one that has loaded it, as loading takes most of the time.

As a program, for a longer trial than the test's: python tests/outputs/shard_process.py FOLDER VIDEOS KILLS
"""

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
NUM_VIDEOS = 10  # of the tests
COMPARED = ("objects.jsonl", "results.json", "overlay.mp4")


def start(function: Callable, *args: Any) -> BaseProcess:
    """Start `function` in a process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ifc.cli.main", "ifc.outputs", "ifc.pretrained"])
    process = context.Process(target=function, args=args)
    process.start()
    return process


def words_of(root: Path, output: Path) -> list[str]:
    """The videos and the model in `root`, and where the results go, for `ifc segment` and `ifc batch`."""
    model = ["--weights", root / "model.pth", "--config-file", root / "video.yaml", "--precision", "float32"]
    return [str(root / "videos" / "*" / "*.mp4"), "-o", *map(str, [output, *model])]


def segment(root: Path, output: Path, *words: str) -> None:
    """`ifc segment` of the videos in `root`."""
    from ifc.cli.main import main

    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - this process ends soon
    main(["segment", *words_of(root, output), *words])


def segmenter(root: Path) -> Any:
    """The tiny model."""
    from ifc.predictor import VideoSegmenter

    return VideoSegmenter.from_config(root / "video.yaml", root / "model.pth", ["MODEL.IFC.PRECISION", "float32"])


def segment_and_die(root: Path, video: Path, output: Path) -> None:
    """Die of a video, at its first frame."""
    from ifc.outputs import segment_videos

    segment_videos([video], output, segmenter(root), None, lambda *_: os.kill(os.getpid(), signal.SIGKILL))


def run_shards(root: Path, output: Path, count: int) -> list[int]:
    """Run them side by side. Returns the exit status of each."""
    shards = [start(segment, root, output, "--shard", f"{index}/{count}") for index in range(1, count + 1)]
    for shard in shards:
        shard.join()
    return [shard.exitcode for shard in shards]


def kill_shards(root: Path, output: Path, count: int, draw: random.Random, killed: set[str]) -> None:
    """Start them, and kill all at a random moment, as soon as none is at a video of `killed`, to which those that they
    were at are added: who is killed at one twice sets it aside."""
    shards = [start(segment, root, output, "--shard", f"{index}/{count}") for index in range(1, count + 1)]
    while any(shard.is_alive() for shard in shards):
        parts = {path.name for path in output.glob("*.part")}
        if parts and not parts & killed:
            time.sleep(draw.uniform(0, 0.15))
            break
        time.sleep(0.005)
    for shard in shards:
        shard.kill()
        shard.join()
    killed |= {path.name for path in output.glob("*.part")}


def finished(output: Path) -> dict[str, int]:
    """When each video that is whole was finished."""
    return {
        path.parent.name: path.stat().st_mtime_ns for path in output.glob("*/video.json") if not is_part(path.parent)
    }


def is_part(folder: Path) -> bool:
    return folder.name.endswith(".part")


def results(output: Path) -> dict[str, bytes]:
    """The bytes of all that must not depend on how the work was divided, by folder and name."""
    return {f"{name}/{file}": (output / name / file).read_bytes() for name in finished(output) for file in COMPARED}


def partial_files(output: Path) -> list[str]:
    return [str(path) for path in output.rglob("*") if path.name.endswith(".part")]


def write_inputs(root: Path, count: int) -> None:
    """The tiny model, and so many short videos, of which several have the same name."""
    from tiny_model import HEIGHT, WIDTH, write_tiny_model
    from video.clips import write_video

    from ifc.ytvis.datasets.shapes import render_video

    write_tiny_model(root)
    for index in range(count):
        folder = root / "videos" / "abc"[index % 3]
        folder.mkdir(parents=True, exist_ok=True)
        frames = render_video(index, HEIGHT, WIDTH, 3 + index % 4).frames
        write_video(folder / f"{index // 2}.mp4", frames, 10)


def main(root: Path, videos: int, kills: int) -> None:
    root.mkdir(parents=True)
    write_inputs(root, videos)
    one, killed_output = root / "one", root / "killed"
    begin = time.monotonic()
    print("one process:", run_shards(root, one, 1), f"{time.monotonic() - begin:.1f} s")
    draw, killed, before, again = random.Random(0), set(), {}, 0
    for number in range(kills):
        kill_shards(root, killed_output, 2 + number % 2, draw, killed)
        after = finished(killed_output)
        again += sum(after[name] != before[name] for name in before)
        before = after
        print(f"kill {number + 1}: {len(after)} whole, {len(partial_files(killed_output))} partial", flush=True)
    statuses = run_shards(root, killed_output, 2)
    after = finished(killed_output)
    again += sum(after[name] != before[name] for name in before)
    same = results(one) == results(killed_output)
    left = partial_files(killed_output)
    print(f"last run: {statuses}, {len(after)} whole, same bytes: {same}, computed twice: {again}, left: {left}")


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
