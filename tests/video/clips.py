# SPDX-License-Identifier: Apache-2.0
"""Videos that tests write and read."""

import numpy as np

from ifc.video import VideoWriter


def gradient_frames(num_frames, height=48, width=80):
    """Smooth frames, each different, which a codec keeps well."""
    y, x = np.mgrid[:height, :width]
    return [
        np.stack([2 * x + 5 * t, 3 * y + 0 * x, 200 - 4 * t + 0 * x], axis=-1).clip(0, 255).astype(np.uint8)
        for t in range(num_frames)
    ]


def write_video(path, frames, frame_rate=25):
    with VideoWriter(path, frame_rate) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def write_noise_video(path, num_frames):
    """A video whose frames all cost many bytes, so that half of the file is about half of the frames."""
    rng = np.random.default_rng(0)
    return write_video(path, [rng.integers(0, 256, (48, 80, 3), dtype=np.uint8) for _ in range(num_frames)])
