# SPDX-License-Identifier: Apache-2.0
"""What is read once, as it comes: network streams that drop, cameras, raw frames on the standard input."""

import os
import socketserver
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest
from video.clips import gradient_frames, write_video, write_with

from ifc.video import TimedFrame, VideoReader, VideoReadError, live, open_frames
from ifc.video.live import StreamReader, as_they_come


@pytest.fixture
def serve():
    """serve(answer) -> the address of a server that calls answer(handler, number of the request)."""
    servers = []

    def start(answer):
        requests = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                requests.append(self.path)
                answer(self, len(requests))

            def log_message(self, *args):
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def file_with_drops(path, most):
    """A file with byte ranges, of which a connection gives `most` bytes and then drops."""
    content = path.read_bytes()

    def answer(handler, _):
        first = int(handler.headers.get("Range", "bytes=0-").split("=")[1].split("-")[0])
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - first))
        handler.send_header("Accept-Ranges", "bytes")
        handler.end_headers()
        handler.wfile.write(content[first : first + most])
        handler.close_connection = True

    return answer


def noise(num_frames, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (48, 80, 3), dtype=np.uint8) for _ in range(num_frames)]


def test_file_behind_an_address_survives_drops(tmp_path, serve):
    path = write_video(tmp_path / "clip.mp4", noise(60))
    address = serve(file_with_drops(path, path.stat().st_size // 3)) + "/clip.mp4"
    source = open_frames(address)
    assert isinstance(source, VideoReader) and source.path is None and source.name == address
    np.testing.assert_array_equal(list(source), list(VideoReader(path)))
    (first, *_) = source.timed(1.0)
    assert first.time == 1.0


def test_address_without_a_video_is_named(serve):
    def answer(handler, _):
        handler.send_error(404)

    address = serve(answer) + "/nothing.mp4"
    with pytest.raises(VideoReadError, match=f"{address}: unreadable video: .*404"):
        open_frames(address)
    with pytest.raises(VideoReadError, match="http://127.0.0.1:9/x.mp4: unreadable video: "):
        open_frames("http://127.0.0.1:9/x.mp4")


def live_stream(tmp_path, *parts):
    """A stream without a length that gives the next part to each connection, and drops it; after the last, errors."""
    contents = [
        write_with(tmp_path / f"{number}.ts", frames, "libx264", options={"bf": "0"}).read_bytes()
        for number, frames in enumerate(parts)
    ]

    def answer(handler, number):
        if number - 2 >= len(contents):  # the first one is asked whether it has an end
            handler.send_error(503)
            return
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(contents[max(number - 2, 0)])
        handler.close_connection = True

    return answer


def test_stream_that_drops_and_comes_back(tmp_path, serve, monkeypatch, caplog):
    monkeypatch.setattr(live, "_RETRY_AFTER", 0.05)
    monkeypatch.setattr(live, "PATIENCE", 0.5)
    parts = [noise(10, seed) for seed in range(3)]
    address = serve(live_stream(tmp_path, *parts)) + "/live.ts"
    source = open_frames(address)
    assert isinstance(source, StreamReader) and source.is_live and not source.is_repeatable
    times, images = [], []
    with pytest.raises(VideoReadError, match=rf"{address}: the stream broke off after .* expected it back in 0.5 s"):
        for time_, image in source.timed():
            times.append(time_)
            images.append(image)
    expected = [frame for number in range(3) for frame in VideoReader(tmp_path / f"{number}.ts")]
    np.testing.assert_array_equal(images, expected)
    assert (np.diff(times) > 0).all()
    assert np.delete(np.diff(times), [9, 19]) == pytest.approx(0.04)
    assert sum("it is opened again" in record.message for record in caplog.records) == 3


def test_finite_file_without_a_length_ends(tmp_path, serve, monkeypatch):
    """Opened again, it begins anew, which no camera does."""
    monkeypatch.setattr(live, "_RETRY_AFTER", 0.05)
    frames = noise(10)
    source = open_frames(serve(live_stream(tmp_path, frames, frames, frames)) + "/file.ts")
    assert len(list(source)) == 10


class RtspCamera(socketserver.StreamRequestHandler):
    """One connection to an RTSP server that sends a transport stream (RFC 2250) over TCP, and drops it."""

    def handle(self):
        while request := self.rfile.readline().split():
            headers = dict(line.split(b": ", 1) for line in iter(lambda: self.rfile.readline().strip(), b""))
            answer = [b"RTSP/1.0 200 OK", b"CSeq: " + headers[b"CSeq"], b"Session: 1"]
            body = b""
            if request[0] == b"DESCRIBE":
                body = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:0\r\n"
                answer += [b"Content-Type: application/sdp", b"Content-Length: %d" % len(body)]
            if request[0] == b"SETUP":
                answer.append(b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
            self.wfile.write(b"\r\n".join(answer) + b"\r\n\r\n" + body)
            if request[0] == b"PLAY":
                content = next(self.server.parts, b"")
                for number, first in enumerate(range(0, len(content), 7 * 188)):
                    packet = struct.pack(">BBHII", 128, 33, number, 3600 * number, 7) + content[first : first + 7 * 188]
                    self.wfile.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                return


def test_rtsp_camera_that_drops_and_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "_RETRY_AFTER", 0.05)
    monkeypatch.setattr(live, "PATIENCE", 0.3)
    paths = [write_with(tmp_path / f"{i}.ts", noise(10, i), "libx264", options={"bf": "0"}) for i in range(2)]
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), RtspCamera) as server:
        server.parts = iter([path.read_bytes() for path in paths])
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        source = open_frames(f"rtsp://127.0.0.1:{server.server_address[1]}/stream")
        images = []
        with pytest.raises(VideoReadError, match="rtsp://.*/stream: the stream broke off"):
            images.extend(source)
        server.shutdown()
    # The last frame of a connection that breaks is not known to be whole.
    np.testing.assert_array_equal(images, [frame for path in paths for frame in list(VideoReader(path))[:-1]])


def test_camera(monkeypatch):
    class Camera:
        def __init__(self, number):
            assert number == 3
            self._pictures = iter(gradient_frames(3))

        def get(self, _):
            return 0.0

        def read(self):
            picture = next(self._pictures, None)
            time.sleep(0.01)
            return picture is not None, None if picture is None else picture[:, :, ::-1]

        def release(self):
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    source = open_frames("3")
    assert (source.size, source.frame_rate, source.is_live) == ((48, 80), 30, True)
    times, images = [], []
    with pytest.raises(VideoReadError, match="camera 3: no picture any more"):
        for time_, image in source.timed():
            times.append(time_)
            images.append(image)
    np.testing.assert_array_equal(images, gradient_frames(3))
    assert times[0] == 0 and times[1] >= 0.01 and times[2] >= 0.02


def test_camera_that_is_not_there():
    with pytest.raises(VideoReadError, match="camera 73: found no camera"):
        open_frames("73")


def test_number_is_a_file_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.rename(write_video(tmp_path / "0.mp4", gradient_frames(2)), tmp_path / "0")
    assert len(list(open_frames("0"))) == 2


@pytest.fixture
def standard_input(monkeypatch):
    """A pipe as the standard input: what is written to it."""
    read, write = os.pipe()
    with os.fdopen(read) as reading, os.fdopen(write, "wb") as writing:
        monkeypatch.setattr("sys.stdin", reading)
        yield writing


def test_raw_frames(standard_input):
    frames = np.stack(gradient_frames(5))

    def write():
        content = frames.tobytes()
        for first in range(0, len(content), 777):
            standard_input.write(content[first : first + 777])
            standard_input.flush()
        standard_input.close()

    threading.Thread(target=write).start()
    source = open_frames("-", size=(48, 80), frame_rate=20)
    assert not source.is_repeatable and not source.is_live
    times, images = zip(*source.timed(0.05, 2), strict=True)
    assert times == pytest.approx([0.05, 0.15])
    np.testing.assert_array_equal(images, frames[1::2])


def test_raw_frames_that_are_cut_off(standard_input):
    standard_input.write(np.stack(gradient_frames(2)).tobytes()[:-10])
    standard_input.close()
    source = open_frames("-", size=(48, 80), frame_rate=20)
    with pytest.raises(VideoReadError, match="-: frame 1 ends after 11510 bytes, expected 11520"):
        list(source)


def test_raw_frames_need_a_size(standard_input):
    with pytest.raises(VideoReadError, match="found no size or frame rate"):
        open_frames("-", frame_rate=20)
    standard_input.close()
    with pytest.raises(VideoReadError, match="ends before the first frame"):
        open_frames("-", size=(2, 2), frame_rate=20)


def number_frames(last, wait=0.0):
    for number in range(last):
        time.sleep(wait)
        yield TimedFrame(number, np.zeros((1, 1, 3), np.uint8))


def test_what_the_caller_is_too_slow_for_is_dropped_or_waited_for(caplog):
    for drop in (True, False):
        found = []
        for frame in as_they_come(number_frames(30), 3, lambda: False, drop=drop):
            time.sleep(0.005)
            found.append(frame.time)
        assert found == sorted(found) and found[-1] == 29
        assert (len(found) < 30) == drop
        assert ("were left out" in caplog.text) == drop
        caplog.clear()


def test_source_that_hangs_can_be_stopped():
    stop, hangs = threading.Event(), threading.Event()

    def camera():
        yield from number_frames(2)
        hangs.wait()

    found = []
    for frame in as_they_come(camera(), 3, stop.is_set, drop=True):
        found.append(frame.time)
        if len(found) == 2:
            threading.Timer(0.1, stop.set).start()
    assert found == [0, 1]
    hangs.set()


def test_errors_of_the_source_are_passed_on():
    def camera():
        yield from number_frames(2)
        raise VideoReadError("camera 0: no picture any more")

    found = []
    with pytest.raises(VideoReadError, match="no picture any more"):
        for frame in as_they_come(camera(), 3, lambda: False, drop=True):
            found.append(frame.time)
    assert found == [0, 1]
