# SPDX-License-Identifier: Apache-2.0
"""Random ground truth and results in YouTube-VIS's formats, with all that the metric has to get right.

Masks are unions of rectangles on a grid of 5 x 5 cells; with cells of 64 x 64 pixels their areas fall into all three
area ranges and on the bounds themselves (4 cells are 128 x 128 pixels, 16 are 256 x 256).
"""

import numpy as np
from hypothesis import strategies as st
from pycocotools import mask as mask_utils
from ytvis.metric.video_coco import dense_mask


@st.composite
def cases(draw):
    """A ground truth and results in YouTube-VIS's formats, of up to three videos."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    many_results = draw(st.booleans())
    cell = 1 if many_results else draw(st.sampled_from([1, 64]))
    num_categories = draw(st.integers(1, 3))
    videos = [
        {"id": int(video_id), "length": draw(st.integers(1, 3)), "height": 5 * cell, "width": 5 * cell}
        for video_id in rng.choice(100, size=draw(st.integers(1, 3)), replace=False)
    ]
    categories = [{"id": 7 * index + 2, "name": f"class {index}"} for index in range(num_categories)]
    annotations, results = [], []
    for video in videos:
        pool = [_random_rectangles(rng, video["length"]) for _ in range(4)]
        for _ in range(draw(st.integers(0, 5))):
            record = _random_track(rng, video, pool, categories, cell)
            masks = np.stack([dense_mask(mask, video["height"], video["width"]) for mask in record["segmentations"]])
            areas = (
                masks.sum(axis=(1, 2))
                if rng.random() < 0.7
                else rng.choice([0, 128**2, 128**2 + 1, 256**2], len(masks))
            )
            record["areas"] = [int(area) or None for area in areas]
            record["iscrowd"] = int(rng.random() < 0.3)
            annotations.append(record)
        num_results = int(rng.integers(101, 110)) if many_results else draw(st.integers(0, 8))
        for _ in range(num_results):
            record = _random_track(rng, video, pool, categories[:1] if many_results else categories, cell)
            record["score"] = float(rng.choice([0.0, 0.2, 0.5, 0.9]) if rng.random() < 0.6 else rng.random())
            results.append(record)
    order = rng.permutation(len(results))
    return {"videos": videos, "categories": categories, "annotations": annotations}, [results[i] for i in order]


def _random_rectangles(rng, length):
    """For each frame None or rectangles (y0, y1, x0, x1) in cells."""
    frames = []
    for _ in range(length):
        corners = [np.sort(rng.integers(0, 6, size=2)) for _ in range(4)]
        rectangles = [(*corners[0], *corners[1]), (*corners[2], *corners[3])][: rng.integers(1, 3)]
        frames.append(None if rng.random() < 0.25 else rectangles)
    return frames


def _random_track(rng, video, pool, categories, cell):
    """A track of the pool, with some frames replaced, or none at all, each mask written in one of the three kinds."""
    rectangles = list(pool[rng.integers(len(pool))])
    if rng.random() < 0.1:
        rectangles = [None] * video["length"]
    elif rng.random() < 0.5:
        rectangles[rng.integers(len(rectangles))] = _random_rectangles(rng, 1)[0]
    return {
        "video_id": video["id"],
        "category_id": categories[rng.integers(len(categories))]["id"],
        "segmentations": [None if frame is None else _write_mask(rng, frame, video, cell) for frame in rectangles],
    }


def _write_mask(rng, rectangles, video, cell):
    height, width = video["height"], video["width"]
    kind = rng.choice(["compressed", "uncompressed", "polygons"])
    scaled = [[cell * int(bound) for bound in rectangle] for rectangle in rectangles]
    if kind == "polygons":
        filled = [(y0, y1, x0, x1) for y0, y1, x0, x1 in scaled if y0 < y1 and x0 < x1]
        return [[x0, y0, x1, y0, x1, y1, x0, y1] for y0, y1, x0, x1 in filled] if filled else None
    mask = np.zeros((height, width), dtype=np.uint8, order="F")
    for y0, y1, x0, x1 in scaled:
        mask[y0:y1, x0:x1] = 1
    if kind == "compressed":
        rle = mask_utils.encode(mask)
        return {"size": [height, width], "counts": rle["counts"].decode()}
    return {"size": [height, width], "counts": _run_lengths(rng, mask)}


def _run_lengths(rng, mask):
    """Uncompressed run lengths; some with a run cut in two by an empty one, which is legal and means the same."""
    flat = mask.flatten(order="F")
    borders = np.flatnonzero(np.diff(flat, prepend=0))
    runs = np.diff(borders, prepend=0, append=flat.size).tolist()
    if rng.random() < 0.5:
        cut = rng.integers(len(runs))
        part = int(rng.integers(0, runs[cut] + 1))
        runs[cut : cut + 1] = [part, 0, runs[cut] - part]
    return runs
