# SPDX-License-Identifier: Apache-2.0
"""Videos that tests write and read."""

from fractions import Fraction

import av
import numpy as np

from ifc.video import VideoWriter


def gradient_frames(num_frames, height=48, width=80):
    """Smooth frames, each different, which a codec keeps well."""
    y, x = np.mgrid[:height, :width]
    return [
        np.stack([2 * x + 5 * t, 3 * y + 0 * x, 200 - 4 * t + 0 * x], axis=-1).clip(0, 255).astype(np.uint8)
        for t in range(num_frames)
    ]


def write_video(path, frames, frame_rate=25):
    with VideoWriter(path, frame_rate) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def write_noise_video(path, num_frames):
    """A video whose frames all cost many bytes, so that half of the file is about half of the frames."""
    rng = np.random.default_rng(0)
    return write_video(path, [rng.integers(0, 256, (48, 80, 3), dtype=np.uint8) for _ in range(num_frames)])


def write_with(path, frames, codec, pix_fmt="yuv420p", *, container=None, times=None, options=None, layout="rgb24"):
    """A video by any of FFmpeg's encoders, with a time for each frame in milliseconds."""
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], pix_fmt
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format=layout)
            picture.pts, picture.time_base = 40 * index if times is None else times[index], Fraction(1, 1000)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path


def write_with_sound(path, frames, *, sound="aac", times=None, seconds=None, rate=48000, layout="mono"):
    """A video whose sound is a click of 20 ms in each second, a quarter after it begins."""
    times = [0.04 * index for index in range(len(frames))] if times is None else times
    seconds = times[-1] + 0.04 if seconds is None else seconds
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25, options={"crf": "10"})
        video.height, video.width, video.pix_fmt = *frames[0].shape[:2], "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        audio = output.add_stream(sound, rate=rate, layout=layout)
        audio.codec_context.open()
        for frame, time in zip(frames, times, strict=True):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = round(1000 * time), Fraction(1, 1000)
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
        samples = clicks(round(48000 * seconds))
        resampler = av.AudioResampler(audio.format, audio.layout, rate, frame_size=audio.codec_context.frame_size)
        wave = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        wave.sample_rate, wave.pts, wave.time_base = 48000, 0, Fraction(1, 48000)
        for frame in (wave, None):
            for part in resampler.resample(frame):
                output.mux(audio.encode(part))
        output.mux(audio.encode(None))
    return path


def clicks(num_samples):
    time = np.arange(num_samples) / 48000
    return (0.5 * np.sin(2 * np.pi * 1000 * time) * (abs(time % 1 - 0.26) < 0.01)).astype(np.float32)


def heard_clicks(path):
    """Seconds at which the clicks of a file's sound begin, and the name of its codec."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
        times = [frame.time + np.arange(frame.samples) / frame.sample_rate for frame in frames]
        level = np.abs(np.concatenate([frame.to_ndarray().reshape(-1, frame.samples)[0] for frame in frames]))
    level, times = level / level.max(), np.concatenate(times)
    loud = times[level > 0.3]
    return loud[np.diff(loud, prepend=-1) > 0.5], stream.codec_context.codec.canonical_name
