# SPDX-License-Identifier: Apache-2.0
"""Pictures of a video's objects beside what was found in it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import hsv_to_rgb
from PIL import Image, ImageDraw
from pycocotools import mask as mask_utils

from ..files import load_json
from ..format import Video
from ..ground_truth import GroundTruth, GroundTruthSource, Track
from ..metric.errors import CORRECT, VideoFindings
from ..values import brief

WIDTH = 480  # pixels of either half
GAP = 8
WRONG = (230, 30, 30)  # what is missed or found in error; no object's color comes near it
OPACITY = 0.45


class FrameFiles:
    """The frames of a data set's videos, by the file_names of its annotation file."""

    def __init__(self, source: GroundTruthSource, root: str | os.PathLike) -> None:
        """
        Args:
            source: a checked annotation file, or what it holds.
            root: the folder that file_names are relative to.

        Raises:
            OSError: the file or the folder cannot be read.
            ValueError: a video has no file_names.
        """
        self._root = Path(root)
        if not self._root.is_dir():
            raise NotADirectoryError(f"{root}: expected the folder of the frames")
        name, data = load_json(source, "ground truth")
        self._names = {
            video["id"]: _file_names(video, f"{name}: videos[{index}]") for index, video in enumerate(data["videos"])
        }

    def read(self, video_id: int, frame: int, video: Video) -> np.ndarray:
        """One frame, (H, W, 3) uint8.

        Raises:
            OSError: it cannot be read.
            ValueError: it has another size than the video.
        """
        name = self._names[video_id][frame]
        try:
            with Image.open(self._root / name) as image:
                if image.size == video.size[::-1]:
                    return np.asarray(image.convert("RGB"))
                size = f"{image.height} x {image.width}"
        except OSError:
            raise
        except Exception as error:  # Pillow's decoders meet damaged files with any kind of error
            raise OSError(f"{name}: {error}") from error
        raise ValueError(f"frame {frame}: found {size} pixels, expected the masks' {video.size[0]} x {video.size[1]}")


def _file_names(video: Mapping[str, Any], where: str) -> list[str]:
    names = video.get("file_names")
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not is_list or len(names) != video["length"]:
        raise ValueError(f"{where}.file_names: found {brief(names)}, expected {video['length']} names, one a frame")
    return names


def picture_of(
    ground_truth: GroundTruth, video_id: int, findings: VideoFindings, score: float, frames: FrameFiles
) -> tuple[int, np.ndarray]:
    """The frame that shows most objects (or results, of a video without objects), with the objects' masks on the left
    and those of the results of `score` or more on the right.

    An object and the result that matches it have one color; red is what is missed or found in error.

    Returns:
        number of the frame, and the picture (H, W, 3) uint8.

    Raises:
        OSError: the frame cannot be read.
        ValueError: it has another size than the masks.
    """
    video = ground_truth.videos[video_id]
    found = [d for d, track in enumerate(findings.results) if track.score >= score]
    results = [findings.results[d] for d in found]
    frame = _fullest_frame(findings.objects or results, video.length)
    image = frames.read(video_id, frame, video)
    palette = [tuple(int(255 * c) for c in hsv_to_rgb(((0.12 + 0.618 * i % 1 * 0.76), 0.8, 0.95))) for i in range(99)]
    colors = {findings.targets[d]: palette[i % 99] for i, d in enumerate(found) if findings.verdicts[d] == CORRECT}
    names = ground_truth.categories
    object_labels = [names[category] for category in findings.object_categories]
    result_labels = [f"{names[findings.result_categories[d]]} {findings.results[d].score:.2f}" for d in found]
    object_colors = [colors.get(g, WRONG) for g in range(len(findings.objects))]
    result_colors = [colors[findings.targets[d]] if findings.verdicts[d] == CORRECT else WRONG for d in found]
    left = _draw(image, findings.objects, frame, object_colors, object_labels)
    right = _draw(image, results, frame, result_colors, result_labels)
    return frame, np.hstack([left, np.full((len(left), GAP, 3), 255, dtype=np.uint8), right])


def _fullest_frame(tracks: Sequence[Track], length: int) -> int:
    """The frame on which most of the tracks are seen; of several, the one nearest to the middle."""
    counts = np.sum([track.mask_areas > 0 for track in tracks], axis=0) if tracks else np.zeros(length)
    fullest = np.flatnonzero(counts == counts.max())
    return int(fullest[np.abs(fullest - (length - 1) / 2).argmin()])


def _draw(
    image: np.ndarray, tracks: Sequence[Track], frame: int, colors: Sequence[tuple], labels: Sequence[str]
) -> np.ndarray:
    """The frame at WIDTH, with outlined and labeled masks."""
    height = max(1, round(image.shape[0] * WIDTH / image.shape[1]))
    canvas = np.asarray(Image.fromarray(image).resize((WIDTH, height), Image.Resampling.BILINEAR)).astype(np.float32)
    centers = {}
    for index, (track, color) in enumerate(zip(tracks, colors, strict=True)):
        if track.masks[frame] is None or not track.mask_areas[frame]:
            continue
        mask = Image.fromarray(mask_utils.decode(track.masks[frame])).resize((WIDTH, height), Image.Resampling.NEAREST)
        mask = np.asarray(mask) > 0
        canvas[mask] = (1 - OPACITY) * canvas[mask] + OPACITY * np.array(color, dtype=np.float32)
        canvas[mask & ~_eroded(mask)] = color
        if mask.any():
            centers[index] = np.argwhere(mask).mean(axis=0)
    picture = Image.fromarray(canvas.astype(np.uint8))
    drawing = ImageDraw.Draw(picture)
    for index, (y, x) in centers.items():
        text = labels[index].encode("ascii", "replace").decode()
        drawing.text((x, y), text, fill="white", anchor="mm", stroke_width=2, stroke_fill="black")
    return np.asarray(picture)


def _eroded(mask: np.ndarray) -> np.ndarray:
    """The mask less its border of one pixel."""
    padded = np.pad(mask, 1)
    return mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
