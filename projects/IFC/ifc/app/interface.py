# SPDX-License-Identifier: Apache-2.0
"""The app's page, with Gradio."""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr
from markupsafe import Markup

from .jobs import Job, Jobs
from .uploads import UploadError

RESULTS = "/results"  # where the folder of jobs is served
SECONDS_BETWEEN = 0.3  # two signs of progress
FILE_TYPES = ["video", ".flv", ".m2ts", ".mkv", ".mts", ".ts"]  # for the browser; what it is, its content tells
# Seconds between two looks, and those after which uploads that no one began with are removed.
UPLOADS_LAST = (300, 1800)
THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])  # its own come from a server
CSS = (
    "iframe.result { width: 100%; height: 60rem; border: 0 } progress { width: 100% } .gradio-container { padding: 0 }"
)
_PROGRESS = Markup('<p role="status">{}</p><progress aria-label="Frames"{}></progress>')
_MESSAGE = Markup('<p role="status">{}</p>')
_RESULT = Markup(
    '<p><a href="{0}" target="_blank">Open in a tab of its own</a> · <a href="{0}" download="result.html">Save the page'
    '</a></p><iframe class="result" src="{0}" title="What was found in the video"></iframe>'
)


def build_interface(jobs: Jobs, model: str) -> gr.Blocks:
    """The page; `model` says what it finds."""
    limits = jobs.limits

    def segment(upload: str | None, request: gr.Request) -> Iterator[tuple[str, str]]:
        if upload is None:
            yield _MESSAGE.format("Choose a video first."), ""
            return
        try:
            job = jobs.begin(request.session_hash, upload)
        except UploadError as error:
            yield _MESSAGE.format(error), ""
            return
        while not job.ended.wait(SECONDS_BETWEEN) and not job.is_canceled:
            yield _progress(job), ""
        yield _end(job)

    def leave(request: gr.Request) -> None:
        jobs.leave(request.session_hash)

    def forget(request: gr.Request) -> None:
        jobs.forget(request.session_hash)

    with gr.Blocks(title="Video instance segmentation", analytics_enabled=False, delete_cache=UPLOADS_LAST) as blocks:
        gr.Markdown(
            f"# Video instance segmentation\n{model} Videos of up to {limits.seconds:.0f} seconds and "
            f"{limits.size / 2**20:.0f} MB; yours is removed after you leave the page."
        )
        upload = gr.File(label="Video", file_types=FILE_TYPES, type="filepath", height=140)
        with gr.Row():
            begin = gr.Button("Segment", variant="primary")
            stop = gr.Button("Cancel")
        status, result = gr.HTML(), gr.HTML()
        private = {"api_visibility": "private", "show_progress": "hidden"}
        # Jobs have a queue of their own, from which they can be taken at any time.
        begin.click(segment, upload, [status, result], concurrency_limit=None, trigger_mode="multiple", **private)
        stop.click(leave, queue=False, **private)
        blocks.unload(forget)
    return blocks.queue(api_open=False)


def _progress(job: Job) -> str:
    if not job.done:
        return _PROGRESS.format("Waiting for the device, or for the first frames …", "")
    if job.total is None:
        return _PROGRESS.format(f"{job.done} frames, {job.rate:.1f} a second", "")
    total = max(job.total, job.done)
    left = (total - job.done) / job.rate
    text = f"{job.done} of about {total} frames, {job.rate:.1f} a second, {left:.0f} seconds left"
    return _PROGRESS.format(text, Markup(' value="{}" max="{}"').format(job.done, total))


def _end(job: Job) -> tuple[str, str]:
    if job.is_canceled:
        return _MESSAGE.format("Canceled; the video is removed."), ""
    result = _RESULT.format(f"{RESULTS}/{job.page}") if job.page else ""
    text = f"{job.done} frames at {job.rate:.1f} a second." if job.page else ""
    return _MESSAGE.format(f"{text} {job.error or ''}".strip() or "No frame was found."), result
