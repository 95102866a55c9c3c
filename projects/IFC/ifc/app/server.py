# SPDX-License-Identifier: Apache-2.0
"""The app's server."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from contextlib import closing

from ..predictor import VideoSegmenter
from .jobs import Jobs
from .uploads import Limits

_SECONDS_TO_END = 2  # for connections that stay open, as those of pages do


def serve(
    segmenter: VideoSegmenter,
    *,
    model: str = "",
    host: str = "127.0.0.1",
    port: int = 7860,
    limits: Limits,
    on_start: Callable[[str, Callable[[], None]], None] = lambda address, stop: None,
) -> None:
    """Serve the app until it is interrupted.

    Args:
        model: what the model finds, in a sentence for visitors.
        host: the address of the network card to listen at: that of this machine alone by default.
        port: 0 for any that is free.
        limits: of uploads.
        on_start: gets the page's address, and a function that ends the server.

    Raises:
        ImportError: Gradio is not installed.
        OSError: the port is taken.
    """
    with Jobs(segmenter, limits) as jobs, closing(socket.create_server((host, port))) as listener:
        # Both are read where Gradio is imported. Uploads are written there, and go with all else.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["GRADIO_TEMP_DIR"] = str(jobs.folder.parent / "uploads")
        try:
            import gradio as gr
            import uvicorn
            from fastapi import FastAPI
            from fastapi.staticfiles import StaticFiles
        except ImportError as error:
            raise ImportError(f'{error}; the app needs Gradio: pip install "detectron2-ifc[app]"') from None
        from .interface import CSS, RESULTS, THEME, build_interface

        class Server(uvicorn.Server):
            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                # The connections of open pages are cut then, which is no error.
                logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
                await super().shutdown(sockets)

        app = FastAPI(openapi_url=None)
        app.mount(RESULTS, StaticFiles(directory=jobs.folder))
        app = gr.mount_gradio_app(
            app,
            build_interface(jobs, model),
            path="",
            max_file_size=limits.size,
            ssr_mode=False,
            show_error=False,
            footer_links=[],
            theme=THEME,
            css=CSS,
        )
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_SECONDS_TO_END)
        server = Server(config)

        def stop() -> None:
            server.should_exit = True

        on_start("http://{}:{}/".format(*listener.getsockname()[:2]), stop)
        server.run(sockets=[listener])
