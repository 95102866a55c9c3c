# SPDX-License-Identifier: Apache-2.0
"""The picture of training clips: what is on it, and that a seed makes it again."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tools.commands import command

from ifc.ytvis.datasets.shapes import write_ytvis

CONFIG = str(Path(__file__).parents[2] / "configs" / "quick_schedules" / "shapes_tiny.yaml")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A video of shapes: its json and its frames."""
    root = tmp_path_factory.mktemp("clips")
    json_file = write_ytvis(root, "train", 1, seed=1, image_size=(60, 90), length=3)
    return f"[['clips_{root.name}', '{json_file}', '{root / 'train' / 'JPEGImages'}']]", f"('clips_{root.name}',)"


def picture(data, path, *opts, channels="RGB"):
    json_files, names = data
    command("data", "clips")(
        ["--config-file", CONFIG, "--output", str(path), "--clips", "3", "--width", "90", "SEED", "1"]
        + ["DATASETS.VIDEO_JSON", json_files, "DATASETS.TRAIN", names, "INPUT.FORMAT", channels, *opts]
        + ["SOLVER.IMS_PER_BATCH", "1", "INPUT.MIN_SIZE_TRAIN", "(60,)", "INPUT.RANDOM_FLIP", "none"]
    )
    return np.asarray(Image.open(path))


def test_clips_and_frames(data, tmp_path, capsys):
    """Three clips of two frames, in true colors whatever the network's, and with masks on them."""
    sheet = picture(data, tmp_path / "a.png")
    assert sheet.shape == (3 * 60 + 2 * 4, 2 * 90 + 4, 3)
    assert (sheet[60:64] == 255).all() and (sheet[:, 90:94] == 255).all() and not (sheet[:60, :90] == 255).all()
    assert str(tmp_path / "a.png") in capsys.readouterr().out
    np.testing.assert_array_equal(sheet, picture(data, tmp_path / "b.png"))
    np.testing.assert_array_equal(sheet, picture(data, tmp_path / "c.png", channels="BGR"))
