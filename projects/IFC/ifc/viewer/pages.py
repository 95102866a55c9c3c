# SPDX-License-Identifier: Apache-2.0
"""The pages: one of each video, and a list of them. They load nothing but, where it is large, the video beside them."""

import base64
import hashlib
import os
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from ..ytvis.drawing import palette_color
from ..ytvis.files import whole_file
from ..ytvis.segmented_video import FINISHED, MANIFEST_FILE, SegmentedVideo, read_folder
from .comparison import Comparison, compare
from .played_video import played_video

PAGE = "index.html"
_HERE = Path(__file__).parent
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)


def write_pages(
    folder: str | os.PathLike[str],
    annotations: str | os.PathLike[str] | None = None,
    video_id: int | None = None,
    score: float | None = None,
) -> tuple[Path, list[str]]:
    """Write index.html into what `ifc segment` wrote of one video; or into the folder that holds several of these, as a
    list of them, and into each of them.

    Args:
        annotations: a ground truth in YouTube-VIS's format, shown beside what was found in one video.
        video_id: that of the video in `annotations`; may be left out if these are of one video alone.
        score: the least of a result that counts as found there; that of those drawn in the overlay by default.

    Returns:
        The page to open, and of each of several videos that cannot be shown what is wrong with it.

    Raises:
        OSError, ValueError: a file cannot be read or written, or is not what `ifc segment` writes.
    """
    folder = Path(folder)
    if (folder / MANIFEST_FILE).is_file():
        return write_page(read_folder(folder), annotations, video_id, score), []
    inside = sorted(path.parent for path in folder.glob(f"*/{MANIFEST_FILE}"))
    if not inside:
        raise FileNotFoundError(
            f"{folder}: found no {MANIFEST_FILE} in it or one below, expected an output of ifc segment"
        )
    if annotations is not None:
        raise ValueError(
            f"{folder}: found {len(inside)} videos, expected the folder of one to compare with annotations"
        )
    rows, faults = [], []
    for path in inside:
        try:
            video = read_folder(path)
            page = write_page(video)
        except (OSError, ValueError) as error:
            rows.append((path.name, None, str(error)))
            faults.append(str(error))
        else:
            rows.append((path.name, f"{path.name}/{page.name}", _summary(video)))
    return _write(folder / PAGE, "list.html", title=folder.resolve().name, rows=rows), faults


def write_page(
    video: SegmentedVideo,
    annotations: str | os.PathLike[str] | None = None,
    video_id: int | None = None,
    score: float | None = None,
) -> Path:
    """The page of one video; see `write_pages`."""
    score = video.threshold if score is None else score
    comparison = None if annotations is None else compare(video, annotations, video_id, score)
    with tempfile.TemporaryDirectory(prefix=".view", dir=video.folder) as scratch:
        played = played_video(video, Path(scratch))
        data = _page_data(video, comparison) | {
            "video": played.to_json(video.folder),
            "times": [round(video.start + time - played.begins, 6) for time in video.times],
        }
    scripts = [(_HERE / name).read_text(encoding="utf-8") for name in ("masks.js", "player.js", "page.js")]
    script = "\n".join(scripts)
    return _write(
        video.folder / PAGE,
        "page.html",
        title=video.folder.resolve().name,
        summary=_summary(video),
        notice=played.notice,
        data=data,
        files=video.files,
        comparison=comparison,
        least_score=score,
        # Nothing else that gets into the page by any way can run.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        script=Markup(script),
    )


def _write(path: Path, template: str, **values: Any) -> Path:
    style = Markup((_HERE / "page.css").read_text(encoding="utf-8"))
    page = _TEMPLATES.get_template(template).render(style=style, **values)
    with whole_file(path) as partial:
        partial.write_text(page, encoding="utf-8", errors="replace")
    return path


def _summary(video: SegmentedVideo) -> str:
    height, width = video.size
    left_off = "" if video.status == FINISHED else f", {video.status}"
    return f"{width} × {height}, {len(video.times)} frames, {len(video.tracks)} tracks{left_off}"


def _page_data(video: SegmentedVideo, comparison: Comparison | None) -> dict[str, Any]:
    """What page.js reads: the tracks, those found by falling score and then the annotated ones, and what is on each
    frame, in the order of drawing.
    """
    tracks = _found_tracks(video, comparison)
    place = {track["id"]: index for index, track in enumerate(tracks)}
    frames = [
        sorted(([place[found.track_id], _counts(found.mask), round(found.score, 4)] for found in objects), reverse=True)
        for objects in video.objects
    ]
    if comparison:
        for index, track in enumerate(comparison.objects, start=len(tracks)):
            for frame, mask in zip(frames, track.masks, strict=True):
                if mask is not None:
                    frame.append([index, _counts(mask)])
        tracks += _annotated_tracks(comparison)
    return {
        "height": video.size[0],
        "width": video.size[1],
        "tracks": tracks,
        "frames": frames,
        "events": comparison.events if comparison else [],
    }


def _found_tracks(video: SegmentedVideo, comparison: Comparison | None) -> list[dict[str, Any]]:
    seen = defaultdict(list)
    for frame, objects in enumerate(video.objects):
        for found in objects:
            seen[found.track_id].append(frame)
    return [
        {
            "kind": "result",
            "id": track.track_id,
            "name": video.categories[track.category_id],
            "score": round(track.score, 4),
            "color": palette_color(track.track_id),
            "seen": _spans(seen[track.track_id]),
            "wrong": _spans(comparison.wrong.get(track.track_id, ())) if comparison else [],
            "note": comparison.verdicts.get(track.track_id, "not counted") if comparison else "",
        }
        for track in video.tracks
    ]


def _annotated_tracks(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "kind": "truth",
            "id": index + 1,
            "name": name,
            "score": 1,
            "color": (128, 128, 128),
            "seen": _spans(np.flatnonzero(track.mask_areas).tolist()),
            "wrong": _spans(comparison.missed.get(index, ())),
            "note": "annotated",
        }
        for index, (name, track) in enumerate(zip(comparison.names, comparison.objects, strict=True))
    ]


def _counts(mask: dict[str, Any]) -> str:
    return mask["counts"].decode("ascii")


def _spans(frames: Sequence[int]) -> list[int]:
    """Ascending frames as first, end, first, end, ..."""
    spans: list[int] = []
    for frame in frames:
        if spans and spans[-1] == frame:
            spans[-1] += 1
        else:
            spans += [frame, frame + 1]
    return spans
