# SPDX-License-Identifier: Apache-2.0
"""An HTML page about a data set: what is in it, how it looks, and what is wrong with it."""

import os
from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..datasets.check import CheckResult
from ..faults import KINDS
from ..format import Structure, Video, annotation_log
from ..ground_truth import AnnotatedTrack, read_annotation
from ..images import read_rgb
from ..values import is_integer
from .html_page import HtmlPage
from .pictures import draw_objects, fullest_frame
from .plots import histogram, plot_text

MAX_LISTED = 2000  # faults in the page's table
NUM_SAMPLES = 12
MOST_SHOWN = 40  # letters of a name in a picture
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
        _add_histograms(page, structure)
        _add_samples(page, structure.videos, structure.categories, image_root)
    if result.faults:
        page.heading("Faults")
        if len(result.faults) > MAX_LISTED:
            page.paragraph(f"The first {MAX_LISTED} of {len(result.faults)}; the program prints them all.")
        header = ("kind", "video", "annotation", "frame", "field", "found", "expected")
        page.table(header, [[getattr(fault, column) for column in header] for fault in result.faults[:MAX_LISTED]])
    return page


def _add_histograms(page: HtmlPage, structure: Structure) -> None:
    page.heading("What is in it")
    videos, categories = [video for video in structure.videos if video.index is not None], structure.categories
    annotations = [annotation for video in structure.videos for _, annotation in video.annotations]
    if structure.has_annotations and categories:
        ids = (annotation.get("category_id") for annotation in annotations)
        counts = Counter(category_id for category_id in ids if is_integer(category_id))
        largest = f", the {MAX_BARS} largest" if len(categories) > MAX_BARS else ""
        page.figure(_class_plot(counts, categories), f"Tracks of each category{largest}.")
        rows = [(category_id, name, counts[category_id]) for category_id, name in sorted(categories.items())]
        page.table(("id", "category", "tracks"), rows)
    lengths = [len(video.file_names) for video in videos if video.file_names]
    objects = [len(video.annotations) for video in videos] if structure.has_annotations else []
    lists = (annotation.get("segmentations") for annotation in annotations)
    presence = [sum(bool(item) for item in items) for items in lists if isinstance(items, list)]
    for values, xlabel, ylabel, caption in (
        (lengths, "frames", "videos", "Frames a video"),
        (objects, "tracks", "videos", "Tracks a video"),
        (presence, "frames with a mask", "tracks", "Frames on which a track has a mask"),
    ):
        if values:
            caption = f"{caption}: {min(values)} to {max(values)}, {np.mean(values):.1f} on average."
            page.figure(histogram({"": values}, xlabel, ylabel), caption)


def _class_plot(counts: Counter[int], categories: dict[int, str]) -> Figure:
    shown = sorted(sorted(categories), key=lambda category_id: -counts[category_id])[:MAX_BARS]
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


def _add_samples(
    page: HtmlPage, videos: Sequence[Video], categories: dict[int, str], image_root: str | os.PathLike
) -> None:
    """Pictures of videos from the first to the last, each on the frame with the most masks."""
    usable = [video for video in videos if video.index is not None and video.size and video.file_names]
    chosen = [usable[i] for i in np.unique(np.linspace(0, len(usable) - 1, NUM_SAMPLES).astype(int))] if usable else []
    page.heading("Samples")
    shown = 0
    for video in chosen:
        tracks = _good_tracks(video)
        frame = fullest_frame(np.reshape([track.mask_areas for track in tracks], (-1, len(video.file_names))) > 0)
        try:
            pixels = read_rgb(os.path.join(image_root, video.file_names[frame]), video.size)
        except (TypeError, ValueError):
            continue  # a fault that is listed, or would be if frames were checked
        present = [track for track in tracks if track.mask_areas[frame]]
        ids = (track.category_id for track in present)
        names = [categories.get(category_id, "?") if is_integer(category_id) else "?" for category_id in ids]
        picture = draw_objects(pixels, [track.masks[frame] for track in present], [name[:MOST_SHOWN] for name in names])
        page.picture(picture, f"Video {video.video_id}, frame {frame}: {', '.join(names) or 'no masks'}")
        shown += 1
    if shown < len(chosen):
        page.paragraph(f"{len(chosen) - shown} of {len(chosen)} sample frames could not be read.")


def _good_tracks(video: Video) -> list[AnnotatedTrack]:
    """The tracks with an entry for each frame; masks with a fault are missing from them."""
    tracks = (read_annotation(video, index, entry, annotation_log(entry)) for index, entry in video.annotations)
    return [track for track in tracks if track is not None and len(track.masks) == len(video.file_names)]
