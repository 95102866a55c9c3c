# SPDX-License-Identifier: Apache-2.0
"""`ifc app`."""

from typing import Annotated

import typer

from .program import (
    Device,
    Weights,
    WeightsConfig,
    Window,
    amount,
    one_clear_error,
    positive,
    say,
    say_what_is_loaded,
)

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@one_clear_error()
def app(
    weights: Weights = None,
    config_file: WeightsConfig = None,
    window: Window = None,
    device: Device = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="listen there; 0.0.0.0 lets the whole network in")
    ] = LOOPBACK[0],
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0 for any that is free")] = 7860,
    max_megabytes: Annotated[int, typer.Option(parser=positive, metavar="N", help="largest file that is taken")] = 200,
    max_seconds: Annotated[float, typer.Option(parser=amount, metavar="N", help="longest video that is taken")] = 300.0,
    open_page: Annotated[bool, typer.Option("--open", help="open the page in a browser")] = False,
) -> None:
    """Serve a page on which videos are uploaded, segmented and looked at.

    \b
    Examples:
        ifc app --open
        ifc app --weights hf://owner/name --device cuda:0 --max-seconds 60

    Uploads are checked and given other names. One video at a time is segmented; others wait. A video and what was found
    in it are removed when its visitor leaves, and all when the program ends (Ctrl-C). Nothing is sent anywhere else.
    Whoever reaches the address may use it: there is no login. Needs Gradio: pip install "detectron2-ifc[app]".
    """
    say_what_is_loaded(weights)
    from ..app import Limits, serve
    from ..pretrained import SHAPES_TINY, load

    if host not in LOOPBACK:
        say(f"warning: whoever reaches {host}:{port} can use this page")
    segmenter = load(weights or SHAPES_TINY, device=device, window=window, config_file=config_file)
    names = segmenter.classes.names
    found = ", ".join(names[:8]) + (f" and {len(names) - 8} others" if len(names) > 8 else "")

    def say_address(address: str, _: object) -> None:
        print(f"open {address} (Ctrl-C ends)", flush=True)
        if open_page:
            import webbrowser

            webbrowser.open(address)

    limits = Limits(size=max_megabytes * 2**20, seconds=max_seconds)
    serve(segmenter, model=f"It finds: {found}.", host=host, port=port, limits=limits, on_start=say_address)
