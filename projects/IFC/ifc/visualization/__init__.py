# SPDX-License-Identifier: Apache-2.0
"""Reading and writing video, and drawing tracks onto it."""

from .overlay import DrawnTrack, OverlayDrawer, default_scale, select_tracks, track_color
from .video_io import (
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
    "DrawnTrack",
    "FolderReader",
    "FrameSource",
    "ImageReader",
    "OverlayDrawer",
    "VideoReadError",
    "VideoReader",
    "VideoWriteError",
    "VideoWriter",
    "default_scale",
    "open_frames",
    "select_tracks",
    "track_color",
]
