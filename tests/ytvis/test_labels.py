# SPDX-License-Identifier: Apache-2.0
"""Where labels stand: on the largest piece of their masks, apart, within the frame, and calmly."""

import cv2
import numpy as np
import pytest

from ifc.ytvis.drawing import DrawingStyle, DrawnObject, TrackDrawer
from ifc.ytvis.drawing.labels import LabelPlacer, Wanted
from ifc.ytvis.drawing.mask_crops import Crop
from ifc.ytvis.drawing.pieces import largest_piece
from ifc.ytvis.tracked_video import encode

HEIGHT, WIDTH = 360, 480
LABEL = (20, 70)  # height, width


def disk(x, y, radius, mask=None):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8) if mask is None else mask
    return cv2.circle(mask, (round(x), round(y)), radius, 1, cv2.FILLED)


class Labels:
    """Places labels of one size for masks of whole frames."""

    def __init__(self):
        self.placer, self.pieces = LabelPlacer((HEIGHT, WIDTH)), {}

    def place(self, masks):
        self.pieces = {i: largest_piece(Crop(0, 0, mask), self.pieces.get(i)) for i, mask in masks.items()}
        boxes = self.placer.place([Wanted(i, piece, LABEL) for i, piece in self.pieces.items()])
        return dict(zip(masks, boxes, strict=True))


def place(*masks):
    return list(Labels().place(dict(enumerate(masks))).values())


def area_between(one, other):
    width, height = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
    return max(width, 0) * max(height, 0)


def require_apart_and_inside(boxes):
    for number, (left, top, right, bottom) in enumerate(boxes):
        assert 0 <= left < right <= WIDTH and 0 <= top < bottom <= HEIGHT
        assert (bottom - top, right - left) == LABEL
        assert not any(area_between(boxes[number], other) for other in boxes[:number])


def test_label_stands_on_the_largest_piece():
    mask = disk(60, 60, 12)
    disk(420, 300, 15, mask)
    disk(330, 150, 40, mask)
    ((left, top, right, bottom),) = place(mask)
    assert abs((left + right) / 2 - 330) < 5
    assert bottom == pytest.approx(110, abs=3), "the middle of all pieces is elsewhere"


def test_label_touches_a_slanted_and_a_hollow_mask():
    line, ring = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    cv2.line(line, (60, 330), (420, 60), 1, 15)
    cv2.ellipse(ring, (240, 180), (120, 120), 0, 60, 300, 1, 20)
    for mask in (line, ring):
        ((left, top, right, bottom),) = place(mask)
        around = mask[max(top - 8, 0) : bottom + 8, max(left - 8, 0) : right + 8]
        assert around.any()


@pytest.mark.parametrize("x", [0, 100, WIDTH - 1])
@pytest.mark.parametrize("y", [0, 5, 180, HEIGHT - 1])
def test_labels_at_one_place_are_apart_and_inside(x, y):
    mask = disk(x, y, 9)
    require_apart_and_inside(place(*[mask] * 40))


def test_labels_that_have_no_room_are_inside():
    boxes = place(*[disk(200, 200, 50)] * 200)
    assert min(map(min, boxes)) >= 0 and max(right for _, _, right, _ in boxes) <= WIDTH
    apart = [box for n, box in enumerate(boxes) if not any(area_between(box, other) for other in boxes[:n])]
    assert len(apart) > 80, "of 18 rows and 6 columns"


def test_label_of_a_trembling_mask_is_calm():
    """Edges that flicker by 3 pixels move the label by less than one."""
    random, labels = np.random.default_rng(0), Labels()
    corners = []
    for _ in range(60):
        x, y, radius = random.normal((240, 180, 50), 1.0)
        corners.append(labels.place({1: disk(x, y, round(radius))})[1][:2])
    moves = np.abs(np.diff(corners[10:], axis=0))
    assert moves.max() <= 2 and moves.mean() < 0.5


def test_label_keeps_up_with_its_mask():
    labels = Labels()
    for frame in range(30):
        x = 60 + 12 * frame
        left, _, right, bottom = labels.place({1: disk(x, 180, 40)})[1]
        assert abs((left + right) / 2 - x) < 12
        assert bottom == pytest.approx(140, abs=6)


def test_label_does_not_jump_between_pieces_of_one_size():
    """The larger of two pieces changes from frame to frame."""
    labels, centers = Labels(), []
    for frame in range(20):
        mask = disk(120, 200, 40 + frame % 2)
        left, _, right, _ = labels.place({1: disk(360, 200, 41 - frame % 2, mask)})[1]
        centers.append((left + right) / 2)
    assert np.ptp(centers) < 5


def test_label_does_not_jump_between_the_ends_of_a_piece():
    """The thicker end changes from frame to frame."""
    labels, centers = Labels(), []
    for frame in range(20):
        mask = cv2.line(disk(120, 200, 40 + 2 * (frame % 2)), (120, 200), (360, 200), 1, 5)
        left, _, right, _ = labels.place({1: disk(360, 200, 42 - 2 * (frame % 2), mask)})[1]
        centers.append((left + right) / 2)
    assert np.ptp(centers) < 15


def test_label_does_not_change_sides_with_every_frame():
    """Above a disk there is room for its label on every other frame only."""
    labels = Labels()
    tops = [labels.place({1: disk(240, 100 + 12 * (frame % 2), 90)})[1][1] for frame in range(60)]
    assert sum(np.abs(np.diff(tops)) > 30) <= 1


def test_label_returns_above_its_mask_when_there_has_been_room_for_a_while():
    labels = Labels()
    tops = [labels.place({1: disk(240, y, 60)})[1][1] for y in [65] * 5 + [90] * 30]
    assert tops[0] > 100 and tops[10] > 100 and tops[-1] < 30


def test_label_moves_to_a_piece_that_is_much_larger():
    labels = Labels()
    labels.place({1: disk(120, 200, 40)})
    mask = disk(120, 200, 20)
    left, _, right, _ = labels.place({1: disk(360, 200, 60, mask)})[1]
    assert abs((left + right) / 2 - 360) < 5


def test_labels_of_crossing_masks_stay_apart_and_change_sides_seldom():
    labels, before, jumps = Labels(), {}, 0
    for frame in range(100):
        x = 80 + 3.2 * frame
        masks = {1: disk(x, 180, 30), 2: disk(WIDTH - x, 185, 30), 3: disk(240, 60 + 2.4 * frame, 30)}
        places = labels.place(masks)
        require_apart_and_inside(list(places.values()))
        for i, (left, top, _, _) in places.items():
            old = before.get(i, (left, top))
            jumps += max(abs(left - old[0]), abs(top - old[1])) > 15
        before = {i: box[:2] for i, box in places.items()}
    assert jumps <= 8


def test_label_follows_a_mask_out_of_the_frame():
    labels = Labels()
    for frame in range(60):
        mask = disk(240, 120 - 4 * frame, 60)
        if mask.any():
            require_apart_and_inside(list(labels.place({1: mask}).values()))


def test_nothing_is_kept_of_tracks_that_are_long_gone():
    drawer = TrackDrawer(48, 64, DrawingStyle(scale=1, trails=True))
    frame, mask = np.zeros((48, 64, 3), np.uint8), encode(np.ones((48, 64), bool))
    for number in range(300):
        drawer.draw(frame, [DrawnObject(number, "thing", mask)])
    kept = [drawer._pieces, drawer._placer._places, drawer._trails._points]
    assert max(map(len, kept)) < 50
