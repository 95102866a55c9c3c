# SPDX-License-Identifier: Apache-2.0
"""Video files that are written: what can be read of them, and what is left after a failure."""

import os
from fractions import Fraction

import av
import numpy as np
import pytest
from video.clips import gradient_frames, write_video

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
