# SPDX-License-Identifier: Apache-2.0
"""A long video: what the engine keeps does not grow with it."""

import gc
import pickle
from pathlib import Path

import torch

from ifc.inference import InferenceSettings, VideoInference
from ifc.modeling.network import ClipPrediction, FrameFeatures

MASK_SIZE, OUTPUT_SIZE = (24, 32), (96, 128)
NUM_OBJECTS = 6
LENGTH, BATCH = 2000, 8


class PassingObjects:
    """A network that sees objects move through the video, each gone for a third of the time.

    A frame's features are its index, which the frame's pixels hold.
    """

    device = torch.device("cpu")

    def prepare(self) -> None:
        pass

    def encode_frames(self, images: torch.Tensor) -> FrameFeatures:
        x = images[:, :1, 0]  # (N, 1, 1)
        return FrameFeatures(x, x, None, x[..., None], x[..., None], (1, 1))

    def predict_clips(self, features: FrameFeatures, num_frames: int) -> ClipPrediction:
        frames = features.tokens.flatten().unflatten(0, (-1, num_frames))  # (B, T)
        objects = torch.arange(NUM_OBJECTS)
        is_there = (frames[:, :1] + 31 * objects) % 180 >= 60  # (B, Q), each at times of its own
        logits = torch.full((*is_there.shape, 4), -3.0)
        logits[..., 0] = 3.0 * is_there
        logits[..., -1] = 3.0 * ~is_there
        center = (frames[:, None] * 0.3 + 6 * objects[:, None]) % MASK_SIZE[1]  # (B, Q, T)
        x = torch.arange(MASK_SIZE[1]) - center[..., None, None]
        y = torch.arange(MASK_SIZE[0])[:, None] - 4.0 * objects[:, None, None, None]
        return ClipPrediction(logits, 4 - torch.hypot(x, y))


def resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def test_memory_does_not_grow_with_the_video():
    stream = VideoInference(PassingObjects(), InferenceSettings(window=5)).stream(OUTPUT_SIZE)
    resident, state, num_masks, num_instances = {}, {}, 0, 0
    for first in range(0, LENGTH, BATCH):
        frames = [torch.full((1, 1, 1), float(index)) for index in range(first, first + BATCH)]
        output = stream.push(frames)
        num_masks += sum(len(frame.masks) for frame in output.frames)
        num_instances += sum(len(instances.ids) for instances in output.instances)
        if first % 200 == 0:
            gc.collect()
            resident[first] = resident_bytes()
            state[first] = len(pickle.dumps((stream._tracker, stream._features)))
    assert num_masks > 3 * LENGTH and num_instances > 50
    assert max(state.values()) <= 1.5 * state[400]
    # One frame's logits are 18 KB: to keep those of 1600 frames, or the masks of a part of them, would take more.
    assert resident[1800] - resident[400] < 6 * 2**20
