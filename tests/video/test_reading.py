# SPDX-License-Identifier: Apache-2.0
"""Video files and folders of frames: what cannot be read is named."""

import os
import shutil
import struct

import av
import cv2
import numpy as np
import pytest
from video.clips import gradient_frames, write_noise_video, write_video

from ifc.video import FolderReader, ImageReader, VideoReader, VideoReadError, open_frames


def read_until_error(source):
    frames = []
    with pytest.raises(VideoReadError) as caught:
        for frame in source:
            frames.append(frame)
    return frames, str(caught.value)


def write_image(path, frame):
    assert cv2.imwrite(str(path), frame[:, :, ::-1])


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((1, 0, 0, 1), lambda frame: frame),
        ((0, 1, -1, 0), lambda frame: np.rot90(frame, -1)),
        ((0, -1, 1, 0), lambda frame: np.rot90(frame, 1)),
        ((-1, 0, 0, -1), lambda frame: np.rot90(frame, 2)),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda frame: frame.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda frame: np.rot90(frame.transpose(1, 0, 2), 2)),
        ((0.9, 0.4, -0.4, 0.9), lambda frame: frame),
    ],
    ids=[
        "as it is",
        "clockwise",
        "counter-clockwise",
        "upside down",
        "mirrored",
        "mirrored vertically",
        "transposed",
        "transposed, upside down",
        "a little tilted",
    ],
)
def test_orientation_of_the_file_is_applied(tmp_path, matrix, upright):
    (frame,) = gradient_frames(1)
    path = write_video(tmp_path / "phone.mp4", [frame])
    content = bytearray(path.read_bytes())
    # ISO 14496-12: the track header has a matrix (a, b, u, c, d, v, x, y, w), with x' = a x + c y and y' = b x + d y.
    start = content.find(b"tkhd") + 4 + 40
    a, b, c, d = (round(value * (1 << 16)) for value in matrix)
    assert struct.unpack_from(">9i", content, start) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", content, start, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    source = VideoReader(path)
    expected = upright(frame)
    assert source.size == expected.shape[:2]
    (got,) = source
    assert np.abs(expected.astype(int) - got).mean() < 6


@pytest.mark.parametrize(
    ("name", "content"),
    [("random.mp4", bytes(range(256)) * 20), ("empty.mp4", b""), ("notes.txt", b"hello world\n" * 50)],
)
def test_what_is_no_video_is_named(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(VideoReadError, match=f"{name}: unreadable video"):
        open_frames(path)


def test_sound_without_picture_is_no_video(tmp_path):
    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(VideoReadError, match=r"sound.m4a: unreadable video: the file has no video stream"):
        open_frames(path)


def test_cover_picture_is_no_video(tmp_path):
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    _, cover = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))
    picture = b"\0image/jpeg\0\3\0" + cover.tobytes()
    tag = b"APIC" + struct.pack(">IH", len(picture), 0) + picture
    size = bytes(len(tag) >> shift & 127 for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\3\0\0" + size + tag + path.read_bytes())
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1, "FFmpeg counts the cover as a video stream"
    with pytest.raises(VideoReadError, match=r"song.mp3: unreadable video: the file has no video stream"):
        open_frames(path)


def test_file_truncated_before_its_first_frame_is_unreadable(tmp_path):
    path = write_noise_video(tmp_path / "clip.mp4", 10)
    content = path.read_bytes()
    path.write_bytes(content[: content.find(b"mdat") + 40])
    with pytest.raises(VideoReadError, match=r"clip.mp4: unreadable video: no frame can be decoded"):
        open_frames(path)


def test_frames_before_a_truncation_are_delivered(tmp_path):
    path = write_noise_video(tmp_path / "clip.mp4", 40)
    whole = list(VideoReader(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = open_frames(path)
    assert source.num_frames == 40  # what the header says
    frames, message = read_until_error(source)
    assert 5 < len(frames) < 25
    np.testing.assert_array_equal(frames, whole[: len(frames)])
    assert message.startswith(f"{path}: the video breaks at frame {len(frames)} ")


def test_damaged_frame_is_not_delivered(tmp_path):
    path = write_noise_video(tmp_path / "clip.mp4", 40)
    whole = list(VideoReader(path))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(content)
    frames, message = read_until_error(VideoReader(path))
    assert 5 < len(frames) < 25
    np.testing.assert_array_equal(frames, whole[: len(frames)])
    assert f"breaks at frame {len(frames)} " in message


def write_transport_stream(path, num_frames):
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0", "g": "10"})
        stream.height, stream.width, stream.pix_fmt = 48, 80, "yuv420p"
        for _ in range(num_frames):
            frame = rng.integers(0, 256, (48, 80, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def test_frame_that_the_decoder_patched_up_is_not_delivered(tmp_path):
    """Transport streams have no table of sizes: a part of a frame reaches the decoder, which invents the rest."""
    path = tmp_path / "recording.ts"
    write_transport_stream(path, 40)
    whole = list(VideoReader(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, message = read_until_error(VideoReader(path))
    assert 5 < len(frames) < 25
    np.testing.assert_array_equal(frames, whole[: len(frames)])
    assert message.endswith(f"breaks at frame {len(frames)} (counted from 0): the frame is damaged")


def test_stream_that_starts_inside_a_group_of_pictures(tmp_path):
    """As a recording of a broadcast does: it is read from its first whole frame."""
    path = tmp_path / "recording.ts"
    write_transport_stream(path, 40)
    whole = list(VideoReader(path))
    packet = 188
    path.write_bytes(path.read_bytes()[path.stat().st_size // packet // 3 * packet :])
    frames = list(VideoReader(path))
    assert 10 < len(frames) < 30
    np.testing.assert_array_equal(frames, whole[-len(frames) :])


def test_video_that_changes_size_is_named(tmp_path):
    path = tmp_path / "joined.h264"
    parts = []
    for number, size in enumerate([(48, 80), (64, 80)]):
        part = tmp_path / f"{number}.h264"
        with av.open(str(part), "w", format="h264") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
            for frame in gradient_frames(5, *size):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    frames, message = read_until_error(VideoReader(path))
    assert len(frames) == 5
    assert message.startswith(f"{path}: frame 5 is 80x64 (width x height), expected 80x48")


def test_title_that_is_not_utf8_is_accepted(tmp_path):
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "QQQQ"
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 80, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(gradient_frames(1)[0], format="rgb24")))
        container.mux(stream.encode(None))
    content = path.read_bytes()
    assert content.count(b"QQQQ") == 1
    path.write_bytes(content.replace(b"QQQQ", "été!".encode("latin-1")))
    assert len(list(open_frames(path))) == 1


def test_colon_in_a_file_name_is_no_protocol(tmp_path, monkeypatch):
    write_video(tmp_path / "http:clip.mp4", gradient_frames(2))
    monkeypatch.chdir(tmp_path)
    assert len(list(open_frames("http:clip.mp4"))) == 2


def test_folder_is_read_in_natural_order(tmp_path):
    for number in (10, 2, 1):
        write_image(tmp_path / f"frame{number}.png", np.full((20, 30, 3), (number, 2 * number, 0), np.uint8))
    write_image(tmp_path / "frame3.JPG", np.full((20, 30, 3), 3, np.uint8))
    (tmp_path / "readme.txt").write_text("no frame")
    (tmp_path / "._frame1.png").write_bytes(b"what macOS leaves behind")
    source = open_frames(tmp_path)
    assert isinstance(source, FolderReader)
    assert (source.size, source.frame_rate, source.num_frames) == ((20, 30), 10, 4)
    assert [frame[0, 0, 0] for frame in source] == [1, 2, 3, 10]
    np.testing.assert_array_equal(next(iter(source))[5, 5], (1, 2, 0))  # RGB


def test_folder_errors_name_file_and_frame(tmp_path):
    with pytest.raises(VideoReadError, match=r"found no image, expected frames \(\.bmp, .*\.png"):
        open_frames(tmp_path)
    for number in range(4):
        write_image(tmp_path / f"{number}.jpg", np.zeros((20, 30, 3), np.uint8))
    write_image(tmp_path / "2.jpg", np.zeros((21, 30, 3), np.uint8))
    frames, message = read_until_error(open_frames(tmp_path))
    assert len(frames) == 2
    assert message.startswith(f"{tmp_path / '2.jpg'}: found 21 x 30, expected 20 x 30 (height x width)")
    (tmp_path / "1.jpg").write_bytes((tmp_path / "1.jpg").read_bytes()[:100])
    frames, message = read_until_error(open_frames(tmp_path))
    assert len(frames) == 1 and message.startswith(f"{tmp_path / '1.jpg'}: found ")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_image(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    write_image(path, np.full((16, 24, 3), (10, 200, 90), np.uint8))
    source = open_frames(path)
    assert isinstance(source, ImageReader)
    assert (source.size, source.frame_rate, source.num_frames) == ((16, 24), 10, 1)
    (frame,) = source
    np.testing.assert_allclose(frame[8, 8], (10, 200, 90), atol=4)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(VideoReadError, match=rf"image{suffix}: found .*, expected an? "):
        open_frames(path)


def test_pipe_is_named(tmp_path):
    """Opening it would wait for who writes to it."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(VideoReadError, match="pipe: found a pipe or a device, expected a file or a folder"):
        open_frames(tmp_path / "pipe")


@pytest.mark.skipif(bool(shutil.which("nvidia-smi")), reason="there may be such a decoder")
def test_missing_decoder_is_named(tmp_path):
    path = write_noise_video(tmp_path / "clip.mp4", 2)
    with pytest.raises(ValueError, match="nvdec: found no such decoder .*NVIDIA"):
        open_frames(path, decoder="nvdec")
    with pytest.raises(ValueError, match="found 'gpu', expected one of cpu, nvdec"):
        open_frames(path, decoder="gpu")
    assert len(list(open_frames(path, decoder="cpu"))) == 2


def test_missing_input(tmp_path):
    with pytest.raises(VideoReadError, match=r"nowhere.mp4: no such file or folder"):
        open_frames(tmp_path / "nowhere.mp4")
