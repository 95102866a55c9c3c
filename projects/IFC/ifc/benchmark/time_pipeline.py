# SPDX-License-Identifier: Apache-2.0
"""Whether the stages of `ifc segment` overlap: its own code, around stand-ins that take their time as devices and disks
do, without a processor."""

import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..engine import setup_config
from ..inference import InferenceSettings, StreamOutput, VideoInference
from ..inference.video import Released, VideoStream
from ..modeling.network import ClipPrediction, FrameFeatures
from ..outputs import SegmentSettings, publishing
from ..outputs.video_run import VideoRun
from ..predictor import VideoSegmenter
from ..video import FrameSource, TimedFrame
from ..video.read_ahead import FRAMES_AHEAD
from .gpu_report.settings import PACKAGE
from .measuring import Report
from .scripted import ScriptedNetwork

STAGES = ("decoding", "network", "masks to RLE", "writing")
INSTANCES = 2
SIZE = 32, 48  # of the frames, so small that the product's own work is next to nothing

StandIn = Callable[[int], None]
"""Takes the time of a stage for so many frames."""


class Sleeper:
    """Takes milliseconds a frame, of which those count that it really took."""

    def __init__(self, milliseconds: int):
        self.seconds_a_frame = milliseconds / 1000
        self.begins: list[float] = []
        self.slept = self.num_frames = 0

    def __call__(self, num_frames: int) -> None:
        self.begins.append(time.perf_counter())
        time.sleep(num_frames * self.seconds_a_frame)
        self.slept += time.perf_counter() - self.begins[-1]
        self.num_frames += num_frames

    @property
    def milliseconds(self) -> float:
        """A frame."""
        return 1000 * self.slept / self.num_frames


def run(args: Namespace) -> Report:
    """The rate of the whole when each of the stages in turn is the slowest one, against that stage's own.

    Raises:
        ValueError: the video has less than six batches.
    """
    if args.length < 6 * FRAMES_AHEAD:
        raise ValueError(f"--length: found {args.length}, expected at least {6 * FRAMES_AHEAD}, six batches")
    report: Report = {}
    for slowest in STAGES:
        sleepers = {stage: Sleeper(args.slow if stage == slowest else args.fast) for stage in STAGES}
        segment(list(sleepers.values()), args.length)
        # Without the batches that fill and empty the pipeline.
        written, first = sleepers["writing"].begins, 3 * FRAMES_AHEAD
        num_frames = (args.length // FRAMES_AHEAD - 5) * FRAMES_AHEAD
        measured = num_frames / (written[first + num_frames] - written[first])
        latencies = {f"{stage}, ms a frame": sleeper.milliseconds for stage, sleeper in sleepers.items()}
        ideal, in_turn = 1000 / max(latencies.values()), 1000 / sum(latencies.values())
        rates = {"one after the other, frames a second": in_turn, "the slowest alone": ideal, "measured": measured}
        report[f"slow {slowest}"] = latencies | rates | {"measured / slowest": measured / ideal}
    return report


def segment(stages: Sequence[StandIn], length: int) -> None:
    """Segment a video of `length` frames as `ifc segment` does, with a stand-in for each of `STAGES`."""
    decode, compute, encode, write = stages
    network = ScriptedNetwork(_Network(compute), INSTANCES)
    config = PACKAGE / "models" / "shapes_tiny" / "config.yaml"
    cfg = setup_config(str(config), ["MODEL.DEVICE", "cpu", "INPUT.MIN_SIZE_TEST", str(SIZE[0])])
    segmenter = VideoSegmenter(cfg, network=network)
    segmenter.inference = _Inference(network, InferenceSettings.from_config(cfg), encode)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "video"
        publishing.begin(folder, {})
        source = _Source(length, decode)
        run = VideoRun(source.name, source, folder, segmenter, SegmentSettings(overlay=False), {})
        outcome = run(lambda *_: write(1), lambda: False)
    if outcome.error is not None:
        raise ValueError(outcome.error)


class _Source(FrameSource):
    name, size, frame_rate = "frames", SIZE, 30.0

    def __init__(self, length: int, decode: StandIn):
        self.num_frames, self._decode = length, decode

    def timed(self, start: float = 0.0, every: int = 1) -> Iterator[TimedFrame]:
        for index in range(self.num_frames):
            self._decode(1)
            yield TimedFrame(index / self.frame_rate, np.zeros((*SIZE, 3), np.uint8))


class _Network:
    """In place of an exported network. What it predicts is overwritten."""

    device = torch.device("cpu")
    weights = weights_hash = "none"

    def __init__(self, compute: StandIn):
        self._compute = compute

    def prepare(self) -> None:
        pass

    def encode_frames(self, frames: Tensor) -> FrameFeatures:
        self._compute(len(frames))
        x = torch.zeros(len(frames), 1, 1)
        return FrameFeatures(x, x, None, x[..., None], x[..., None], (1, 1))

    def predict_clips(self, features: FrameFeatures, num_frames: int) -> ClipPrediction:
        num_clips = len(features) // num_frames
        masks = torch.zeros(num_clips, INSTANCES, num_frames, SIZE[0] // 4, SIZE[1] // 4)
        return ClipPrediction(torch.zeros(num_clips, INSTANCES, 7), masks)


class _Inference(VideoInference):
    def __init__(self, network: ScriptedNetwork, settings: InferenceSettings, encode: StandIn):
        super().__init__(network, settings)
        self.wait_encoding = encode

    def stream(self, output_size: tuple[int, int] | None = None) -> VideoStream:
        self.network.prepare()
        return _Stream(self, output_size)


class _Stream(VideoStream):
    def encode(self, released: Released) -> StreamOutput:
        self._engine.wait_encoding(len(released.frames))
        return super().encode(released)
