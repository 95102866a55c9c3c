# SPDX-License-Identifier: Apache-2.0
"""An HTML page about a data set: what is in it, how it looks, and what is wrong with it."""

import colorsys
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont
from pycocotools import mask as mask_utils

from ..datasets.check import CheckResult
from ..faults import KINDS
from ..format import Structure, Video
from ..images import read_rgb
from ..masks import read_masks
from .html_page import HtmlPage, plot_text

MAX_LISTED = 2000  # faults in the page's table
NUM_SAMPLES = 12
PICTURE_WIDTH = 480
OPACITY = 0.45
GOLDEN_RATIO = 0.618034  # of the circle of hues between two masks: neighbors differ most
MAX_BARS = 60


def make_page(result: CheckResult, json_file: str | os.PathLike, image_root: str | os.PathLike) -> HtmlPage:
    """The page of a check. Pictures are shown of videos whose sample frame can be read."""
    page = HtmlPage(f"Data set {os.path.basename(json_file)}")
    counts = result.counts()
    found = f"{len(result.faults)} faults" if result.faults else "No faults"
    structure = result.structure
    num_videos = sum(video.index is not None for video in structure.videos) if structure else 0
    page.paragraph(
        f"{found} in {num_videos} videos with {result.num_frames} frames and {result.num_annotations} annotations. "
        f"Annotations: {json_file}; frames: {image_root}."
    )
    if counts:
        rows = [(kind, counts[kind], KINDS[kind]) for kind in KINDS if kind in counts]
        page.table(("kind", "faults", "meaning"), rows)
    if structure:
        _add_histograms(page, result)
        _add_samples(page, structure.videos, structure.categories, image_root)
    if result.faults:
        page.heading("Faults")
        if len(result.faults) > MAX_LISTED:
            page.paragraph(f"The first {MAX_LISTED} of {len(result.faults)}; the program prints them all.")
        header = ("kind", "video", "annotation", "frame", "field", "found", "expected")
        page.table(header, [[getattr(fault, column) for column in header] for fault in result.faults[:MAX_LISTED]])
    return page


def class_counts(structure: Structure) -> dict[int, int]:
    """The number of tracks by category id, for all categories that are listed."""
    tracks = Counter(
        annotation.get("category_id")
        for video in structure.videos
        for _, annotation in video.annotations
        if type(annotation.get("category_id")) is int
    )
    return {category_id: tracks[category_id] for category_id in sorted(structure.categories)}


def _add_histograms(page: HtmlPage, result: CheckResult) -> None:
    videos = [video for video in result.structure.videos if video.index is not None]
    page.heading("What is in it")
    categories = result.structure.categories
    if result.structure.has_annotations and categories:
        counts = class_counts(result.structure)
        caption = (
            f"Tracks of each category, the {MAX_BARS} largest."
            if len(counts) > MAX_BARS
            else "Tracks of each category."
        )
        page.figure(_class_plot(counts, categories), caption)
        page.table(("id", "category", "tracks"), [(key, categories[key], count) for key, count in counts.items()])
    lengths = [len(video.file_names) for video in videos if video.file_names]
    if lengths:
        caption = f"Frames a video: {min(lengths)} to {max(lengths)}, median {np.median(lengths):g}."
        page.figure(_histogram(lengths, "frames", "videos"), caption)
    if result.structure.has_annotations and videos:
        objects = [len(video.annotations) for video in videos]
        caption = f"Tracks a video: {min(objects)} to {max(objects)}, {np.mean(objects):.1f} on average."
        page.figure(_histogram(objects, "tracks", "videos"), caption)
        presence = [
            sum(bool(item) for item in annotation["segmentations"])
            for video in videos
            for _, annotation in video.annotations
            if isinstance(annotation.get("segmentations"), list)
        ]
        if presence:
            caption = f"Frames on which a track has a mask: {min(presence)} to {max(presence)}."
            page.figure(_histogram(presence, "frames with a mask", "tracks"), caption)


def _class_plot(counts: dict[int, int], categories: dict[int, str]) -> Figure:
    shown = sorted(counts, key=lambda category_id: -counts[category_id])[:MAX_BARS]
    figure = Figure(figsize=(6, 0.8 + 0.22 * len(shown)))
    axes = figure.subplots()
    labels = [plot_text(categories[category_id], 30) for category_id in shown]
    axes.barh(range(len(shown)), [counts[category_id] for category_id in shown], tick_label=labels)
    axes.bar_label(axes.containers[0], padding=2, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.1, y=0.01)
    axes.set_xlabel("tracks")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _histogram(values: Sequence[int], xlabel: str, ylabel: str) -> Figure:
    figure = Figure(figsize=(4.5, 3))
    axes = figure.subplots()
    low, high = min(values), max(values)
    width = max(
        1, -(-(high - low + 1) // 40)
    )  # whole numbers a bar, so that none holds more of them than its neighbors
    axes.hist(values, bins=np.arange(low, high + width + 1, width) - 0.5, edgecolor="white", linewidth=0.5)
    axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(low - 2, high + 2) if high - low < 4 else None)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _add_samples(
    page: HtmlPage, videos: Sequence[Video], categories: dict[int, str], image_root: str | os.PathLike
) -> None:
    """Pictures of videos from the first to the last, each on the frame with the most masks."""
    usable = [video for video in videos if video.index is not None and video.size and video.file_names]
    chosen = [usable[i] for i in np.unique(np.linspace(0, len(usable) - 1, NUM_SAMPLES).astype(int))] if usable else []
    page.heading("Samples")
    shown = 0
    for video in chosen:
        frame = _fullest_frame(video)
        try:
            path = os.path.join(image_root, video.file_names[frame])
            pixels = read_rgb(path, video.size)
        except (TypeError, ValueError):
            continue  # a fault that is listed, or would be if frames were checked
        picture, names = draw_masks(pixels, _good_masks(video, frame, categories))
        page.picture(picture, f"Video {video.video_id}, frame {frame}: {', '.join(names) or 'no masks'}")
        shown += 1
    if shown < len(chosen):
        page.paragraph(f"{len(chosen) - shown} of {len(chosen)} sample frames could not be read.")


def _fullest_frame(video: Video) -> int:
    """The frame with the most masks; of several, the one nearest to the middle."""
    num_frames = len(video.file_names)
    present = np.zeros(num_frames, dtype=int)
    for _, annotation in video.annotations:
        segmentations = annotation.get("segmentations")
        if isinstance(segmentations, list):
            flags = np.array([bool(item) for item in segmentations[:num_frames]], dtype=int)
            present[: len(flags)] += flags
    fullest = np.flatnonzero(present == present.max())
    return int(fullest[np.argmin(np.abs(fullest - num_frames // 2))])


def _good_masks(video: Video, frame: int, categories: dict[int, str]) -> Iterator[tuple[str, np.ndarray]]:
    """Category and mask (H, W) bool of each mask on a frame that can be drawn."""
    for _, annotation in video.annotations:
        segmentations, category_id = annotation.get("segmentations"), annotation.get("category_id")
        if not isinstance(segmentations, list) or frame >= len(segmentations) or not segmentations[frame]:
            continue
        rle = read_masks([segmentations[frame]], video.size).masks[0]
        if rle is not None:
            name = categories.get(category_id, "?") if type(category_id) is int else "?"
            yield name, mask_utils.decode(rle).astype(bool)


def draw_masks(frame: np.ndarray, masks: Iterable[tuple[str, np.ndarray]]) -> tuple[np.ndarray, list[str]]:
    """A picture of a frame with its masks: tinted, outlined and named.

    Args:
        frame: (H, W, 3) uint8 RGB.
        masks: names, and masks (H, W) bool.

    Returns:
        (h, w, 3) uint8 RGB, of a width that suits a page, and the names.
    """
    height = round(PICTURE_WIDTH * frame.shape[0] / frame.shape[1])
    size = (PICTURE_WIDTH, min(max(height, 1), 2 * PICTURE_WIDTH))
    canvas = np.array(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
    names, labels = [], []
    for name, mask in masks:
        color = 255 * np.array(colorsys.hsv_to_rgb((0.58 + GOLDEN_RATIO * len(names)) % 1.0, 0.8, 1.0))
        small = np.array(Image.fromarray(mask).convert("L").resize(size, Image.Resampling.BILINEAR)) > 127
        canvas[small] = (1 - OPACITY) * canvas[small] + OPACITY * color
        canvas[_outline(small)] = color
        rows, columns = np.nonzero(small)
        if rows.size:
            labels.append((float(np.median(columns)), float(np.median(rows)), name))
        names.append(name)
    picture = Image.fromarray(canvas.round().astype(np.uint8))
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for x, y, name in labels:
        text = name.encode("latin-1", "replace").decode("latin-1")[:40]  # what Pillow's own font has
        half = min(font.getlength(text) / 2 + 3, size[0] / 2)
        place = (min(max(x, half), size[0] - half), min(max(y, 10), size[1] - 10))
        pen.text(place, text, fill="white", font=font, anchor="mm", stroke_width=2, stroke_fill="black")
    return np.array(picture), names


def _outline(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask (H, W) bool that have a neighbor outside of it."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner
