# SPDX-License-Identifier: Apache-2.0
"""The metric's report: one HTML page with what was measured, how it came about, and the videos that went worst."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..metric.breakdown import track_length
from ..metric.errors import BACKGROUND_IOU, CORRECT, FOREGROUND_IOU, IGNORED, confusion
from ..metric.evaluation import Evaluation
from ..metric.video_ap import IOU_THRESHOLDS, MAX_RESULTS, RECALL_THRESHOLDS, STAT_NAMES, threshold_index
from .html_page import HtmlPage
from .pictures import FrameFiles, compare_objects
from .plots import histogram, plot_text
from .text import tracking_rows

WORST_VIDEOS = 12
PICTURED_VIDEOS = 6
CURVE_COLUMNS = 5
SCORE_BINS = 30
CURVE_PANELS = 60  # categories with a panel of their own, at most
NAMED_CONFUSIONS = 15
LEGIBLE_CATEGORIES = 12  # up to here the counts are written into the confusion's cells
ERROR_MEANINGS = {
    "classification": f"overlaps an object of another category by {FOREGROUND_IOU} or more",
    "localisation": f"overlaps an object of its category by {BACKGROUND_IOU} to {FOREGROUND_IOU}",
    "both": f"overlaps an object of another category by {BACKGROUND_IOU} to {FOREGROUND_IOU}",
    "duplicate": f"overlaps an object of its category by {FOREGROUND_IOU} or more that a better result has",
    "background": f"overlaps no object by {BACKGROUND_IOU}",
    "missed": "an object that no result matches, nor could after a correction of category or place",
}


def make_report(
    evaluation: Evaluation, tracking: Mapping[str, Mapping[str, float]] | None, frames: FrameFiles | None
) -> HtmlPage:
    """The page of one evaluation.

    Args:
        tracking: `evaluation.tracking`, or None to leave it out.
        frames: for pictures of the worst videos, or None for none.
    """
    page = HtmlPage("Video instance segmentation: results in detail")
    num_results = sum(len(video.results) for video in evaluation.findings.values())
    page.paragraph(
        f"{len(evaluation.ground_truth.videos)} videos of {evaluation.ground_truth.source}, "
        f"{sum(len(video.objects) for video in evaluation.findings.values())} objects, {num_results} results that "
        f"count (the best {MAX_RESULTS[-1]} of each video and category). A result matches an object by the IoU of "
        "their masks over all frames. Numbers are percent where nothing else is said."
    )
    _add_numbers(page, evaluation)
    if tracking:
        _add_tracking(page, tracking, evaluation.score)
    _add_curves(page, evaluation)
    _add_distributions(page, evaluation)
    _add_errors(page, evaluation)
    _add_confusion(page, evaluation)
    _add_worst_videos(page, evaluation, frames)
    return page


def _percent(value: float | None) -> str | None:
    return None if value is None or value < 0 else f"{100 * value:.1f}"


def _add_numbers(page: HtmlPage, evaluation: Evaluation) -> None:
    page.heading("Numbers")
    page.table(STAT_NAMES, [[_percent(value) for value in evaluation.result.stats]])
    for title, groups in (
        ("By length: short is 1 to 15 frames, medium 16 to 30, long more", evaluation.by_length),
        ("By motion: mean IoU of an object's box with its box some frames later, slow over 0.9, fast under 0.7",
         evaluation.by_motion),
    ):  # fmt: skip
        rows = [
            [name, group.num_objects, _percent(group.ap), _percent(group.ap50), _percent(group.ar100)]
            for name, group in groups.items()
        ]
        page.table(["", "objects", "AP", "AP50", "AR100"], rows, caption=title)
    page.table(["category", "objects", "results", "AP", "AP50", "AP75"], _category_rows(evaluation), "By category")


def _category_rows(evaluation: Evaluation) -> list[list[object]]:
    num_objects, num_results = Counter(), Counter()
    for (_, category_id), overlap in evaluation.overlaps.items():
        num_objects[category_id] += sum(not track.is_crowd for track in overlap.annotated)
        num_results[category_id] += len(overlap.results)
    at_50, at_75 = threshold_index(0.5), threshold_index(0.75)
    rows = []
    for index, (category_id, name) in enumerate(sorted(evaluation.ground_truth.categories.items())):
        precision = evaluation.result.precision[:, :, index, 0, -1]
        aps = (precision.mean(), precision[at_50].mean(), precision[at_75].mean())
        rows.append([name, num_objects[category_id], num_results[category_id], *map(_percent, aps)])
    return rows


def _add_tracking(page: HtmlPage, tracking: Mapping[str, Mapping[str, float]], score: float) -> None:
    page.heading("Tracking")
    page.paragraph(f"Of the results with a score of {score:.3f} or more, by TrackEval; IDSW is a count.")
    header = list(next(iter(tracking.values())))
    page.table(["category", *header], tracking_rows(tracking))


def _add_curves(page: HtmlPage, evaluation: Evaluation) -> None:
    page.heading("Precision and recall")
    names = [name for _, name in sorted(evaluation.ground_truth.categories.items())]
    precision = evaluation.result.precision[:, :, :, 0, -1]  # (T, R, K)
    measured = np.flatnonzero((precision > -1).any(axis=(0, 1)))
    if not measured.size:
        page.paragraph("There are no objects, so there is nothing to measure.")
        return
    figure = Figure(figsize=(6, 4))
    axes = _unit_axes(figure.subplots(), "recall", "precision")
    for index, threshold in enumerate(IOU_THRESHOLDS):
        color = (0.1 + 0.08 * index, 0.35, 0.8 - 0.06 * index)
        axes.plot(RECALL_THRESHOLDS, precision[index][:, measured].mean(axis=1), color=color, label=f"{threshold:.2f}")
    axes.legend(title="IoU", fontsize=7, title_fontsize=8)
    page.figure(figure, "Mean over the categories with objects, at each IoU threshold")

    shown = measured[:CURVE_PANELS]
    columns = min(CURVE_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(2.2 * columns, 1.9 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, category in zip(panels, shown, strict=False):
        _unit_axes(axes)
        for threshold, style in ((0.5, "-"), (0.75, "--")):
            curve = precision[threshold_index(threshold), :, category]
            axes.plot(RECALL_THRESHOLDS, curve, style, color="tab:blue")
        axes.set_title(plot_text(names[category], 24), fontsize=8)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    left_out = f"; the first {CURVE_PANELS} of {len(measured)}" if len(measured) > CURVE_PANELS else ""
    page.figure(figure, f"By category, precision over recall at IoU 0.5 (line) and 0.75 (dashed){left_out}")


def _unit_axes(axes: Axes, x_label: str = "", y_label: str = "") -> Axes:
    axes.set(xlim=(0, 1), ylim=(0, 1.03), xlabel=x_label, ylabel=y_label)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    return axes


def _add_distributions(page: HtmlPage, evaluation: Evaluation) -> None:
    page.heading("Scores and lengths")
    videos = evaluation.findings.values()
    judged = [(t, v) for video in videos for t, v in zip(video.results, video.verdicts, strict=True) if v != IGNORED]
    if not judged:
        page.paragraph("There are no results.")
        return
    figure = Figure(figsize=(5.5, 3.5))
    axes = figure.subplots()
    by_verdict = [[t.score for t, v in judged if (v == CORRECT) == is_correct] for is_correct in (True, False)]
    bins = _score_bins(np.array([track.score for track, _ in judged]))
    for scores, color, label in zip(by_verdict, ("tab:blue", "tab:orange"), ("match an object", "wrong"), strict=True):
        axes.hist(scores, bins=bins, histtype="step", linewidth=1.8, color=color, label=label)
    axes.set(xlabel="score", ylabel="results", yscale="log")
    if np.isfinite(evaluation.score):
        axes.axvline(evaluation.score, color="black", linestyle=":")
    axes.legend(fontsize=8)
    page.figure(
        figure,
        f"Scores of the results; from {evaluation.score:.3f} on (dotted) they count as found, where that matters",
    )

    lengths = {
        "objects": [track_length(track) for video in videos for track in video.objects],
        "results that count as found": [track_length(t) for t, _ in judged if t.score >= evaluation.score],
    }
    page.figure(histogram(lengths, "frames with a mask", "tracks"), "Lengths of objects and of results")


def _score_bins(scores: np.ndarray) -> np.ndarray:
    """Bounds of the histogram's bins, also where all scores are the same or nearly so."""
    low, high = scores.min(), scores.max()
    least = 1e-6 * max(1, abs(low), abs(high))
    if high - low < least:
        low, high = low - least, high + least
    return np.linspace(low, high, SCORE_BINS + 1)


def _add_errors(page: HtmlPage, evaluation: Evaluation) -> None:
    page.heading("Errors")
    page.paragraph(
        "TIDE's error types at IoU 0.5, of all results that count. The cost is by how many points AP50 would rise if "
        "this error alone were corrected; costs do not add up. Results of low score are many and cost little."
    )
    rows = [
        [error, cost.count, f"{100 * cost.ap50_rise:.1f}", ERROR_MEANINGS[error]]
        for error, cost in evaluation.costs.items()
    ]
    switches, switching = evaluation.identity_switches()
    meaning = (
        f"an object's result on a frame (mask IoU {FOREGROUND_IOU} or more, one to one) is another one than it last "
        f"was; of results with a score of {evaluation.score:.3f} or more; in {switching} objects"
    )
    page.table(["error", "how often", "cost in AP50", "meaning"], [*rows, ["identity switch", switches, None, meaning]])


def _add_confusion(page: HtmlPage, evaluation: Evaluation) -> None:
    page.heading("Confusion between categories")
    page.paragraph(
        f"Of the results with a score of {evaluation.score:.3f} or more: each takes the free object of highest IoU, "
        f"{FOREGROUND_IOU} or more, whatever its category. The last row is results that take none, the last column "
        "objects that none takes."
    )
    category_ids = sorted(evaluation.ground_truth.categories)
    names = [evaluation.ground_truth.categories[category_id] for category_id in category_ids]
    counts = confusion(evaluation.findings, category_ids, evaluation.score)
    page.figure(
        _confusion_figure(counts, names), "Share of an object's category (row) that was found as another (column)"
    )
    mistaken = counts[:-1, :-1] - np.diag(np.diag(counts)[:-1])
    order = np.argsort(-mistaken, axis=None, kind="stable")[:NAMED_CONFUSIONS]
    pairs = [np.unravel_index(place, mistaken.shape) for place in order]
    rows = [[names[row], names[column], mistaken[row, column]] for row, column in pairs if mistaken[row, column]]
    page.table(["is", "found as", "how often"], rows, caption="Most frequent confusions")


def _confusion_figure(counts: np.ndarray, names: list[str]) -> Figure:
    side = max(4.0, 0.28 * len(counts))
    figure = Figure(figsize=(min(side, 14) + 1, min(side, 14)), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.6)
    labels = [plot_text(name, 20) for name in names]
    axes.set_xticks(range(len(counts)), [*labels, "missed"], rotation=90, fontsize=7)
    axes.set_yticks(range(len(counts)), [*labels, "no object"], fontsize=7)
    axes.set(xlabel="found as", ylabel="is")
    if len(names) <= LEGIBLE_CATEGORIES:
        for row, column in np.argwhere(counts):
            color = "white" if shares[row, column] > 0.6 else "black"
            axes.text(column, row, counts[row, column], ha="center", va="center", fontsize=7, color=color)
    return figure


def _worst_videos(evaluation: Evaluation) -> list[tuple[int, int, int, int, int, float]]:
    """Id, objects, right and wrong results, missed objects and F1 of the videos with errors, of lowest F1 first, of
    equal ones those with more errors."""
    videos = []
    for video_id, video in evaluation.findings.items():
        found = video.scores >= evaluation.score
        verdicts = [verdict for verdict, is_found in zip(video.verdicts, found, strict=True) if is_found]
        correct = verdicts.count(CORRECT)
        wrong, missed = len(verdicts) - correct - verdicts.count(IGNORED), len(video.objects) - correct
        if wrong or missed:
            f1 = 2 * correct / (2 * correct + wrong + missed)
            videos.append((video_id, len(video.objects), correct, wrong, missed, f1))
    return sorted(videos, key=lambda video: (video[5], -video[3] - video[4], video[0]))


def _add_worst_videos(page: HtmlPage, evaluation: Evaluation, frames: FrameFiles | None) -> None:
    page.heading("Worst videos")
    worst = _worst_videos(evaluation)[:WORST_VIDEOS]
    page.paragraph(
        f"By F1 of objects and results, at IoU {FOREGROUND_IOU} and a score of {evaluation.score:.3f} or more."
    )
    rows = [[*numbers, _percent(f1)] for *numbers, f1 in worst]
    page.table(["video", "objects", "found", "wrong results", "objects not found", "F1"], rows)
    for video_id, *_ in worst[:PICTURED_VIDEOS] if frames else []:
        try:
            frame, picture = compare_objects(evaluation, video_id, frames)
        except ValueError as error:
            page.paragraph(f"Video {video_id}: no picture, {error}")
            continue
        caption = f"Video {video_id}, frame {frame}: objects (left) and results (right); red: missed or wrong"
        page.picture(picture, caption)
