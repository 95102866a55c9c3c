# SPDX-License-Identifier: Apache-2.0
"""The command line of the shapes data set."""

import json

import av
import numpy as np
import pytest
from tools.commands import command

from ifc.ytvis.datasets.shapes import render_video, write_coco, write_ytvis


@pytest.fixture(scope="module")
def make_shapes():
    """The program's `main`."""
    return command("data", "shapes")


def test_split_is_that_of_the_library(make_shapes, tmp_path, capsys):
    options = "--split val --videos 2 --length 3 --size 40 64 --seed 9 --instances 2 3 --coco --coco-stride 2"
    make_shapes(["--output", str(tmp_path / "tool"), *options.split()])
    write_ytvis(tmp_path / "library", "val", 2, seed=9, image_size=(40, 64), length=3, num_instances=(2, 3))
    write_coco(tmp_path / "library", "val", frame_stride=2)
    found, expected = (
        {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "tool", tmp_path / "library")
    )
    assert found == expected
    assert "val.json: 2 videos of 3 frames" in capsys.readouterr().out


def test_video_shows_the_first_video_of_the_seed(make_shapes, tmp_path):
    path = tmp_path / "new" / "shapes.mp4"
    options = "--length 4 --size 48 64 --seed 9 --frame-rate 5"
    make_shapes(["--video", str(path), *options.split()])
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 5)
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    expected = render_video(9, 48, 64, 4).frames
    assert np.stack(frames).shape == expected.shape
    assert np.abs(np.stack(frames).astype(int) - expected).mean() < 15


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--output o --split val --videos 1", "--seed"),
        ("--seed 1", "--output, --video or both"),
        ("--seed 1 --output o --split val", "--output needs --split and --videos"),
        ("--seed 1 --video v.mp4 --coco", "need --output"),
        ("--seed 1 --output o --split val --videos 1 --coco --coco-stride 0", "'--coco-stride': found '0'"),
        ("--seed -1 --output o --split val --videos 1", "seed: found -1"),
        ("--seed 1 --output o --split a/b --videos 1", "split: found 'a/b'"),
        ("--seed 1 --video v.mp4 --size 4 4", "height: found 4"),
        ("--seed 1 --video v.mp4 --scenario rain", "scenario: found 'rain'"),
        ("--seed 1 --video v.mp4 --absence 3 4", "absence: found (3, 4)"),
        ("--seed 1 --video v.mp4 --frame-rate 0", "'--frame-rate': found '0', expected"),
    ],
)
def test_bad_options_end_with_one_clear_error(make_shapes, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_info:
        make_shapes(options.split())
    assert exit_info.value.code not in (0, None)
    assert message in f"{exit_info.value.code}{capsys.readouterr().err}"
    assert not list(tmp_path.rglob("*.*"))


def test_an_existing_split_is_replaced_only_on_request(make_shapes, tmp_path):
    options = "--split val --videos 1 --length 1 --size 16 16"
    with_seed = ["--output", str(tmp_path), *options.split(), "--seed"]
    make_shapes([*with_seed, "1"])
    with pytest.raises(SystemExit, match="exists already"):
        make_shapes([*with_seed, "2"])
    assert json.loads((tmp_path / "val.json").read_text())["info"]["seed"] == 1
    make_shapes([*with_seed, "2", "--overwrite"])
    assert json.loads((tmp_path / "val.json").read_text())["info"]["seed"] == 2


def test_a_scenario_is_that_of_the_library(make_shapes, tmp_path):
    options = "--split val --videos 1 --length 20 --size 40 64 --seed 9 --scenario reentry --absence 3 4"
    make_shapes(["--output", str(tmp_path / "tool"), *options.split()])
    arguments = {"seed": 9, "image_size": (40, 64), "length": 20, "scenario": "reentry", "absence": (3, 4)}
    expected = write_ytvis(tmp_path / "library", "val", 1, **arguments)
    assert (tmp_path / "tool" / "val.json").read_bytes() == expected.read_bytes()
