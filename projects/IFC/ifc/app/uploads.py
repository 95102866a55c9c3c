# SPDX-License-Identifier: Apache-2.0
"""What is taken for a video of a stranger's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import av

from ..video import VideoReader, VideoReadError
from ..video.containers import LENIENT_METADATA

# FFmpeg's names of containers, which are told by content. Others are refused before they are read: there are some, such
# as playlists, that have FFmpeg open what else is on this machine or in its network.
_SUFFIXES = {"mov,mp4,m4a,3gp,3g2,mj2": ".mp4", "matroska,webm": ".webm"}
_CONTAINERS = (*_SUFFIXES, "asf", "avi", "flv", "gif", "mpeg", "mpegts", "ogg")


class UploadError(ValueError):
    """An upload that is refused. The message says why, to whoever uploaded it."""


@dataclass(frozen=True)
class Limits:
    """What is taken: bytes of a file, seconds of a video, and pixels of its frames."""

    size: int = 200 * 2**20
    seconds: float = 300.0
    pixels: int = 4096 * 2304


def take_upload(path: str | os.PathLike[str], folder: Path, limits: Limits) -> Path:
    """Check an upload, and put it into `folder`, too, under a name of our own.

    Raises:
        UploadError: it is no video, or over a limit.
        OSError: it cannot be put there.
    """
    path = Path(path)
    if not path.is_file():
        raise UploadError("This file has been removed meanwhile. Choose it again.")
    if path.stat().st_size > limits.size:
        raise UploadError(f"This file is larger than {limits.size / 2**20:.0f} MB.")
    try:
        options = {"format_whitelist": ",".join(_CONTAINERS), "protocol_whitelist": "file"}
        with av.open(f"file:{path}", options=options, **LENIENT_METADATA) as container:
            kind = container.format.name
            seconds = (container.duration or 0) / av.time_base
        reader = VideoReader(path)
    except (av.FFmpegError, OSError, VideoReadError):
        raise UploadError("This file cannot be read as a video.") from None
    if reader.num_frames is not None:
        seconds = max(seconds, float(reader.num_frames / reader.frame_rate))
    if seconds > limits.seconds:
        raise UploadError(f"This video is {seconds:.0f} seconds long; up to {limits.seconds:.0f} are taken.")
    height, width = reader.size
    if height * width > limits.pixels:
        raise UploadError(f"The frames of this video are {width} × {height}; up to {limits.pixels} pixels are taken.")
    taken = folder / f"video{_SUFFIXES.get(kind, '.video')}"
    os.link(path, taken)
    return taken
