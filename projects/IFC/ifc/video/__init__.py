# SPDX-License-Identifier: Apache-2.0
"""Reading and writing video."""

from .folders import FolderReader, ImageReader
from .reading import VideoReader, open_frames
from .sources import FrameSource, Part, TimedFrame, VideoReadError
from .writing import VideoWriteError, VideoWriter

__all__ = [
    "FolderReader",
    "FrameSource",
    "ImageReader",
    "Part",
    "TimedFrame",
    "VideoReadError",
    "VideoReader",
    "VideoWriteError",
    "VideoWriter",
    "open_frames",
]
