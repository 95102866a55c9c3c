#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Take the pictures of pages in the documentation: viewer.png, of ifc view, and app.png, of ifc app.

Needs chromium on the PATH, and Playwright (pip install .[dev]).

Example:
    python docs/figures/screenshots.py docs
"""

import shutil
import sys
import tempfile
import threading
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from ifc.app import Limits, serve
from ifc.outputs import segment_videos
from ifc.predictor import VideoSegmenter
from ifc.pretrained import load
from ifc.video import VideoWriter
from ifc.viewer import write_pages
from ifc.ytvis.datasets.shapes import render_video

FIRST_PICTURE = "#stage[data-frame='0']"


def main(folder: Path) -> None:
    """Write both into `folder`."""
    segmenter = load(device="cpu")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        video = Path(scratch) / "shapes.mp4"
        with VideoWriter(video, frame_rate=10) as writer:
            for frame in render_video(15, 288, 432, 48, num_instances=3).frames:
                writer.write(frame)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), chromium_sandbox=False)
        take_viewer(browser, segmenter, video, folder / "viewer.png")
        take_app(browser, segmenter, video, folder / "app.png")


def take_viewer(browser: Browser, segmenter: VideoSegmenter, video: Path, picture: Path) -> None:
    segment_videos([video], video.parent / "found", segmenter)
    page = browser.new_page(viewport={"width": 1200, "height": 760})
    page.goto(write_pages(video.parent / "found" / video.stem)[0].as_uri())
    page.locator(FIRST_PICTURE).wait_for()
    page.keyboard.press("3")
    page.locator("#stage[data-frame='14']").wait_for()
    page.screenshot(path=picture)


def take_app(browser: Browser, segmenter: VideoSegmenter, video: Path, picture: Path) -> None:
    started, given = threading.Event(), []

    def on_start(*address_and_stop) -> None:
        given.extend(address_and_stop)
        started.set()

    options = {"model": "It finds six shapes.", "port": 0, "limits": Limits(), "on_start": on_start}
    server = threading.Thread(target=serve, args=[segmenter], kwargs=options)
    server.start()
    started.wait()
    try:
        page = browser.new_page(viewport={"width": 1200, "height": 1040})
        page.goto(given[0])
        page.get_by_role("button", name="Segment").wait_for()
        page.set_input_files("input[type=file]", video)
        page.get_by_text(video.name).wait_for()
        page.get_by_role("button", name="Segment").click()
        result = page.frame_locator("iframe.result")
        result.locator(FIRST_PICTURE).wait_for(timeout=120_000)
        result.locator("#scrubber").fill("28")
        result.locator("#stage[data-frame='28']").wait_for()
        page.mouse.move(0, 0)
        page.screenshot(path=picture)
    finally:
        given[1]()
        server.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
