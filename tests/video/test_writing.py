# SPDX-License-Identifier: Apache-2.0
"""Video files that are written: what can be read of them, and what is left after a failure."""

import os
from fractions import Fraction

import av
import numpy as np
import pytest
from video.clips import gradient_frames, heard_clicks, write_video, write_with_sound

from ifc.video import VideoReader, VideoWriteError, VideoWriter, open_frames


def test_written_video_can_be_read(tmp_path):
    frames = gradient_frames(12)
    source = open_frames(write_video(tmp_path / "clip.mp4", frames, Fraction(30000, 1001)))
    assert isinstance(source, VideoReader)
    assert (source.size, source.frame_rate, source.num_frames) == ((48, 80), Fraction(30000, 1001), 12)
    for _ in range(2):  # a source can be read again
        read = list(source)
        assert len(read) == 12
        for written, got in zip(frames, read, strict=True):
            assert got.dtype == np.uint8 and got.flags["C_CONTIGUOUS"]
            assert np.abs(written.astype(int) - got).mean() < 3
    assert os.listdir(tmp_path) == ["clip.mp4"]


@pytest.mark.parametrize("color", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 40, 90), (255, 255, 255)])
def test_colors_survive(tmp_path, color):
    frames = [np.full((32, 32, 3), color, np.uint8)] * 2
    for frame in VideoReader(write_video(tmp_path / "flat.mp4", frames)):
        np.testing.assert_allclose(frame[16, 16], color, atol=4)


def test_file_is_what_browsers_play(tmp_path):
    path = write_video(tmp_path / "clip.mp4", gradient_frames(3))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert len(container.streams) == 1 and "mp4" in container.format.name
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.format.name == "yuv420p"
        frame = next(container.decode(stream))
        bt709, limited = 1, 1
        assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (bt709, bt709, bt709)
        assert frame.color_range == limited
    content = path.read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat"), "the index must come first for playing while loading"


@pytest.mark.parametrize(("height", "width"), [(47, 80), (48, 79), (33, 57), (1, 1)])
def test_odd_sizes_are_padded_with_their_edge(tmp_path, height, width):
    frames = gradient_frames(3, height, width)
    source = VideoReader(write_video(tmp_path / "odd.mp4", frames))
    assert source.size == (height + height % 2, width + width % 2)
    for written, got in zip(frames, source, strict=True):
        padded = np.pad(written, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge").astype(int)
        assert np.abs(padded - got).mean() < 4
        assert np.abs(padded[-1] - got[-1]).mean() < 8 and np.abs(padded[:, -1] - got[:, -1]).mean() < 8


@pytest.mark.parametrize("frame_rate", [Fraction(24000, 1001), 12.5, 60, 1 / 3, Fraction(20, 68401), 0.001])
def test_frame_rate_is_kept(tmp_path, frame_rate):
    path = write_video(tmp_path / "clip.mp4", gradient_frames(4), frame_rate)
    assert float(VideoReader(path).frame_rate) == pytest.approx(float(frame_rate))


def test_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_text("before")
    with pytest.raises(RuntimeError, match="stop"), VideoWriter(path, 25) as writer:
        for frame in gradient_frames(100):  # more than the encoder holds back
            writer.write(frame)
        assert len(os.listdir(tmp_path)) == 2
        raise RuntimeError("stop")
    assert os.listdir(tmp_path) == ["clip.mp4"] and path.read_text() == "before"


def test_writer_rejects_wrong_frames(tmp_path):
    path = tmp_path / "clip.mp4"
    with (
        pytest.raises(ValueError, match=r"clip.mp4.*\(48, 80\) uint8.*expected \(H, W, 3\)"),
        VideoWriter(path, 25) as w,
    ):
        w.write(np.zeros((48, 80), np.uint8))
    with pytest.raises(ValueError, match=r"\(48, 80, 3\) float32"), VideoWriter(path, 25) as writer:
        writer.write(np.zeros((48, 80, 3), np.float32))
    with pytest.raises(ValueError, match=r"frame 1 is 80x50.*80x48"), VideoWriter(path, 25) as writer:
        writer.write(np.zeros((48, 80, 3), np.uint8))
        writer.write(np.zeros((50, 80, 3), np.uint8))
    with pytest.raises(ValueError, match="no frame was written"), VideoWriter(path, 25):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("size", "frame_rate", "message"),
    [
        ((2, 16386), 25, r"found frames of 16386x2 \(width x height\), expected at most 16384 pixels a side"),
        ((2, 2), 1e-9, "the video cannot be written: "),
    ],
)
def test_video_that_cannot_be_written_is_named(tmp_path, size, frame_rate, message):
    with (
        pytest.raises(VideoWriteError, match=rf"clip\.mp4: {message}"),
        VideoWriter(tmp_path / "clip.mp4", frame_rate) as writer,
    ):
        writer.write(np.zeros((*size, 3), np.uint8))
    assert os.listdir(tmp_path) == []


def test_folder_in_place_of_the_video_is_named(tmp_path):
    (tmp_path / "clip.mp4").mkdir()
    with (
        pytest.raises(VideoWriteError, match=r"clip\.mp4: the video cannot be written: found a folder"),
        VideoWriter(tmp_path / "clip.mp4", 25) as writer,
    ):
        writer.write(np.zeros((2, 2, 3), np.uint8))
    assert os.listdir(tmp_path) == ["clip.mp4"]


@pytest.mark.parametrize("frame_rate", [0, -5, float("nan"), float("inf")])
def test_writer_rejects_wrong_frame_rate(tmp_path, frame_rate):
    with pytest.raises(ValueError, match="frame_rate is .*, expected a positive number"):
        VideoWriter(tmp_path / "clip.mp4", frame_rate)


UNEVEN = [0, 0.04, 0.05, 0.2, 1, 1.033, 1.5, 1.501, 1.6, 2.4]


@pytest.mark.parametrize("time_base", [None, Fraction(1, 90000), Fraction(1, 1000)])
def test_times_are_kept(tmp_path, time_base):
    frames = gradient_frames(len(UNEVEN))
    with VideoWriter(tmp_path / "clip.mp4", 1000, time_base=time_base) as writer:
        for time, frame in zip(UNEVEN, frames, strict=True):
            writer.write(frame, time)
    read = list(VideoReader(tmp_path / "clip.mp4").timed())
    assert [frame.time for frame in read] == pytest.approx(UNEVEN, abs=1e-4)
    for written, got in zip(frames, read, strict=True):
        assert np.abs(written.astype(int) - got.image).mean() < 4


def test_clock_that_stands_still_goes_on(tmp_path):
    with VideoWriter(tmp_path / "clip.mp4", 10) as writer:
        for time, frame in zip([0, 0.1, 0.1, 0.1], gradient_frames(4), strict=True):
            writer.write(frame, time)
    assert [frame.time for frame in VideoReader(tmp_path / "clip.mp4").timed()] == pytest.approx([0, 0.1, 0.2, 0.3])


def overlay_of(path, output, *, start=0.0, sound_ends=None):
    """What a program does that draws on a video."""
    source = VideoReader(path)
    with VideoWriter(output, source.frame_rate, time_base=source.time_base, sound=source.sound(start)) as writer:
        writer.sound_ends = sound_ends
        for time, image in source.timed(start):
            writer.write(image, time - start)
    return output


@pytest.mark.parametrize(
    ("name", "sound", "kept"),
    [
        ("clip.mp4", "aac", "aac"),
        ("clip.mkv", "libopus", "opus"),
        ("clip.mkv", "flac", "flac"),
        ("clip.mov", "pcm_s16le", "aac"),
        ("clip.mkv", "mp2", "aac"),
        ("clip.ts", "libmp3lame", "mp3"),
        ("clip.ts", "aac", "aac"),
    ],
)
def test_sound_is_kept_in_step(tmp_path, name, sound, kept):
    times = [0.033 * index for index in range(40)] + [1.5, 1.6, 2.5]  # a variable rate
    path = write_with_sound(tmp_path / name, gradient_frames(len(times)), sound=sound, times=times, seconds=4.3)
    overlay = overlay_of(path, tmp_path / "overlay.mp4")
    (clicks, codec), (before, _) = heard_clicks(overlay), heard_clicks(path)
    assert codec == kept
    assert len(before) == 5 and clicks == pytest.approx(before - start_of_pictures(path), abs=2e-3)
    assert [frame.time for frame in VideoReader(overlay).timed()] == pytest.approx(times, abs=1e-3)
    assert start_of_pictures(overlay) == pytest.approx(0, abs=1e-3)


def test_sound_that_aac_has_no_room_for_is_mixed_down(tmp_path):
    """Studio recordings: 96,000 samples a second, six channels."""
    path = tmp_path / "studio.mkv"
    write_with_sound(path, gradient_frames(30), sound="pcm_s16le", rate=96000, layout="5.1")
    clicks, codec = heard_clicks(overlay_of(path, tmp_path / "overlay.mp4"))
    assert codec == "aac" and clicks == pytest.approx([0.25], abs=2e-3)
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        context = container.streams.audio[0].codec_context
        assert (context.sample_rate, context.layout.name) == (48000, "stereo")


def start_of_pictures(path):
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).time


def test_sound_of_a_part_begins_and_ends_with_it(tmp_path):
    path = write_with_sound(tmp_path / "clip.mp4", gradient_frames(150), seconds=6)
    clicks, _ = heard_clicks(overlay_of(path, tmp_path / "overlay.mp4", start=1.5, sound_ends=2.2))
    assert clicks == pytest.approx([0.75, 1.75], abs=0.03)


def test_pictures_that_stop_early_keep_their_sound(tmp_path):
    """As a run that is interrupted leaves it."""
    source = VideoReader(write_with_sound(tmp_path / "clip.mp4", gradient_frames(150), seconds=6))
    with VideoWriter(tmp_path / "overlay.mp4", 25, sound=source.sound(0)) as writer:
        for index, frame in enumerate(source):
            writer.write(frame)
            if index == 60:
                writer.sound_ends = 61 / 25
                break
    assert heard_clicks(tmp_path / "overlay.mp4")[0] == pytest.approx([0.25, 1.25, 2.25], abs=0.03)


def test_transparent_video(tmp_path):
    frame = np.full((33, 48, 4), (200, 100, 50, 255), np.uint8)
    frame[:, 24:] = 0
    with VideoWriter(tmp_path / "cut.webm", 25, transparent=True) as writer:
        for _ in range(3):
            writer.write(frame)
        with pytest.raises(ValueError, match=r"\(33, 48, 3\) uint8, expected \(H, W, 4\)"):
            writer.write(frame[:, :, :3])
    with av.open(str(tmp_path / "cut.webm")) as container:
        assert container.streams.video[0].metadata["alpha_mode"] == "1"
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        (first, *_) = (f for packet in container.demux(video=0) for f in decoder.decode(packet))
    assert first.format.name == "yuva420p"
    rgba = first.to_ndarray(format="rgba")
    np.testing.assert_allclose(rgba[:, :20], np.broadcast_to((200, 100, 50, 255), (34, 20, 4)), atol=12)
    assert rgba[:, 28:, 3].max() < 10


def test_full_disk_is_named_and_leaves_nothing(tmp_path, monkeypatch):
    class FullDisk:
        def __init__(self, container):
            self._container = container

        def __getattr__(self, name):
            return getattr(self._container, name)

        def mux(self, packets):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(av, "open", lambda *args, open=av.open, **kw: FullDisk(open(*args, **kw)))
    with (
        pytest.raises(VideoWriteError, match=r"clip\.mp4: the video cannot be written: No space left on device"),
        VideoWriter(tmp_path / "clip.mp4", 25) as writer,
    ):
        for frame in gradient_frames(80):
            writer.write(frame)
    assert os.listdir(tmp_path) == []
