# SPDX-License-Identifier: Apache-2.0
"""What PyAV opens: containers, their pictures, and what a picture needs to be shown."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache

import av
import av.container
import numpy as np
from av.codec.hwaccel import HWAccel
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition

from .addresses import RemoteView
from .sources import VideoReadError

# Titles that are not UTF-8 are no reason to reject a video. PyAV accepts them by itself from version 19 on.
LENIENT_METADATA = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders pass their transparency over


@contextlib.contextmanager
def open_container(address: str | RemoteView, name: str, **options: object) -> Iterator[av.container.InputContainer]:
    """Open what FFmpeg reads, itself or through a file object; `name` is what messages call it.

    Raises:
        VideoReadError: if it cannot be opened.
    """
    try:
        container = av.open(address, **LENIENT_METADATA, **options)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoReadError(f"{name}: unreadable video: {reason(error)}") from error
    with container:
        yield container


@cache
def nvdec() -> HWAccel:
    """The decoder of an NVIDIA GPU, as containers are opened with it. What it does not know is decoded by the CPU.

    Raises:
        ValueError: there is none.
    """
    decoder = HWAccel("cuda")
    try:
        decoder.create(av.Codec("h264", "r"))
    except (av.FFmpegError, NotImplementedError, OSError, ValueError) as error:
        expected = "expected an NVIDIA GPU with its driver, and a PyAV that knows it"
        raise ValueError(f"nvdec: found no such decoder ({reason(error)}), {expected}") from error
    return decoder


def video_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """The first stream of pictures that is no cover.

    Raises:
        VideoReadError: if there is none.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    # FFmpeg renders text files as films of a terminal ("tty"), which nobody means.
    if not streams or container.format.name == "tty":
        raise VideoReadError(f"{name}: unreadable video: the file has no video stream")
    return streams[0]


def decoded(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """The frames of a stream, with their transparency if they have one."""
    name = stream.codec_context.name
    if stream.metadata.get("alpha_mode") != "1" or name not in _ALPHA_DECODERS:
        yield from container.decode(stream)
        return
    decoder = av.CodecContext.create(_ALPHA_DECODERS[name], "r")
    for packet in container.demux(stream):
        for frame in decoder.decode(packet):
            frame.time_base = frame.time_base or stream.time_base
            yield frame


def to_upright_rgb(frame: av.VideoFrame) -> np.ndarray:
    """(H, W, 3) uint8, turned as the frame asks for; what is transparent is laid on black."""
    if any(component.is_alpha for component in frame.format.components):
        rgba = frame.to_ndarray(format="rgba")
        alpha = rgba[:, :, 3:].astype(np.uint16)
        rgb = ((rgba[:, :, :3] * alpha + 127) // 255).astype(np.uint8)
    else:
        rgb = frame.to_ndarray(format="rgb24")
    side_data = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    if side_data is None:
        return rgb
    # ISO 14496-12: x' = a x + c y, y' = b x + d y; angles between quarter turns are taken for the nearest one.
    (a, b), (c, d) = np.frombuffer(bytes(side_data), dtype=np.int32).reshape(3, 3)[:2, :2].tolist()
    if abs(a) + abs(d) < abs(b) + abs(c):
        rgb, a, d = rgb.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(rgb[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def reason(error: Exception) -> str:
    """What FFmpeg or the system says is wrong."""
    return getattr(error, "strerror", None) or str(error)
