# SPDX-License-Identifier: Apache-2.0
"""A small data set without faults, for tests to spoil."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

HEIGHT, WIDTH = 24, 32


def compressed(mask: np.ndarray) -> dict[str, Any]:
    """A mask (H, W) bool as a json's compressed RLE."""
    rle = mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def rectangle(left: int, top: int, width: int, height: int) -> np.ndarray:
    """A mask with one rectangle."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


def huge_png() -> bytes:
    """A PNG of some bytes whose header, correct in itself, claims 11000 x 11000 pixels."""
    header = (11_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")
        for name, content in chunks
    )


class SmallDataset:
    """Two videos of 3 and 2 frames; a track of compressed RLEs, one of run lengths, one of polygons.

    Attributes:
        content: the json, to be changed.
        image_root: folder of the frames, to be changed.
    """

    def __init__(self, root: Path) -> None:
        self.path, self.image_root = root / "small.json", root / "frames"
        videos = [
            {
                "id": video_id,
                "height": HEIGHT,
                "width": WIDTH,
                "length": length,
                "file_names": [f"{folder}/{frame:05d}.jpg" for frame in range(length)],
            }
            for video_id, folder, length in ((5, "first", 3), (2, "second", 2))
        ]
        # The second column is left at row 3: 27 pixels of background, then 5 columns of 4 pixels.
        runs = [27, *[4, 20] * 4, 4, 24 * 32 - 27 - 4 * 24 - 4]
        square = [2, 3, 12, 3, 12, 8, 2, 8]
        annotations = [
            (10, 5, 3, [compressed(rectangle(4, 5, 6, 7)), None, compressed(rectangle(0, 0, WIDTH, 2))]),
            (11, 5, 1, [None, {"size": [HEIGHT, WIDTH], "counts": runs}, None]),
            (12, 2, 3, [[square], [[*square]]]),
        ]
        boxes = [
            [[4, 5, 6, 7], None, [0, 0, WIDTH, 2]],
            [None, [1, 3, 5, 4], None],
            [[2, 3, 10, 5], [2.0, 3.0, 10.0, 5.0]],
        ]
        areas = [[42, None, 64], [0, 20, 0], [50, 50.0]]
        self.content = {
            "info": {"description": "small"},
            "categories": [{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}],
            "videos": videos,
            "annotations": [
                dict(
                    zip(("id", "video_id", "category_id", "segmentations"), entry, strict=True),
                    bboxes=boxes[i],
                    areas=areas[i],
                    iscrowd=0,
                )
                for i, entry in enumerate(annotations)
            ],
        }
        noise = np.random.default_rng(0)
        for video in videos:
            for name in video["file_names"]:
                (self.image_root / name).parent.mkdir(parents=True, exist_ok=True)
                pixels = noise.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(self.image_root / name)

    def write(self) -> Path:
        """Write the json as it is now; its path."""
        self.path.write_text(json.dumps(self.content), encoding="utf-8")
        return self.path
