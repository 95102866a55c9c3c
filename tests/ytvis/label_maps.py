# SPDX-License-Identifier: Apache-2.0
"""Small data sets of label maps, for the converters."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from ifc.ytvis.convert.indexed_png import palette


def write_frames(folder: Path, stems, size=(12, 16)) -> None:
    """JPEG frames of one color."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem in stems:
        Image.new("RGB", size[::-1], (90, 120, 60)).save(folder / f"{stem}.jpg")


def write_maps(folder: Path, maps: Mapping[str, np.ndarray]) -> None:
    """Label maps by their frame's name: uint8 as indexed PNGs, uint16 as PNGs of 16 bits."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, labels in maps.items():
        picture = Image.fromarray(labels)
        if labels.dtype == np.uint8:
            picture.putpalette(palette().tobytes())
        picture.save(folder / f"{stem}.png")


def read_maps(root: Path) -> dict[str, list]:
    """All PNGs below a folder: their pixels, as stored, by path."""
    return {
        path.relative_to(root).as_posix(): np.array(Image.open(path)).tolist() for path in sorted(root.rglob("*.png"))
    }


def random_map(seed: int, numbers, dtype=np.uint8, size=(12, 16)) -> np.ndarray:
    """A picture of blocks and specks of the numbers and of 0."""
    rng = np.random.default_rng(seed)
    choices = np.array([0, *numbers], dtype=dtype)
    blocks = rng.integers(0, len(choices), (-(-size[0] // 4), -(-size[1] // 4)))
    picture = np.kron(blocks, np.ones((4, 4), dtype=int))[: size[0], : size[1]]
    specks = rng.random(size) < 0.1
    picture[specks] = rng.integers(0, len(choices), specks.sum())
    return choices[picture]
