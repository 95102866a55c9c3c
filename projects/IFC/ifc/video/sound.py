# SPDX-License-Identifier: Apache-2.0
"""The sound of a video beside new pictures: packets are copied where MP4 takes their codec, else made AAC."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.container

from .addresses import RemoteView
from .containers import LENIENT_METADATA

logger = logging.getLogger(__name__)

_COPIED = ("aac", "ac3", "alac", "eac3", "flac", "mp3", "opus")  # what MP4 takes and players know in it
_BITS_PER_SECOND, _HIGHEST_RATE = 160_000, 48_000  # of what is made AAC


def has_sound(container: av.container.InputContainer) -> bool:
    """Whether there is a sound track that can be read."""
    return any(stream.codec_context is not None for stream in container.streams.audio)


class Sound:
    """The first sound track of a file, from a time on.

    Args:
        address: as PyAV opens it.
        name: as messages call the file.
        begin: seconds by the file's own clock, which are 0 of the copy.
        options: of PyAV for opening it.
    """

    def __init__(self, address: str | RemoteView, name: str, begin: Fraction, options: dict[str, Any]):
        self._address, self._name, self._options = address, name, options
        self._begin = begin
        self._packets: Iterator[av.Packet] = iter(())
        self._next: av.Packet | None = None

    def attach(self, output: av.container.OutputContainer) -> None:
        """Make a sound track in a file that is to be written."""
        container = av.open(self._address, **LENIENT_METADATA, **self._options)
        source = container.streams.audio[0]
        context = source.codec_context
        if context.codec.canonical_name in _COPIED:
            stream = output.add_stream_from_template(source)
            packets = container.demux(source)
        else:
            rate, layout = (
                min(context.sample_rate, _HIGHEST_RATE),
                "mono" if context.layout.nb_channels == 1 else "stereo",
            )
            stream = output.add_stream("aac", rate=rate, layout=layout)
            stream.codec_context.bit_rate = _BITS_PER_SECOND
            packets = _encoded(container, source, stream)
        if self._begin > 1:
            with contextlib.suppress(av.FFmpegError):  # what cannot be sought is read through
                container.seek(int(self._begin / source.time_base), stream=source)
        self._packets = self._shifted(packets, stream, container)
        self._next = next(self._packets, None)

    def until(self, time: float | None) -> Iterator[av.Packet]:
        """The next packets, to be muxed: those that begin before `time` (seconds); None for all that are left."""
        while self._next is not None and (time is None or self._next.pts * self._next.time_base < time):
            yield self._next
            self._next = next(self._packets, None)

    def _shifted(
        self, packets: Iterator[av.Packet], stream: av.AudioStream, container: av.container.InputContainer
    ) -> Iterator[av.Packet]:
        """Packets that end after the beginning, by a clock that starts there."""
        with container:
            last = None
            try:
                for packet in packets:
                    if packet.pts is None or packet.dts is None:
                        continue
                    shift = round(self._begin / packet.time_base)
                    packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                    if packet.pts + (packet.duration or 0) <= 0 or (last is not None and packet.dts <= last):
                        continue
                    last, packet.stream = packet.dts, stream
                    yield packet
            except (av.FFmpegError, OSError) as error:
                logger.warning(f"{self._name}: its sound breaks off: {error}")


def _encoded(
    container: av.container.InputContainer, source: av.AudioStream, stream: av.AudioStream
) -> Iterator[av.Packet]:
    encoder = stream.codec_context
    encoder.open()
    resampler = av.AudioResampler(encoder.format, encoder.layout, encoder.sample_rate, frame_size=encoder.frame_size)
    for frame in itertools.chain(container.decode(source), [None]):
        for resampled in resampler.resample(frame):
            yield from stream.encode(resampled)
    yield from stream.encode(None)
