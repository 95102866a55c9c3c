# SPDX-License-Identifier: Apache-2.0
"""Data sets that a reader can follow: each mask is some columns of a frame of 1 x 100 pixels."""

from typing import Any

HEIGHT, WIDTH = 1, 100
Columns = tuple[int, int] | None  # the first column and the one after the last


def data_set(
    objects: list[tuple[int, str, list[Columns]]],
    results: list[tuple[int, str, float, list[Columns]]],
    crowds: list[tuple[int, str, list[Columns]]] = (),
    length: int = 1,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ground truth and results in YouTube-VIS's formats, of videos 1 to 3 and categories "a", "b" and "c".

    Args:
        objects, crowds: video, category and columns on each frame.
        results: video, category, score and columns on each frame.
    """
    ids = {"a": 1, "b": 2, "c": 3}
    ground_truth = {
        "videos": [{"id": video, "length": length, "height": HEIGHT, "width": WIDTH} for video in (1, 2, 3)],
        "categories": [{"id": id_, "name": name} for name, id_ in ids.items()],
        "annotations": [
            {
                "video_id": video,
                "category_id": ids[category],
                "iscrowd": int(is_crowd),
                "segmentations": [_rle(frame) for frame in columns],
                "areas": [frame and HEIGHT * (frame[1] - frame[0]) for frame in columns],
            }
            for is_crowd, tracks in ((False, objects), (True, crowds))
            for video, category, columns in tracks
        ],
    }
    found = [
        {"video_id": video, "category_id": ids[category], "score": score, "segmentations": list(map(_rle, columns))}
        for video, category, score, columns in results
    ]
    return ground_truth, found


def _rle(columns: Columns) -> dict[str, Any] | None:
    if columns is None:
        return None
    first, end = columns
    counts = [HEIGHT * first, HEIGHT * (end - first), HEIGHT * (WIDTH - end)]
    return {"size": [HEIGHT, WIDTH], "counts": counts}
