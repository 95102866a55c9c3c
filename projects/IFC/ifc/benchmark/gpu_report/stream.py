# SPDX-License-Identifier: Apache-2.0
"""Whether time and memory a frame stay the same through a long video."""

from argparse import Namespace
from pathlib import Path

import torch

from ...engine import build_model, setup_config
from ...predictor import VideoSegmenter
from ..scripted import ScriptedNetwork
from ..time_stream import measure_stream
from .settings import Parts, Rows, Settings


def parts(settings: Settings) -> Parts:
    """One video, of windows that overlap."""
    name, config = next(iter(settings.models.items()))
    size, length, instances = ((64, 96), 24, 3) if settings.is_toy else ((360, 640), 2000, 12)
    args = Namespace(length=length, part=length // 4, size=size, instances=3, frames_at_once=0)

    def stream() -> Rows:
        weights = Path(settings.folder) / "random.pth"
        opts = ["MODEL.DEVICE", settings.device]
        torch.save({"model": build_model(setup_config(config, ["MODEL.WEIGHTS", "", *opts])).state_dict()}, weights)
        segmenter = VideoSegmenter.from_config(config, weights, opts)
        weights.unlink()
        network = segmenter.inference.network
        network.prepare()
        segmenter.inference.network = ScriptedNetwork(network, instances)
        title = "{}, {}, T={}, {}x{}, frames".format(
            name, segmenter.settings["MODEL"]["IFC"]["PRECISION"], segmenter.window, *size
        )
        return {f"{title} {part}": column for part, column in measure_stream(segmenter, args).items()}

    return {"stream": stream}
