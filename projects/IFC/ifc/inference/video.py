# SPDX-License-Identifier: Apache-2.0
"""Inference on a video: frames → features once a frame → overlapping windows → tracker → tracks with RLE masks.

The engine is a stream: a window runs when its last frame arrives, and a frame's masks are encoded and handed out once
no later window can hold it. Everything it keeps is bounded by the window, whatever the length of the video.
"""

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from ..modeling.network import ClipPrediction, FrameFeatures
from ..modeling.normalization import stacked
from ..regions import each_in_region
from .accelerated_network import InferenceNetwork
from .batch_size import num_frames_that_fit, num_windows_that_fit
from .encoding_stage import encode_behind
from .feature_buffer import FeatureBuffer
from .live_instances import ClipInstances, FinishedFrame, FinishedInstances
from .mask_encoding import encode_masks
from .onnx_network import OnnxNetwork
from .results import FrameMasks, VideoPrediction, build_prediction
from .settings import InferenceSettings
from .tracker import ClipTracker

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Released:
    """What became final, its masks not yet encoded.

    Attributes:
        frames, instances, running: as in `StreamOutput`.
    """

    frames: list[FinishedFrame]
    instances: list[FinishedInstances]
    running: FinishedInstances | None


@dataclass(frozen=True)
class StreamOutput:
    """What became final.

    Attributes:
        frames: consecutive frames, in order, each handed out once.
        instances: instances that no later frame can show, each handed out once.
        running: all other instances, with the mean class probabilities so far; None if there are none.
    """

    frames: list[FrameMasks]
    instances: list[FinishedInstances]
    running: FinishedInstances | None


class VideoInference:
    """Finds the instances of whole videos.

    Args:
        network: the network, as inference runs it.
        settings: see `InferenceSettings`.
    """

    def __init__(self, network: InferenceNetwork | OnnxNetwork, settings: InferenceSettings):
        self.network = network
        self.settings = settings
        self.most_windows = settings.windows_per_batch  # less once the device ran out of memory

    def __call__(
        self, frames: Iterable[Tensor], output_size: tuple[int, int] | None = None, num_frames: int | None = None
    ) -> VideoPrediction:
        """The tracks of one video.

        Args:
            frames: the video's frames, each uint8 (3, H, W), all of one size. Any iterable will do: a frame is asked
                for when it is needed.
            output_size: (height, width) of the masks; None for that of the frames.
            num_frames: frames of the video, where its last ones may be missing: these have no masks.

        Raises:
            ValueError: if there is no frame, or frames differ in size.
        """
        stream = self.stream(output_size)
        outputs = list(stream.run(frames))
        return build_prediction(
            (frame for output in outputs for frame in output.frames),
            (instances for output in outputs for instances in output.instances),
            stream.output_size,
            self.settings,
            num_frames,
        )

    def stream(self, output_size: tuple[int, int] | None = None) -> "VideoStream":
        """Start a video whose frames arrive one by one or in batches. `output_size`: see `__call__`."""
        self.network.prepare()
        return VideoStream(self, output_size)


class VideoStream:
    """One video in progress: `push` its frames as they come, then `finish`; or `run` does both.

    Either of them is a stage of the network, `advance` or `end`, and one for the masks, `encode`, which a thread of its
    own may run: it knows what it is given alone.

    Args:
        engine: the network and the settings.
        output_size: (height, width) of the masks; None for that of the frames.
    """

    def __init__(self, engine: VideoInference, output_size: tuple[int, int] | None = None):
        self._engine = engine
        self._settings = engine.settings
        self._output_size = output_size
        self._tracker = ClipTracker(engine.settings.window, engine.settings.association)
        self._features = FeatureBuffer()
        self._frame_shape: torch.Size | None = None
        self._num_frames = 0  # pushed so far
        self._last_start: int | None = None  # first frame of the last window that ran

    @property
    def output_size(self) -> tuple[int, int]:
        """(height, width) of the masks; known once a frame is, at the latest."""
        return self._output_size or tuple(self._frame_shape[-2:])

    def run(self, frames: Iterable[Tensor]) -> Iterator[StreamOutput]:
        """Push all frames, in batches that the device has room for, and finish. The network is a batch ahead of the
        masks.

        Raises:
            ValueError: see `push` and `finish`.
        """
        decoded = each_in_region("decoding", frames)
        released = self.advance_all(decoded, self._settings.frames_per_batch)
        yield from encode_behind(self.encode, released, self._engine.network.device)

    def advance_all(self, frames: Iterable[Tensor], at_once: int = 0, most: int = sys.maxsize) -> Iterator[Released]:
        """`advance` through all frames, and `end`.

        Args:
            at_once: frames a batch; 0 for as many as the device has room for, `most` at most.
        """
        iterator, device = iter(frames), self._engine.network.device
        for first in iterator:
            size = at_once or min(num_frames_that_fit(device, first.shape[-2:]), most)
            yield self.advance([first, *islice(iterator, size - 1)])
        yield self.end()

    def push(self, frames: Sequence[Tensor]) -> StreamOutput:
        """`advance`, and `encode` what it returns."""
        return self.encode(self.advance(frames))

    def finish(self) -> StreamOutput:
        """`end`, and `encode` what it returns."""
        return self.encode(self.end())

    @torch.no_grad()
    def advance(self, frames: Sequence[Tensor]) -> Released:
        """Add the next frames and run the windows that they complete.

        Args:
            frames: one or more frames, each uint8 (3, H, W). They pass the backbone together.

        Returns:
            The frames and instances that became final.

        Raises:
            ValueError: if a frame's shape is not that of the first one.
        """
        for index, frame in enumerate(frames, self._num_frames):
            self._frame_shape = self._frame_shape or frame.shape
            if frame.shape != self._frame_shape:
                raise ValueError(
                    f"frame {index}: found shape {tuple(frame.shape)}, expected {tuple(self._frame_shape)}"
                )
        self._features.append(self._engine.network.encode_frames(stacked(frames, self._engine.network.device)))
        self._num_frames += len(frames)

        starts = range(
            self._next_regular_start(), self._num_frames - self._settings.window + 1, self._settings.clip_stride
        )
        self._run_windows(starts, self._settings.window)
        before = self._earliest_next_start()
        if self._settings.association.uses_embeddings:  # tracks that may return end with the video: on its last frame
            before = min(before, self._num_frames - 1)
        return self._release(before)

    @torch.no_grad()
    def end(self) -> Released:
        """End the video: run the last window, if frames are left that none has seen.

        Returns:
            All frames and instances that were not handed out yet.

        Raises:
            ValueError: if there was no frame.
        """
        if not self._num_frames:
            raise ValueError("the video has no frames, expected at least 1")
        window = min(self._settings.window, self._num_frames)
        if self._last_start is None or self._last_start + window < self._num_frames:
            self._run_windows([self._num_frames - window], window)
        return self._release(None)

    def _next_regular_start(self) -> int:
        return 0 if self._last_start is None else self._last_start + self._settings.clip_stride

    def _earliest_next_start(self) -> int:
        """The first frame that the next window can hold, wherever the video ends."""
        if self._last_start is None:
            return 0
        moved_back = max(self._last_start + 1, self._num_frames - self._settings.window)
        return min(self._next_regular_start(), moved_back)

    def _run_windows(self, starts: Sequence[int], window: int) -> None:
        """Give the instances of the windows of `window` frames that begin at `starts` to the tracker."""
        starts = list(starts)
        while starts:
            features = self._features.frames(starts[0], starts[-1] + window)
            limit = self._engine.most_windows or num_windows_that_fit(features, window)
            batch, starts = starts[:limit], starts[limit:]
            try:
                prediction = self._predict(features, [start - batch[0] for start in batch], window)
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                # Not freed in here: the error's traceback holds on to what the windows took.
                prediction = None
            if prediction is None:
                starts = batch + starts
                self._halve_batch(len(batch))
                continue
            self._tracker.update(self._instances_of(prediction, batch))
            self._last_start = batch[-1]

    def _predict(self, features: FrameFeatures, starts: Sequence[int], window: int) -> ClipPrediction:
        """The windows at `starts`, in frames of `features`."""
        if len(starts) == 1:
            return self._engine.network.predict_clips(features[starts[0] : starts[0] + window], window)
        frames = torch.tensor(starts)[:, None] + torch.arange(window)
        index = frames.flatten().to(features.tokens.device, non_blocking=True)
        return self._engine.network.predict_clips(features[index], window)

    def _halve_batch(self, size: int) -> None:
        self._engine.most_windows = size // 2
        torch.cuda.empty_cache()
        logger.warning(
            f"The device ran out of memory with {size} windows at once. Going on with {size // 2}, which gives the "
            "same result; set MODEL.IFC.WINDOWS_PER_BATCH to begin with that."
        )

    def _instances_of(self, prediction: ClipPrediction, starts: Sequence[int]) -> list[ClipInstances]:
        """The queries of each window whose most probable class is not "no object"."""
        logits = prediction.pred_logits.float()  # (B, Q, C + 1)
        is_instance = (logits.argmax(-1) != logits.shape[-1] - 1).cpu().numpy()
        index = tuple(  # (I,) windows, queries
            torch.from_numpy(x).to(logits.device, non_blocking=True) for x in np.nonzero(is_instance)
        )
        parts = [logits[index].softmax(-1), prediction.pred_masks[index]]  # (I, C + 1), (I, T', h, w)
        if self._settings.association.uses_embeddings:
            parts.append(prediction.embeddings[index])  # (I, E)
        counts = is_instance.sum(1).tolist()
        splits = [(part.cpu() if self._settings.merge_on_cpu else part).split(counts) for part in parts]
        return [ClipInstances(*window) for window in zip(starts, *splits, strict=True)]

    def _release(self, before: int | None) -> Released:
        """Take from the tracker what is final if no later window holds a frame before `before`; None: no later one."""
        self._features.drop(self._num_frames if before is None else before)
        frames, instances = self._tracker.release(before)
        return Released(frames, [] if instances is None else [instances], self._tracker.running_instances())

    def encode(self, released: Released) -> StreamOutput:
        """Encode the masks of frames that became final."""
        rles = encode_masks([frame.mask_logits for frame in released.frames], self.output_size)
        masks = []
        for frame, frame_rles in zip(released.frames, rles, strict=True):
            found = zip(frame.instance_ids.tolist(), frame_rles, strict=True)
            masks.append(FrameMasks(frame.index, {i: rle for i, rle in found if rle is not None}))
        return StreamOutput(masks, released.instances, released.running)
