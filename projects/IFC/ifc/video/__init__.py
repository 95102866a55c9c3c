# SPDX-License-Identifier: Apache-2.0
"""Reading and writing video."""

from .folders import FolderReader, ImageReader
from .reading import VideoReader, open_frames
from .sources import FrameSource, Part, TimedFrame, VideoReadError
from .stamps import Stamp, file_stamp
from .writing import VideoWriteError, VideoWriter

__all__ = [
    "FolderReader",
    "FrameSource",
    "ImageReader",
    "Part",
    "Stamp",
    "TimedFrame",
    "VideoReadError",
    "VideoReader",
    "VideoWriteError",
    "VideoWriter",
    "file_stamp",
    "open_frames",
]
