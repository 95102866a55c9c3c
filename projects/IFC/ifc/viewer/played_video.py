# SPDX-License-Identifier: Apache-2.0
"""The video that a page plays: the source itself where browsers play it, else the source encoded anew."""

import base64
import contextlib
import itertools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import av.container
from av.sidedata.sidedata import Type as SideDataType

from ..video import Part, VideoWriter, open_frames
from ..ytvis.files import whole_file
from ..ytvis.segmented_video import SegmentedVideo

MAX_EMBEDDED = 32 * 2**20  # bytes of a video that becomes part of its page, which then can be sent as one file
OVERLAY = "overlay.mp4"
_MP4, _WEBM = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"
_TYPES = {_MP4: "video/mp4", _WEBM: "video/webm"}
_CODECS = {_MP4: {"h264", "vp9", "av1"}, _WEBM: {"vp8", "vp9", "av1"}}
_SOUND = {"aac", "flac", "mp3", "opus", "vorbis"}
_SEEK_MARGIN = 0.001  # seconds, half of the page's own
_PIXELS = {"yuv420p", "yuvj420p"}


@dataclass(frozen=True)
class PlayedVideo:
    """A video file for a page.

    Attributes:
        path: the file.
        media_type: MIME's.
        size: (height, width) of its pictures; an encoder may have made those of the frames even.
        begins: seconds since the source's first frame at which its clock is at 0.
        notice: what there is to say about it, or nothing.
        has_masks: they are drawn into it.
    """

    path: Path
    media_type: str
    size: tuple[int, int]
    begins: float
    notice: str = ""
    has_masks: bool = False

    def to_json(self, folder: Path) -> dict[str, Any]:
        """What the page is told: the video itself if it is small, else its address, for which it is put into `folder`
        if it is not there: under a second name of the same file or, on another disk, as a copy.
        """
        told = {"type": self.media_type, "height": self.size[0], "width": self.size[1]}
        told |= {"begins": self.begins, "has_masks": self.has_masks}
        if self.path.stat().st_size <= MAX_EMBEDDED:
            return told | {"content": base64.b64encode(self.path.read_bytes()).decode("ascii")}
        beside = self.path
        if self.path.resolve().parent != folder.resolve():
            beside = folder / f"source{self.path.suffix}"
            with whole_file(beside) as partial:
                try:
                    os.link(self.path.resolve(), partial)
                except OSError:
                    shutil.copyfile(self.path, partial)
        return told | {"url": quote(beside.name)}


def played_video(video: SegmentedVideo, scratch: Path) -> PlayedVideo:
    """The video to play on the page of `video`; one that has to be encoded gets into the folder `scratch`.

    Raises:
        OSError: there is neither the source nor an overlay, or a file cannot be written.
        VideoReadError: the source cannot be read.
    """
    source = Path(video.source)
    if not source.exists():  # a camera or a stream, or moved
        overlay = video.folder / OVERLAY
        if not overlay.is_file():
            raise FileNotFoundError(f"{source}: found neither this, the input of {video.folder}, nor {overlay}")
        notice = f"The input, {source}, is not there any more: what plays is the overlay, with its masks drawn in."
        return PlayedVideo(overlay, _TYPES[_MP4], _even(video.size), video.start, notice, has_masks=True)
    played = None if source.is_dir() else _play_itself(source, video.size)
    return played or _encode(video, scratch / "source.mp4")


def _encode(video: SegmentedVideo, path: Path) -> PlayedVideo:
    """The source from the first frame that was segmented to the last one, with its sound: it may break after that."""
    source, first, last = open_frames(Path(video.source), frame_rate=video.frame_rate), video.times[0], video.times[-1]
    begins = video.start + first
    with VideoWriter(
        path, source.frame_rate, time_base=source.time_base, sound=source.sound(begins), in_order=True
    ) as writer:
        writer.sound_ends = last - first + 1 / float(source.frame_rate)
        for time, image in Part(video.start).frames(source):
            writer.write(image, time - first)
            if time >= last:
                break
    return PlayedVideo(path, _TYPES[_MP4], _even(video.size), begins)


def _even(size: tuple[int, int]) -> tuple[int, int]:
    height, width = size
    return height + height % 2, width + width % 2


def _play_itself(path: Path, size: tuple[int, int]) -> PlayedVideo | None:
    """A video file that all browsers play as it is, upright and to the frame; None for another one."""
    with contextlib.suppress(av.FFmpegError), av.open(f"file:{path}") as container:
        kind, (stream, *others) = container.format.name, container.streams.video
        first = next(container.decode(stream))
        if (
            not others
            and stream.codec_context.name in _CODECS.get(kind, ())
            and stream.codec_context.pix_fmt in _PIXELS
            and all(sound.codec_context.name in _SOUND for sound in container.streams.audio)
            and SideDataType.DISPLAYMATRIX not in first.side_data
            and first.time >= 0  # or browsers move it
        ):
            container.seek(0)
            if _has_true_durations(container, stream):
                return PlayedVideo(path, _TYPES[kind], size, begins=-first.time)
    return None


def _has_true_durations(container: av.container.InputContainer, stream: av.VideoStream) -> bool:
    """Whether a frame lasts until the next one also by the file, which says otherwise if the frame rate varies and
    frames are stored in another order than they are shown in: Chromium then shows some of them only in passing.
    """
    frames = sorted((p.pts, p.duration or 0) for p in container.demux(stream) if p.pts is not None)
    most = _SEEK_MARGIN / stream.time_base
    return all(pts + duration <= after + most for (pts, duration), (after, _) in itertools.pairwise(frames))
