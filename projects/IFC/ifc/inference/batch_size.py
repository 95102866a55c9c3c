# SPDX-License-Identifier: Apache-2.0
"""How many frames and windows pass the network together: as many as memory has room for, within reason."""

import torch

from ..modeling.network import FrameFeatures

# A CPU gains from a batch only what it saves in calls; beyond its caches a larger one is slower. Measured with
# `ifc benchmark inference`: windows of R-50 run best one by one, those of a small network by the dozen.
_CPU_BYTES_OF_FRAMES = 512 << 20
_CPU_BYTES_OF_WINDOWS = 256 << 20
_MOST_AT_ONCE = 64  # a GPU is busy long before
_SHARE_OF_FREE_MEMORY = 0.25  # on a GPU; what is free is asked for before each batch


def num_frames_that_fit(device: torch.device, frame_size: tuple[int, int]) -> int:
    """Frames of `frame_size` (height, width) that pass the backbone together, at least 1.

    A ResNet's first stages hold 16 float32 numbers a pixel (64 channels at stride 2, 256 at stride 4), about four times
    at once.
    """
    bytes_a_frame = 4 * 16 * 4 * frame_size[0] * frame_size[1]
    return _fit(_budget(device, _CPU_BYTES_OF_FRAMES), bytes_a_frame)


def num_windows_that_fit(features: FrameFeatures, window: int) -> int:
    """Windows of `window` frames that pass encoder, decoder and mask head together, at least 1.

    The mask head holds about eight float32 maps of D channels at the stride of res3 a frame, the encoder's feed-forward
    blocks about as much as sixteen of D numbers a token.
    """
    _, dim, height, width = features.lateral3.shape
    bytes_a_frame = 4 * dim * (8 * height * width + 16 * features.tokens.shape[1])
    return _fit(_budget(features.tokens.device, _CPU_BYTES_OF_WINDOWS), window * bytes_a_frame)


def _fit(budget: int, size: int) -> int:
    return max(1, min(budget // size, _MOST_AT_ONCE))


def _budget(device: torch.device, cpu_bytes: int) -> int:
    if device.type != "cuda":
        return cpu_bytes
    free, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(_SHARE_OF_FREE_MEMORY * (free + cached))
