# SPDX-License-Identifier: Apache-2.0
"""Videos on the workers of a Ray cluster, each as `segment_videos` does it.

Rows are inputs, not frames. What is finished is known from video.json, as in runs without Ray, and not from a
checkpoint of Ray's, which would know nothing of those runs, nor of a video that was whole when its worker was lost.
"""

import contextlib
import json
import logging
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..pretrained import load
from ..video.containers import nvdec
from ..ytvis.files import in_a_line
from ..ytvis.segmented_video import BROKEN
from . import manifest
from .manifest import Outcome
from .naming import Folders
from .segmenting import segment_video
from .settings import SegmentSettings
from .sharding import take_share

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what is tried again is no error
try:
    import ray
    import ray.data
except ImportError as error:
    raise ImportError(f'{error}; --engine ray needs Ray: pip install "detectron2-ifc[ray]"') from None

_MOST_SECONDS_TO_CONNECT = 20
_MOST_TASKS = 100  # for each worker: of very many videos, several are one, as each takes the driver some time
_FEW_TASKS = 10


@dataclass(frozen=True)
class Workers:
    """Those that each have a model.

    Attributes:
        count: None for as many as there is room for.
        cpus: cores of each.
        gpus: of each; None for one if the cluster has any.
    """

    count: int | None = None
    cpus: int = 1
    gpus: float | None = None


@dataclass(frozen=True)
class _Job:
    inputs: Sequence[str]  # in the order in which they are begun
    folders: Folders
    model: dict[str, Any]
    settings: SegmentSettings
    cpus: int
    stop_file: Path


@contextlib.contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """The Ray cluster at an address ("auto": of this machine); None for one of this machine's own as long as the
    block. For the main thread alone, as Ray takes SIGTERM for as long.

    Raises:
        ConnectionError: there is none.
    """
    alone, handler = {} if address else {"include_dashboard": False}, signal.getsignal(signal.SIGTERM)
    try:
        host, _, port = (address or "").rpartition(":")
        if port.isdecimal():  # or Ray tries for minutes
            socket.create_connection((host, int(port)), _MOST_SECONDS_TO_CONNECT).close()
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **alone)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConnectionError(f"--address {address}: found no Ray cluster: {in_a_line(error)}") from None
    try:
        yield
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, handler)


def segment_by_ray(
    inputs: Sequence[str],
    output: str | os.PathLike,
    model: dict[str, Any],
    settings: SegmentSettings,
    workers: Workers,
    stop_file: Path,
) -> Iterator[Outcome]:
    """Segment videos on the workers of a `cluster`, which see the same files.

    A video whose worker is lost is begun anew by another, unless that is the second time: then it is set aside.

    Args:
        inputs: as `segment_videos`.
        output: the folder for the folders.
        model: the arguments of `pretrained.load`.
        stop_file: ends the run when there is such a file. A worker that cannot load the model makes it.

    Yields:
        What became of each input, as it ends.

    Raises:
        OSError: the model cannot be loaded here, or a worker cannot be started.
        ValueError: there is no room for a worker.
    """
    inputs = [manifest.recorded_input(each) for each in inputs]  # workers have current folders of their own
    workers = _fitted(workers, len(inputs))
    model = {**model, "weights_hash": load(**{**model, "device": "cpu"}).weights_hash}
    folders = Folders(inputs, Path(output).absolute())
    job = _Job(take_share(inputs), folders, model, settings, workers.cpus, stop_file.absolute())
    ray.data.DataContext.get_current().enable_progress_bars = False
    for name in ("ray", "ray.data", "ray._private.worker"):  # that a worker was lost, which its video's outcome says
        logging.getLogger(name).setLevel(logging.ERROR)
    # The largest videos go first, into tasks of their own, to which smaller ones are dealt.
    num_tasks = min(len(inputs), _MOST_TASKS * workers.count)
    dealt = [index for task in range(num_tasks) for index in range(task, len(inputs), num_tasks)]
    # A worker never waits for the driver, unless tasks are so few that none may wait behind another.
    in_flight = 1 if num_tasks < _FEW_TASKS * workers.count else 2
    rows = ray.data.from_items(dealt, override_num_blocks=num_tasks).map_batches(
        _Worker,
        fn_constructor_args=(ray.put(job),),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=workers.count, max_tasks_in_flight_per_actor=in_flight),
        num_cpus=workers.cpus,
        num_gpus=workers.gpus,
    )  # Ray Data restarts lost workers, and repeats their tasks, without end by itself
    try:
        for row in rows.iter_rows():
            outcome = json.loads(row["outcome"])
            yield Outcome(**{**outcome, "folder": outcome["folder"] and Path(outcome["folder"])})
    except ray.exceptions.RayError as error:
        raise OSError(f"the Ray cluster: {str(error).strip().splitlines()[-1]}") from error


def _fitted(workers: Workers, num_inputs: int) -> Workers:
    """With all that is not said. Raises ValueError if none fits on a machine of the cluster."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus, gpus = (sorted((int(each.get(what, 0)) for each in machines), reverse=True) for what in ("CPU", "GPU"))
    each = min(1, gpus[0]) if workers.gpus is None else workers.gpus
    room = sum(
        int(min(node.get("CPU", 0) // workers.cpus, *([node.get("GPU", 0) // each] if each else []), float("inf")))
        for node in machines
    )
    if not room:
        wanted = f"{workers.cpus} CPUs and {each:g} GPUs (--cpus, --gpus)"
        found = f"machines with {', '.join(map(str, cpus))} CPUs and {sum(gpus) or 'no'} GPUs in all"
        raise ValueError(f"the Ray cluster: found {found}, expected one with {wanted} for a worker")
    return replace(workers, count=min(workers.count or room, num_inputs), gpus=each)


class _Worker:
    """A process with a model."""

    def __init__(self, job: ray.ObjectRef) -> None:
        self._job: _Job = ray.get(job)
        self._error: str | None = None
        torch.set_num_threads(self._job.cpus)
        try:
            if self._job.settings.decoder == "nvdec":
                nvdec()
            self._segmenter = load(**self._job.model)
            self._made_by = manifest.made_by(self._segmenter, self._job.settings)
        except (ImportError, OSError, ValueError) as error:  # raised, it would kill the others at their videos
            self._error = f"worker on {ray.util.get_node_ip_address()}: {in_a_line(error)}"

    def __call__(self, rows: dict[str, Any]) -> dict[str, list[str]]:
        job, input_ = self._job, self._job.inputs[int(rows["item"][0])]
        stop = job.stop_file.exists
        if stop():
            return {"outcome": []}
        if self._error:
            job.stop_file.touch()
            outcome = Outcome(input_, None, BROKEN, self._error)
        else:
            outcome = segment_video(input_, job.folders, self._made_by, self._segmenter, job.settings, stop=stop)
        return {"outcome": [json.dumps(outcome.as_json())]}
