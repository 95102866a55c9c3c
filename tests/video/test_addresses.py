# SPDX-License-Identifier: Apache-2.0
"""Videos behind the addresses that fsspec reads, and by what a changed one is known."""

import os
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import av
import fsspec
import numpy as np
import pytest
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem
from video.clips import gradient_frames, write_noise_video, write_video

from ifc.video import Stamp, VideoReader, VideoReadError, VideoWriter, addresses, file_stamp, open_frames
from ifc.video.addresses import find_remote_files

BLOCK = 1 << 19  # of 16 that are kept; FFmpeg looks through the first 5 MB before it decodes


class CountedFile(AbstractBufferedFile):
    def _fetch_range(self, start, end):
        if self.fs.broken_from is not None and end > self.fs.broken_from:
            raise RuntimeError("the line is dead")
        self.fs.fetched.append(start)
        return self.fs.content[start:end]


class CountedFiles(AbstractFileSystem):
    """One file, and what was fetched of it."""

    protocol = "counted"
    content, fetched, broken_from = b"", [], None

    def info(self, path, **kwargs):
        return {"name": path, "size": len(self.content), "type": "file", "ETag": '"1"'}

    def _open(self, path, mode="rb", **kwargs):
        return CountedFile(self, path, mode, **kwargs)


@pytest.fixture
def counted(monkeypatch):
    """The one file system of counted://, of small blocks."""
    fsspec.register_implementation("counted", CountedFiles, clobber=True)
    monkeypatch.setattr(addresses, "_BLOCK", BLOCK)
    files = fsspec.filesystem("counted")
    files.fetched, files.broken_from = [], None
    return files


@pytest.fixture
def memory():
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/clips", recursive=True)


def test_video_behind_fsspec_is_that_of_the_disk(tmp_path, memory):
    path = write_video(tmp_path / "clip.mp4", gradient_frames(30))
    memory.pipe("/clips/clip.mp4", path.read_bytes())
    source, expected = open_frames("memory://clips/clip.mp4"), VideoReader(path)
    assert (source.path, source.name, source.is_repeatable) == (None, "memory://clips/clip.mp4", True)
    for _ in range(2):
        np.testing.assert_array_equal(list(source), list(expected))
    part = [frame.time for frame in source.timed(0.5, 3)]
    assert part == [frame.time for frame in expected.timed(0.5, 3)] and len(part) > 3


def test_nothing_is_fetched_twice(tmp_path, counted):
    """Neither the beginning, which tells the size, nor the sound beside the pictures."""
    with av.open(str(tmp_path / "raw.mkv"), "w") as output:
        video, audio = output.add_stream("rawvideo", rate=25), output.add_stream("pcm_s16le", rate=48000)
        video.height, video.width, video.pix_fmt = 480, 640, "yuv420p"
        picture = av.VideoFrame(640, 480, "yuv420p")
        wave = av.AudioFrame.from_ndarray(np.zeros((1, 1920 * audio.channels), np.int16), layout=audio.layout.name)
        wave.sample_rate = 48000
        for index in range(80):
            picture.pts, wave.pts = index, 1920 * index
            output.mux([*video.encode(picture), *audio.encode(wave)])
    counted.content = (tmp_path / "raw.mkv").read_bytes()
    source = open_frames("counted://raw.mkv")
    with VideoWriter(tmp_path / "copy.mp4", 25, sound=source.sound(0.0)) as writer:
        for frame in source:
            writer.write(frame)
    with av.open(str(tmp_path / "copy.mp4")) as copy:
        assert (len(list(copy.decode(video=0))), len(copy.streams.audio)) == (80, 1)
    assert len(counted.content) > 3 * 16 * BLOCK, "more than is kept"
    assert sorted(counted.fetched) == list(range(0, len(counted.content), BLOCK))


def test_line_that_breaks_is_named_with_the_frame(tmp_path, counted, monkeypatch):
    monkeypatch.setattr(addresses, "_BLOCK", 1 << 10)
    counted.content = write_noise_video(tmp_path / "clip.mp4", 40).read_bytes()
    source = open_frames("counted://clip.mp4")
    counted.broken_from = len(counted.content) // 2
    with pytest.raises(VideoReadError, match="counted://clip.mp4: the video breaks at frame [1-9].*the line is dead"):
        list(source)
    counted.broken_from = 0
    with pytest.raises(VideoReadError, match="counted://clip.mp4: unreadable video: .*the line is dead"):
        open_frames("counted://clip.mp4")


def test_what_is_not_there_is_named(memory):
    memory.pipe("/clips/notes.mp4", b"no video " * 100)
    with pytest.raises(VideoReadError, match="memory://clips/nothing.mp4: no such file"):
        open_frames("memory://clips/nothing.mp4")
    with pytest.raises(VideoReadError, match="memory://clips/notes.mp4: unreadable video"):
        open_frames("memory://clips/notes.mp4")


@pytest.mark.parametrize(("address", "package"), [("s3://bucket/a.mp4", "s3fs"), ("gs://bucket/a.mp4", "gcsfs")])
def test_missing_package_is_named_with_what_mends_it(monkeypatch, address, package):
    monkeypatch.setitem(sys.modules, package, None)
    for read in (open_frames, file_stamp, find_remote_files):
        with pytest.raises(ImportError, match=rf"{address}: .*{package}.*: pip install 'detectron2-ifc\[remote\]'"):
            read(address)


def test_address_of_a_local_file_is_its_path(tmp_path):
    path = write_video(tmp_path / "clip.mp4", gradient_frames(3))
    source = open_frames(f"file://{path}")
    assert source.path == path and len(list(source)) == 3


def test_patterns(memory):
    for name in ("b10.mp4", "b2.mp4", "a/c.mp4", "notes.txt"):
        memory.pipe(f"/clips/{name}", b"x")
    found = find_remote_files("memory://clips/*.mp4")
    assert found == ["memory:///clips/b2.mp4", "memory:///clips/b10.mp4"]
    assert find_remote_files("memory://clips/**/*.mp4") == ["memory:///clips/a/c.mp4", *found]
    assert find_remote_files("memory://clips/*.avi") == []


def test_stamps_tell_when_a_file_has_changed(tmp_path, memory, counted):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"one")
    os.utime(path, (1000, 2000.5))
    assert file_stamp(path) == (3, 2000.5)
    counted.content = b"1234"
    assert file_stamp("counted://clip.mp4") == Stamp(4, '"1"')
    memory.pipe("/clips/a.mp4", b"one")
    first = file_stamp("memory://clips/a.mp4")
    assert first == file_stamp("memory://clips/a.mp4") and first.size == 3
    memory.pipe("/clips/a.mp4", b"two")
    assert file_stamp("memory://clips/a.mp4") != first
    assert file_stamp("rtsp://host/stream") is None
    with pytest.raises(FileNotFoundError, match="memory://clips/b.mp4: no such file"):
        file_stamp("memory://clips/b.mp4")


def test_stamps_of_folders_and_of_http(tmp_path):
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(b"12")
        os.utime(tmp_path / f"{index}.png", (0, 1000 + index))
    (tmp_path / "notes.txt").write_bytes(b"of no frame")
    assert file_stamp(tmp_path) == (6, 1002.0)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        size, changed = file_stamp(f"{address}/1.png")
        assert size == 2 and "1970" in changed
        assert file_stamp(f"{address}/nothing.png") is None
        server.shutdown()
