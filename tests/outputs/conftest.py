# SPDX-License-Identifier: Apache-2.0
"""A tiny model that finds something, and videos for it."""

import pytest
from outputs.shard_process import NUM_VIDEOS, finished, results, run_shards, write_inputs
from tiny_model import HEIGHT, WIDTH, write_tiny_model
from video.clips import write_video, write_with_sound

from ifc.predictor import VideoSegmenter
from ifc.ytvis.datasets.shapes import render_video

TIMES = [0, 0.04, 0.05, 0.2, 1, 1.033, 1.5, 1.501, 1.6, 2.4]


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Configs, a checkpoint of each, clip.mp4 with sound and uneven times, and other.mp4."""
    root = tmp_path_factory.mktemp("outputs")
    write_tiny_model(root)
    write_with_sound(root / "clip.mp4", render_video(11, HEIGHT, WIDTH, len(TIMES)).frames, times=TIMES)
    write_video(root / "other.mp4", render_video(12, HEIGHT, WIDTH, 6).frames, 10)
    return root


@pytest.fixture(scope="session")
def segmenter(files):
    return VideoSegmenter.from_config(files / "video.yaml", files / "model.pth", ["MODEL.IFC.PRECISION", "float32"])


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """Videos that are divided among processes, and their model."""
    root = tmp_path_factory.mktemp("divided")
    write_inputs(root, NUM_VIDEOS)
    return root


@pytest.fixture(scope="session")
def one(root):
    """What one process makes of them."""
    assert run_shards(root, root / "one", 1) == [0]
    assert len(finished(root / "one")) == NUM_VIDEOS
    return results(root / "one")
