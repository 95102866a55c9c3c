# SPDX-License-Identifier: Apache-2.0
"""The app in a browser: upload, progress, result, cancel, and what it leaves behind."""

import socket
import tempfile
import threading
import time

import pytest
from segmented_folder import write_video

import ifc.app.jobs
from ifc.app import Limits, serve
from ifc.app.jobs import Job
from ifc.pretrained import load
from ifc.ytvis.datasets.shapes import render_video

SIZES = {"wide": (1280, 800), "phone": (390, 844)}


@pytest.fixture(scope="module")
def segmenter():
    return load(device="cpu")


@pytest.fixture(scope="module")
def app(segmenter, tmp_path_factory):
    """The running app's address, and the folder of its temporary files."""
    folder = tmp_path_factory.mktemp("temporary")
    started, address, stop = threading.Event(), [], []

    def on_start(*given):
        address.append(given[0])
        stop.append(given[1])
        started.set()

    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    options = {"model": "It finds shapes.", "port": 0, "limits": Limits(size=2**20), "on_start": on_start}
    server = threading.Thread(target=serve, args=[segmenter], kwargs=options)
    server.start()
    assert started.wait(60)
    yield address[0], folder
    stop[0]()
    server.join()
    tempfile.tempdir = before
    assert not list(folder.iterdir()), "files are left behind"


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "<b>my holiday<b>.mp4"
    frames = render_video(15, 96, 128, 12, num_instances=3).frames
    write_video(path, list(frames), [i / 10 for i in range(12)])
    return path


@pytest.fixture
def visit(browser, app):
    """Opens the app's page as a visitor of its own."""
    contexts, asked = [], set()

    def open_(size="wide"):
        width, height = SIZES[size]
        contexts.append(browser.new_context(viewport={"width": width, "height": height}))
        contexts[-1].set_default_timeout(20_000)
        page = contexts[-1].new_page()
        page.on("request", lambda request: asked.add(request.url))
        page.goto(app[0])
        page.get_by_role("button", name="Segment").wait_for()
        return page

    yield open_
    for context in contexts:
        context.close()
    assert all(url.startswith((app[0], "blob:", "data:")) for url in asked), "it asks other machines"


@pytest.fixture
def held(monkeypatch):
    """Jobs stop after their first frame, until this is set or they are canceled."""
    release, report = threading.Event(), Job._report

    def report_and_wait(job, *progress):
        report(job, *progress)
        while not release.is_set() and not job.is_canceled:
            time.sleep(0.02)

    monkeypatch.setattr(Job, "_report", report_and_wait)
    yield release
    release.set()


def begin(page, path):
    page.set_input_files("input[type=file]", path)
    page.get_by_text(path.stem).wait_for()
    page.get_by_role("button", name="Segment").click()


def jobs(folder):
    return list(folder.glob("*/jobs/*"))


def wait_until(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("size", SIZES)
def test_a_video_is_segmented_and_shown(app, visit, video, held, size):
    page = visit(size)
    begin(page, video)
    page.get_by_text("1 of about 12 frames").wait_for()
    assert page.get_by_role("progressbar").get_attribute("max") == "12"
    held.set()
    result = page.frame_locator("iframe.result")
    result.locator("#stage[data-frame='0']").wait_for()
    assert result.locator("#tracks li").count() > 0
    assert "holiday" not in result.locator("body").inner_text()
    result.locator("#next").click()
    result.locator("#stage[data-frame='1']").wait_for()
    with page.expect_download() as download:
        result.get_by_role("link", name="objects.jsonl").click()
    assert len(download.value.path().read_text().splitlines()) == 12
    with page.expect_download() as download:
        result.get_by_role("button", name="Save picture").click()
    assert download.value.suggested_filename == "frame-1.png"
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert not [path for path in app[1].glob("*/jobs/**/*") if "holiday" in path.name]
    page.close(run_before_unload=True)
    wait_until(lambda: not jobs(app[1]))
    wait_until(lambda: not any(path.stat().st_size for path in app[1].glob("*/uploads/**/*") if path.is_file()))


def test_a_canceled_video_is_removed_and_the_next_one_has_its_turn(app, visit, video, held):
    page = visit()
    begin(page, video)
    page.get_by_text("1 of about 12 frames").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Canceled").wait_for()
    wait_until(lambda: not jobs(app[1]))
    held.set()
    page.get_by_role("button", name="Segment").click()  # the same again
    page.frame_locator("iframe.result").locator("#stage[data-frame='0']").wait_for()


def test_one_at_a_time_is_segmented(app, visit, video, held, monkeypatch):
    first, second = visit(), visit()
    begin(first, video)
    first.get_by_text("1 of about 12 frames").wait_for()
    begin(second, video)
    second.get_by_text("Waiting").wait_for()
    third = visit()
    monkeypatch.setattr(ifc.app.jobs, "MOST_WAITING", 1)
    begin(third, video)
    third.get_by_text("Too many are waiting").wait_for()
    assert len(list(app[1].glob("*/jobs/*/video.part"))) == 1 and second.get_by_text("Waiting").is_visible()
    second.get_by_role("button", name="Cancel").click()
    second.get_by_text("Canceled").wait_for()
    wait_until(lambda: len(jobs(app[1])) == 1)
    held.set()
    first.frame_locator("iframe.result").locator("#stage[data-frame='0']").wait_for()
    assert second.locator("iframe").count() == 0
    second.get_by_role("button", name="Segment").click()
    second.frame_locator("iframe.result").locator("#stage[data-frame='0']").wait_for()


def test_what_is_no_video_is_refused(app, visit, tmp_path):
    page = visit()
    page.get_by_role("button", name="Segment").click()
    page.get_by_text("Choose a video first").wait_for()
    (tmp_path / "text.mp4").write_text("no video")
    begin(page, tmp_path / "text.mp4")
    page.get_by_text("cannot be read as a video").wait_for()
    (tmp_path / "large.mp4").write_bytes(bytes(2**20 + 1))
    page.get_by_role("button", name="Clear").or_(page.get_by_role("button", name="Remove")).first.click()
    page.set_input_files("input[type=file]", tmp_path / "large.mp4")
    page.get_by_text("exceeds", exact=False).or_(page.get_by_text("maximum", exact=False)).first.wait_for()
    assert not jobs(app[1])


def test_an_error_in_the_middle_keeps_what_was_found(app, visit, video, tmp_path):
    cut = tmp_path / "cut.ts"
    frames = render_video(15, 96, 128, 40, num_instances=3).frames
    write_video(cut, list(frames), [i / 10 for i in range(40)])
    content = cut.read_bytes()
    cut.write_bytes(content[: 2 * len(content) // 3])
    page = visit()
    begin(page, cut)
    page.frame_locator("iframe.result").locator("#stage[data-frame='0']").wait_for()
    error = page.get_by_text("the video breaks at frame")
    error.wait_for()
    assert str(app[1]) not in error.inner_text()


def test_a_port_that_is_taken_is_an_error(segmenter):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError):
        serve(segmenter, port=taken.getsockname()[1], limits=Limits())
