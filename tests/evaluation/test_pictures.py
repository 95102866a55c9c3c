# SPDX-License-Identifier: Apache-2.0
"""Pictures of videos with what was found in them."""

import numpy as np
import pytest
from ytvis.small import HEIGHT, WIDTH, SmallDataset, compressed, rectangle

from ifc.evaluation.pictures import spread, video_picture
from ifc.ytvis.drawing import palette_color
from ifc.ytvis.ground_truth import read_ground_truth
from ifc.ytvis.images import BadImageError
from ifc.ytvis.reports.pictures import FrameFiles, draw_objects

GAP = 8


@pytest.mark.parametrize(
    ("count", "total", "expected"),
    [(4, 10, [0, 3, 6, 9]), (4, 3, [0, 1, 2]), (1, 5, [0]), (0, 5, []), (4, 0, []), (2, 7, [0, 6])],
)
def test_spread(count, total, expected):
    assert spread(count, total) == expected


@pytest.fixture
def small(tmp_path) -> SmallDataset:
    dataset = SmallDataset(tmp_path)
    dataset.write()
    return dataset


def cells(picture: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The frames of a picture, (rows, columns, h, w, 3)."""
    height, width = ((size + GAP) // count for size, count in zip(picture.shape, (rows, columns), strict=False))
    assert picture.shape == (rows * height - GAP, columns * width - GAP, 3)
    padded = np.pad(picture, ((0, GAP), (0, GAP), (0, 0)))
    return padded.reshape(rows, height, columns, width, 3).swapaxes(1, 2)[:, :, :-GAP, :-GAP]


def test_results_above_annotations(small):
    ground_truth = read_ground_truth(small.path)
    frames = FrameFiles(ground_truth, small.image_root)
    found = [compressed(rectangle(2, 3, 10, 5)), None]
    results = [
        {"video_id": 2, "category_id": category_id, "score": score, "segmentations": masks}
        for category_id, score, masks in (
            (3, 0.25, [compressed(rectangle(20, 10, 8, 8))] * 2),  # too low to be shown
            (3, 0.5, found),
            (sorted(ground_truth.categories)[0], 0.4, found),  # the same instance, as of another class
        )
    ]
    picture = video_picture(ground_truth, frames, 2, results)
    images = [frames.read(2, frame) for frame in range(2)]
    name = ground_truth.categories[3]
    shown = cells(picture, 2, 2)
    assert shown.shape[2:4] == (round(320 * HEIGHT / WIDTH), 320)
    drawn = draw_objects(images[0], [found[0]], [f"{name} 50% #1"], width=320)
    assert (drawn == palette_color(1)).all(-1).any(), "as in an overlay"
    np.testing.assert_array_equal(shown[0, 0], drawn)
    np.testing.assert_array_equal(shown[0, 1], draw_objects(images[1], [], [], width=320))
    tracks = ground_truth.tracks[2]
    labels = [ground_truth.categories[track.category_id] for track in tracks]
    for frame, image in enumerate(images):
        annotated = draw_objects(image, [track.masks[frame] for track in tracks], labels, width=320)
        np.testing.assert_array_equal(shown[1, frame], annotated)


def test_without_annotations_there_is_one_row(small):
    del small.content["annotations"]
    small.write()
    ground_truth = read_ground_truth(small.path)
    frames = FrameFiles(ground_truth, small.image_root)
    assert cells(video_picture(ground_truth, frames, 5, []), 1, 3).shape[:2] == (1, 3)


def test_a_frame_that_cannot_be_read(small):
    ground_truth = read_ground_truth(small.path)
    frames = FrameFiles(ground_truth, small.image_root)
    (small.image_root / ground_truth.videos[2].file_names[0]).unlink()
    with pytest.raises(BadImageError):
        video_picture(ground_truth, frames, 2, [])
