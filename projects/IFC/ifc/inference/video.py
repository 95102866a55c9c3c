# SPDX-License-Identifier: Apache-2.0
"""Inference on a video: frames → features once a frame → overlapping windows → tracker → tracks with RLE masks.

The engine is a stream: a window runs when its last frame arrives, and a frame's masks are encoded and handed out once
no later window can hold it. Everything it keeps is bounded by the window, whatever the length of the video.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from ..modeling.network import FrameFeatures, IfcNetwork
from .results import FrameMasks, VideoPrediction, build_prediction, encode_masks
from .tracker import ClipInstances, ClipTracker, FinishedInstances


@dataclass(frozen=True)
class StreamOutput:
    """What became final.

    Attributes:
        frames: consecutive frames, in order, each handed out once.
        instances: instances that no later frame can show, each handed out once.
    """

    frames: list[FrameMasks]
    instances: list[FinishedInstances]


class VideoInference:
    """Finds the instances of whole videos.

    Args:
        network: the network, in evaluation mode.
        window: T, the number of frames of a window.
        clip_stride: frames between the starts of two windows.
        merge_on_cpu: keep the tracker's state on the CPU instead of the network's device.
        multi_cls_on, apply_cls_thres: which tracks an instance gives, see `results.build_prediction`.
        frames_per_batch: frames that pass the backbone together.

    Raises:
        ValueError: if `window`, `clip_stride` or `frames_per_batch` is below 1 or `clip_stride` above `window`.
    """

    def __init__(
        self,
        network: IfcNetwork,
        *,
        window: int,
        clip_stride: int = 1,
        merge_on_cpu: bool = False,
        multi_cls_on: bool = True,
        apply_cls_thres: float = 0.01,
        frames_per_batch: int = 8,
    ):
        if window < 1:
            raise ValueError(f"window (INPUT.SAMPLING_FRAME_NUM): found {window}, expected at least 1 frame")
        if not 1 <= clip_stride <= window:
            raise ValueError(
                f"clip_stride (MODEL.IFC.CLIP_STRIDE): found {clip_stride}, expected 1 to the window's {window} "
                "frames (a longer stride leaves frames that no window sees)"
            )
        if frames_per_batch < 1:
            raise ValueError(f"frames_per_batch: found {frames_per_batch}, expected at least 1 frame")
        self.network = network
        self.window = window
        self.clip_stride = clip_stride
        self.merge_on_cpu = merge_on_cpu
        self.multi_cls_on = multi_cls_on
        self.apply_cls_thres = apply_cls_thres
        self.frames_per_batch = frames_per_batch

    def __call__(self, frames: Iterable[Tensor], output_size: tuple[int, int]) -> VideoPrediction:
        """The tracks of one video.

        Args:
            frames: the video's frames, each (3, H, W), all of one size, normalised, on the network's device. Any
                iterable will do: a frame is asked for when it is needed.
            output_size: (height, width) of the masks.

        Raises:
            ValueError: if there is no frame, or frames differ in size.
        """
        stream = self.stream(output_size)
        outputs = [stream.push(batch) for batch in _batches(frames, self.frames_per_batch)]
        outputs.append(stream.finish())
        return build_prediction(
            (frame for output in outputs for frame in output.frames),
            (instances for output in outputs for instances in output.instances),
            output_size,
            multi_cls_on=self.multi_cls_on,
            apply_cls_thres=self.apply_cls_thres,
        )

    def stream(self, output_size: tuple[int, int]) -> "VideoStream":
        """Start a video whose frames arrive one by one or in batches."""
        return VideoStream(
            self.network,
            output_size,
            window=self.window,
            clip_stride=self.clip_stride,
            merge_on_cpu=self.merge_on_cpu,
        )


class VideoStream:
    """One video in progress: `push` its frames as they come, then `finish`. Arguments: see `VideoInference`."""

    def __init__(
        self,
        network: IfcNetwork,
        output_size: tuple[int, int],
        *,
        window: int,
        clip_stride: int,
        merge_on_cpu: bool,
    ):
        self._network = network
        self._output_size = output_size
        self._window = window
        self._clip_stride = clip_stride
        self._merge_on_cpu = merge_on_cpu
        self._tracker = ClipTracker(window)
        self._features = _FeatureBuffer()
        self._frame_shape: torch.Size | None = None
        self._num_frames = 0  # pushed so far
        self._last_start: int | None = None  # first frame of the last window that ran

    @torch.no_grad()
    def push(self, frames: Sequence[Tensor]) -> StreamOutput:
        """Add the next frames and run the windows that they complete.

        Args:
            frames: one or more frames, each (3, H, W) as in `VideoInference.__call__`. They pass the backbone together.

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
        self._features.append(self._network.encode_frames(torch.stack(tuple(frames))))
        self._num_frames += len(frames)

        outputs = []
        while (start := self._next_regular_start()) + self._window <= self._num_frames:
            self._run_window(start, start + self._window)
            outputs.append(self._release(self._earliest_next_start()))
        outputs.append(self._release(self._earliest_next_start()))
        return _join(outputs)

    @torch.no_grad()
    def finish(self) -> StreamOutput:
        """End the video: run the last window, if frames are left that none has seen.

        Returns:
            All frames and instances that were not handed out yet.

        Raises:
            ValueError: if there was no frame.
        """
        if not self._num_frames:
            raise ValueError("the video has no frames, expected at least 1")
        if self._last_start is None or self._last_start + self._window < self._num_frames:
            self._run_window(max(self._num_frames - self._window, 0), self._num_frames)
        return self._release(None)

    def _next_regular_start(self) -> int:
        return 0 if self._last_start is None else self._last_start + self._clip_stride

    def _earliest_next_start(self) -> int:
        """The first frame that the next window can hold, wherever the video ends."""
        if self._last_start is None:
            return 0
        moved_back = max(self._last_start + 1, self._num_frames - self._window)
        return min(self._next_regular_start(), moved_back)

    def _run_window(self, start: int, end: int) -> None:
        """Give the instances of the frames start … end - 1 to the tracker."""
        prediction = self._network.predict_clips(self._features.frames(start, end), end - start)
        logits, mask_logits = prediction.pred_logits[0].float(), prediction.pred_masks[0]  # (Q, C + 1), (Q, T', h, w)
        valid = torch.nonzero(logits.argmax(-1) != logits.shape[-1] - 1)[:, 0]
        class_probs, mask_logits = logits[valid].softmax(-1), mask_logits[valid]
        if self._merge_on_cpu:
            class_probs, mask_logits = class_probs.cpu(), mask_logits.cpu()
        self._tracker.update(ClipInstances(start, class_probs, mask_logits))
        self._last_start = start

    def _release(self, before: int | None) -> StreamOutput:
        """Take from the tracker what is final if no later window holds a frame before `before`; None: no later one."""
        self._features.drop(self._num_frames if before is None else before)
        frames, instances = self._tracker.release(before)
        masks = []
        for frame in frames:
            rles = zip(frame.instance_ids.tolist(), encode_masks(frame.mask_logits, self._output_size), strict=True)
            masks.append(FrameMasks(frame.index, {i: rle for i, rle in rles if rle is not None}))
        return StreamOutput(masks, [] if instances is None else [instances])


class _FeatureBuffer:
    """The features of a video's latest frames, in the batches in which they were computed."""

    def __init__(self) -> None:
        self._batches: deque[tuple[int, FrameFeatures]] = deque()  # with the index of the first frame
        self._num_frames = 0

    def append(self, features: FrameFeatures) -> None:
        """Add the next frames."""
        self._batches.append((self._num_frames, features))
        self._num_frames += len(features)

    def frames(self, start: int, end: int) -> FrameFeatures:
        """The features of the frames start … end - 1: a view where one batch holds them all."""
        return FrameFeatures.cat(
            [
                features[max(start - first, 0) : end - first]
                for first, features in self._batches
                if first < end and start < first + len(features)
            ]
        )

    def drop(self, before: int) -> None:
        """Forget the batches that lie before frame `before`."""
        while self._batches and self._batches[0][0] + len(self._batches[0][1]) <= before:
            self._batches.popleft()


def _batches(frames: Iterable[Tensor], size: int) -> Iterator[list[Tensor]]:
    """Lists of up to `size` frames."""
    iterator = iter(frames)
    while batch := list(islice(iterator, size)):
        yield batch


def _join(outputs: Sequence[StreamOutput]) -> StreamOutput:
    return StreamOutput(
        [frame for output in outputs for frame in output.frames],
        [instances for output in outputs for instances in output.instances],
    )
