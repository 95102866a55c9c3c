# SPDX-License-Identifier: Apache-2.0
"""Reading and writing video."""

from .reading import (
    FolderReader,
    FrameSource,
    ImageReader,
    VideoReader,
    VideoReadError,
    VideoWriteError,
    VideoWriter,
    open_frames,
)

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
