# SPDX-License-Identifier: Apache-2.0
"""Reading and writing video."""

from .reading import FolderReader, FrameSource, ImageReader, VideoReader, VideoReadError, open_frames
from .writing import VideoWriteError, VideoWriter

__all__ = [
    "FolderReader",
    "FrameSource",
    "ImageReader",
    "VideoReadError",
    "VideoReader",
    "VideoWriteError",
    "VideoWriter",
    "open_frames",
]
