# SPDX-License-Identifier: Apache-2.0
"""Models by name: the one inside the package, checkpoints, and what is wrong with others."""

import pytest
from tiny_model import write_tiny_model

import ifc
from ifc.ytvis.datasets.shapes import render_video


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("pretrained")
    write_tiny_model(root)
    return root


@pytest.fixture(scope="module")
def frames():
    return render_video(11, 64, 96, 5).frames


def test_toy_model_finds_the_shapes_of_a_video():
    segmenter = ifc.load()
    assert segmenter.window == 5
    video = render_video(3, 160, 240, 6)
    found = max(segmenter(video.frames).tracks, key=lambda track: track.score)
    assert found.score > 0.5
    assert sum(mask is not None for mask in found.masks) > 3


def test_checkpoint_with_its_config(files, frames):
    segmenter = ifc.load(files / "model.pth", config_file=files / "video.yaml", device="cpu", precision="float32")
    assert (segmenter.window, segmenter.settings["MODEL"]["IFC"]["PRECISION"]) == (3, "float32")
    options = {"config_file": files / "video.yaml", "window": 2, "opts": ["MODEL.IFC.CLIP_STRIDE", 2]}
    other = ifc.load(files / "model.pth", **options)
    assert (other.window, other.settings["MODEL"]["IFC"]["CLIP_STRIDE"]) == (2, 2)
    assert other.weights_hash == segmenter.weights_hash
    assert segmenter(frames).tracks


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("model.pth", {}, "model.pth: found no config"),
        ("shapes-tiny", {"config_file": "video.yaml"}, "video.yaml"),
        ("shapes-tiny", {"window": 0}, "INPUT.SAMPLING_FRAME_NUM"),
        ("shapes-tiny", {"precision": "float8"}, "MODEL.IFC.PRECISION: found 'float8'"),
        ("shapes-tiny", {"device": "abacus"}, "MODEL.DEVICE: found 'abacus'"),
        ("nowhere.pth", {"config_file": "video.yaml"}, "nowhere.pth"),
    ],
)
def test_what_does_not_fit_is_named(files, monkeypatch, name, options, named):
    monkeypatch.chdir(files)
    with pytest.raises((OSError, ValueError), match=named):
        ifc.load(name, **options)
