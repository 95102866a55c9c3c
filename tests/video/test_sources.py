# SPDX-License-Identifier: Apache-2.0
"""Times of frames, parts of videos, and codecs and pixels of all kinds."""

import os

import cv2
import numpy as np
import pytest
from video.clips import gradient_frames, write_video, write_with

from ifc.video import Part, VideoReadError, open_frames

UNEVEN = [0, 40, 50, 200, 1000, 1033, 1500, 1501, 1600, 2400]  # milliseconds


def part_of(path, *args, **options):
    """Times and images of a part."""
    frames = list(Part(*args, **options).frames(open_frames(path)))
    return [frame.time for frame in frames], [frame.image for frame in frames]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.mov"])
def test_uneven_times_are_those_of_the_file(tmp_path, name):
    path = write_with(tmp_path / name, gradient_frames(len(UNEVEN)), "libx264", times=UNEVEN)
    times, _ = part_of(path)
    assert times == pytest.approx([time / 1000 for time in UNEVEN], abs=1e-3)


def test_times_begin_at_the_first_frame(tmp_path):
    path = write_with(tmp_path / "late.mkv", gradient_frames(3), "libx264", times=[5000, 5040, 5090])
    assert part_of(path)[0] == pytest.approx([0, 0.04, 0.09])


def test_file_without_a_clock_goes_by_its_rate(tmp_path):
    path = write_with(tmp_path / "clip.h264", gradient_frames(6), "libx264", options={"bf": "0"})
    assert part_of(path)[0] == pytest.approx([0.04 * index for index in range(6)])
    times, images = part_of(path, 0.1)
    assert times == pytest.approx([0.02, 0.06, 0.1])
    np.testing.assert_array_equal(images, part_of(path)[1][3:])


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("clip.mp4", "libx264", {"g": "30", "bf": "2"}),
        ("clip.mkv", "libx264", {"g": "30", "bf": "2"}),
        ("clip.ts", "libx264", {"g": "30", "bf": "2"}),
        ("clip.webm", "libvpx-vp9", {"g": "30", "deadline": "realtime", "cpu-used": "8"}),
        ("hevc.mp4", "libx265", {"preset": "ultrafast", "x265-params": "keyint=30:open-gop=1:log-level=none"}),
    ],
)
def test_start_in_the_middle_gives_the_frames_that_are_there(tmp_path, name, codec, options):
    """Key frames are far apart, so that what is sought lies between them."""
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (64, 96, 3), dtype=np.uint8) for _ in range(100)]
    path = write_with(tmp_path / name, frames, codec, options=options)
    times, images = part_of(path)
    for start in (0.02, 0.2, 1.2, 2.0, 3.3):
        first = next(index for index in range(100) if index / 25 >= start)
        found_times, found = part_of(path, start)
        np.testing.assert_array_equal(found, images[first:])
        assert found_times == pytest.approx([time - start for time in times[first:]], abs=1e-6)


def test_part_of_a_video(tmp_path):
    path = write_video(tmp_path / "clip.mp4", gradient_frames(20), 10)
    images = part_of(path)[1]
    times, found = part_of(path, 0.5, 1.5, 3)
    assert times == pytest.approx([0, 0.3, 0.6, 0.9])
    np.testing.assert_array_equal(found, images[5:15:3])
    source = open_frames(path)
    assert Part(0.5, 1.5, 3).num_frames(source) == 3 and Part().num_frames(source) == 20
    assert Part(0.5, 1.5, 3).frame_rate(source) == pytest.approx(10 / 3)
    assert part_of(path, 7.0) == ([], [])


def test_part_of_a_folder(tmp_path):
    for index in range(6):
        assert cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((4, 6, 3), index, np.uint8))
    times, found = [], []
    for time, image in Part(1.0, 2.5, 2).frames(open_frames(tmp_path, frame_rate=2)):
        times.append(time)
        found.append(image[0, 0, 0])
    assert (times, found) == ([0, 1], [2, 4])


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "name"),
    [
        ("libx265", "yuv420p", "clip.mp4"),
        ("libx265", "yuv420p10le", "clip.mkv"),
        ("libvpx-vp9", "yuv420p", "clip.webm"),
        ("libsvtav1", "yuv420p", "clip.mp4"),
        ("prores_ks", "yuv422p10le", "clip.mov"),
        ("mjpeg", "yuvj420p", "clip.avi"),
    ],
)
def test_codecs(tmp_path, codec, pix_fmt, name):
    frames = gradient_frames(4, 64, 96)
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    for written, read in zip(
        frames, open_frames(write_with(tmp_path / name, frames, codec, pix_fmt, options=options)), strict=True
    ):
        assert np.abs(written.astype(int) - read).mean() < 8


@pytest.mark.parametrize(("codec", "pix_fmt", "name"), [("libvpx-vp9", "yuva420p", "a.webm"), ("png", "rgba", "a.mov")])
def test_what_is_transparent_is_black(tmp_path, codec, pix_fmt, name):
    frame = np.full((32, 48, 4), (200, 100, 50, 255), np.uint8)
    frame[:, 24:, 3] = 0
    options = {"auto-alt-ref": "0"} if codec == "libvpx-vp9" else {}
    path = write_with(tmp_path / name, [frame] * 2, codec, pix_fmt, options=options, layout="rgba")
    for read in open_frames(path):
        np.testing.assert_allclose(read[:, :20], np.broadcast_to((200, 100, 50), (32, 20, 3)), atol=12)
        np.testing.assert_allclose(read[:, 28:], 0, atol=12)


def test_odd_sizes(tmp_path):
    path = write_with(tmp_path / "odd.mkv", gradient_frames(2, 33, 57), "ffv1", "bgr0")
    for written, read in zip(gradient_frames(2, 33, 57), open_frames(path), strict=True):
        np.testing.assert_array_equal(written, read)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="a superuser may read everything")
def test_file_that_may_not_be_read_is_named(tmp_path):
    path = write_video(tmp_path / "clip.mp4", gradient_frames(1))
    path.chmod(0)
    with pytest.raises(VideoReadError, match=r"clip\.mp4: .*ermission"):
        open_frames(path)


def test_name_that_is_too_long_is_named(tmp_path):
    with pytest.raises(VideoReadError, match="x{300}: .*too long"):
        open_frames(tmp_path / ("x" * 300))


def test_any_name_is_a_name(tmp_path):
    for name in ("ビデオ é.mp4", "y" * 251 + ".mp4", "100%d.mp4", "[0-9]*.mp4"):
        assert len(list(open_frames(write_video(tmp_path / name, gradient_frames(2))))) == 2
