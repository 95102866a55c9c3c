# SPDX-License-Identifier: Apache-2.0
"""Drawing of tracks: which ones, in which colors, and where."""

import numpy as np
import pytest
from pycocotools import mask as mask_api

from ifc.ytvis.drawing import (
    DrawingStyle,
    DrawnObject,
    DrawnTrack,
    TrackDrawer,
    default_scale,
    objects_on,
    palette_color,
    select_tracks,
)

HEIGHT, WIDTH = 360, 480
NAMES = ["cat", "dog", "earless_seal"]


def box_mask(top, left, bottom, right, height=HEIGHT, width=WIDTH):
    mask = np.zeros((height, width), np.uint8, order="F")
    mask[top:bottom, left:right] = 1
    return mask


def encoded(mask):
    return mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))


def noise_frame(height=HEIGHT, width=WIDTH):
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def draw(objects, frame, **style):
    return TrackDrawer(*frame.shape[:2], DrawingStyle(**style)).draw(frame, objects)


def draw_one(mask, frame, **style):
    return draw([DrawnObject(1, "cat 90% #1", encoded(mask))], frame, **style)


def test_select_best_class_of_each_instance():
    first, second, third = [None], [None], [None]  # equal, but three instances
    tracks = select_tracks(
        scores=[0.4, 0.5, 0.9, 0.2, 0.1],
        labels=[0, 1, 2, 0, 1],
        masks=[first, first, second, second, third],
        class_names=NAMES,
        threshold=0.3,
    )
    assert [(t.track_id, t.class_name, t.score) for t in tracks] == [(1, "earless_seal", 0.9), (2, "dog", 0.5)]
    assert tracks[0].masks is second and tracks[1].masks is first
    assert tracks[0].label == "earless_seal 90% #1"


def test_lower_threshold_keeps_the_numbers():
    scores, masks = [0.2, 0.9, 0.6, 0.4], [[None] for _ in range(4)]
    few, all_ = (select_tracks(scores, [0, 1, 2, 0], masks, NAMES, threshold) for threshold in (0.5, 0.0))
    assert all_[: len(few)] == few and len(few) == 2
    assert [t.score for t in all_] == [0.9, 0.6, 0.4, 0.2]
    assert select_tracks([0.3], [0], [[None]], NAMES, 0.3), "the threshold itself is shown"
    assert select_tracks([], [], [], NAMES, 0.3) == []


def test_only_mask_and_label_change():
    frame = noise_frame()
    before = frame.copy()
    mask = box_mask(100, 150, 220, 330)
    drawn = draw_one(mask, frame)
    np.testing.assert_array_equal(frame, before)
    assert drawn.dtype == np.uint8 and drawn.shape == frame.shape
    changed = (drawn != frame).any(axis=2)
    outside = changed & (mask == 0)
    rows, columns = np.nonzero(outside)
    assert rows.max() < 100, "the label stands on the mask's upper edge"
    assert rows.min() > 100 - 40 and columns.min() > 150 and columns.max() < 330
    assert changed[mask == 1].mean() > 0.95  # a pixel may happen to have the color already


def test_fill_is_translucent_and_outline_opaque():
    frame = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    drawn = draw_one(box_mask(100, 150, 220, 330), frame)
    color = np.array(palette_color(1))
    for row, column in [(100, 200), (219, 200), (160, 150), (160, 329)]:
        np.testing.assert_array_equal(drawn[row, column], color)
    np.testing.assert_allclose(drawn[160, 240], 0.55 * frame[160, 240] + 0.45 * color, atol=1)
    np.testing.assert_array_equal(drawn[221, 200], frame[221, 200])


FRAME, BOX = np.full((HEIGHT, WIDTH, 3), 100, np.uint8), (100, 150, 220, 330)


def changed(drawn, frame=FRAME):
    return (drawn != frame).any(axis=2)


def test_contours_alone_leave_the_inside_as_filmed():
    mask = box_mask(*BOX)
    drawn = changed(draw_one(mask, FRAME, fill=False, labels=False))
    assert drawn[100:102, 150:330].all() and drawn[100:220, 328:330].all()
    assert not drawn[104:216, 154:326].any() and not drawn[mask == 0].any()


def test_fill_alone_is_even():
    mask = box_mask(*BOX)
    drawn = draw_one(mask, FRAME, contours=False, labels=False)
    assert len(np.unique(drawn[mask == 1], axis=0)) == 1
    np.testing.assert_array_equal(changed(drawn), mask == 1)


def test_box_is_drawn_around_all_pieces():
    mask = box_mask(50, 60, 90, 100) | box_mask(250, 300, 330, 420)
    drawn = draw_one(mask, FRAME, boxes=True, labels=False, fill=False, contours=False)
    for line in (drawn[50, 60:420], drawn[329, 60:420], drawn[50:330, 60], drawn[50:330, 419]):
        assert (line == palette_color(1)).all()
    assert not changed(drawn)[55:325, 65:415].any() and not changed(drawn)[:45].any()


def test_background_is_dimmed_and_objects_are_not():
    mask = box_mask(*BOX)
    drawn = draw_one(mask, FRAME, dim_background=True, labels=False, fill=False, contours=False)
    np.testing.assert_array_equal(drawn[mask == 1], FRAME[mask == 1])
    assert (drawn[mask == 0] < 50).all()


def test_trail_follows_the_centers_and_fades():
    drawer = TrackDrawer(HEIGHT, WIDTH, DrawingStyle(trails=True, labels=False, fill=False, contours=False))
    for frame in range(60):
        x = 40 + 6 * frame
        drawn = drawer.draw(FRAME, [DrawnObject(1, "cat", encoded(box_mask(180, x - 20, 221, x + 21)))])
    rows, columns = np.nonzero(changed(drawn))
    assert abs(rows - 200).max() <= 3
    assert columns.max() == pytest.approx(x, abs=3)
    assert 100 < columns.min() < 240, "it ends"
    away = np.abs(drawn.astype(int) - 100).sum(axis=2)[200]
    assert away[x - 5] > away[x - 80] > away[x - 200] > 0


def test_who_returns_has_its_color_and_no_trail_across_its_absence():
    drawer = TrackDrawer(HEIGHT, WIDTH, DrawingStyle(trails=True, labels=False, contours=False))
    for x in (*range(50, 110, 6), *[None] * 7, *range(350, 410, 6)):
        seen = [] if x is None else [DrawnObject(7, "cat #7", encoded(box_mask(180, x - 20, 221, x + 21)))]
        drawn = drawer.draw(FRAME, seen)
        assert x is not None or not changed(drawn).any()
    inside = box_mask(180, x - 20, 221, x + 21) == 1
    alone = draw([DrawnObject(7, "cat #7", encoded(inside))], FRAME, labels=False, contours=False)
    np.testing.assert_array_equal(drawn[183, x - 18 : x + 18], alone[183, x - 18 : x + 18])
    columns = np.flatnonzero((changed(drawn) & ~inside).any(axis=0))
    assert np.isin([60, 100, 360], columns).all(), "both parts of its way"
    assert not ((columns > 108) & (columns < 346)).any()


def test_outline_runs_along_the_frame_edge_and_holes():
    mask = box_mask(0, 0, HEIGHT, WIDTH)
    mask[150:250, 200:300] = 0
    drawn = draw_one(mask, np.full((HEIGHT, WIDTH, 3), 100, np.uint8))
    color = np.array(palette_color(1))
    for row, column in [(359, 100), (200, 0), (200, 479), (149, 250), (250, 250), (200, 199), (200, 300)]:
        np.testing.assert_array_equal(drawn[row, column], color)
    np.testing.assert_array_equal(drawn[200, 250], (100, 100, 100))


@pytest.mark.parametrize("background", [0, 128, 255])
@pytest.mark.parametrize("track_id", range(24))
def test_label_is_readable_on_any_background(background, track_id):
    frame = np.full((HEIGHT, WIDTH, 3), background, np.uint8)
    mask = box_mask(100, 150, 220, 330)
    drawn = draw([DrawnObject(track_id, "cat 90%", encoded(mask))], frame)
    rows, columns = np.nonzero((drawn != frame).any(axis=2) & (mask == 0))
    label = drawn[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] / 255.0
    linear = np.where(label <= 0.04045, label / 12.92, ((label + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    contrast = (luminance.max() + 0.05) / (luminance.min() + 0.05)
    assert contrast > 4.5, "WCAG's bound for text"


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 20, 20),
        (0, 470, 360, 480),
        (350, 0, 360, 10),
        (355, 475, 360, 480),
        (0, 0, 360, 480),
        (180, 240, 181, 241),
    ],
)
def test_label_stays_within_the_frame(box):
    blank = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    drawn = draw_one(box_mask(*box), blank)
    patch = draw_one(box_mask(200, 200, 202, 202), blank)[:200]
    rows, columns = np.nonzero(patch.any(axis=2))
    patch = patch[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    windows = np.lib.stride_tricks.sliding_window_view(drawn[..., 0], patch.shape[:2])
    corner = patch[..., 0]
    assert (windows[:, :, ::4, ::4] == corner[::4, ::4]).all(axis=(2, 3)).any(), "the whole label is somewhere"


def test_labels_do_not_cover_each_other():
    """Five instances at the same place still have five readable labels."""
    mask = encoded(box_mask(120, 150, 240, 330))
    blank = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    objects = [DrawnObject(number, f"cat 90% #{number}", mask) for number in range(1, 6)]
    together = draw(objects, blank)
    for each in objects:
        color = palette_color(each.track_id)
        box_pixels = (together == color).all(axis=2).sum()
        alone = draw([each], blank)[:120]
        assert box_pixels >= (alone == color).all(axis=2).sum()


@pytest.mark.parametrize("num_tracks", [2, 50])
def test_best_track_is_in_front(num_tracks):
    blank = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    mask = encoded(box_mask(100, 150, 220, 330))
    objects = [DrawnObject(number, f"cat 90% #{number}", mask) for number in range(1, num_tracks + 1)]
    drawn = draw(objects, blank)
    label = draw(objects[:1], blank)[:100]
    is_label = (label == palette_color(1)).all(axis=2)
    np.testing.assert_array_equal(drawn[:100][is_label], label[is_label])
    np.testing.assert_array_equal(draw(objects, blank, labels=False)[110, 150], palette_color(1))


def test_absent_and_empty_masks_draw_nothing():
    frame = noise_frame()
    empty = encoded(np.zeros((HEIGHT, WIDTH)))
    present = encoded(box_mask(10, 10, 200, 200))
    tracks = [DrawnTrack(1, "cat", 0.9, [None, empty, present])]
    drawer = TrackDrawer(HEIGHT, WIDTH)
    assert objects_on(tracks, 0) == []
    np.testing.assert_array_equal(drawer.draw(frame, []), frame)
    np.testing.assert_array_equal(drawer.draw(frame, objects_on(tracks, 1)), frame)
    assert (drawer.draw(frame, objects_on(tracks, 2)) != frame).any()


@pytest.mark.parametrize(
    ("height", "width", "scale"),
    [
        (128, 192, 3),
        (192, 128, 3),
        (359, 640, 2),
        (360, 640, 1),
        (720, 1280, 1),
        (1, 1, 360),
        (2, 600, 6),
        (4, 5000, 1),
    ],
)
def test_default_scale(height, width, scale):
    assert default_scale(height, width) == scale


def test_small_frames_are_enlarged():
    frame = np.full((128, 192, 3), 100, np.uint8)
    mask = box_mask(40, 60, 80, 120, 128, 192)
    drawer = TrackDrawer(128, 192)
    drawn = drawer.draw(frame, [DrawnObject(1, "cat 90%", encoded(mask))])
    assert drawn.shape == (*drawer.size, 3) == (384, 576, 3)
    changed = (drawn != 100).any(axis=2)
    np.testing.assert_array_equal(changed[120:240, 180:360], True)
    changed[120:240, 180:360] = False
    assert 0 < np.nonzero(changed)[0].max() < 120, "but for the label, nothing outside the mask"
    assert draw_one(mask, frame, scale=1).shape == (128, 192, 3)


def test_long_label_shrinks_to_a_narrow_frame():
    named = DrawnObject(12345, "a very long name of a class 50% #12345", encoded(box_mask(5, 5, 20, 20, 30, 60)))
    drawn = draw([named], np.zeros((30, 60, 3), np.uint8), scale=1)
    assert drawn.shape == (30, 60, 3)


def test_frame_of_another_size_is_an_error():
    drawer = TrackDrawer(HEIGHT, WIDTH)
    with pytest.raises(ValueError, match=r"\(48, 64\).*expected \(360, 480\)"):
        drawer.draw(np.zeros((48, 64, 3), np.uint8), [])


@pytest.mark.parametrize("mask", [encoded(box_mask(0, 0, 9, 9, 36, 48)), {"size": [360, 480], "counts": b"9"}])
def test_mask_that_does_not_fit_is_an_error(mask):
    with pytest.raises(ValueError, match="360 x 480"):
        draw([DrawnObject(1, "cat", mask)], noise_frame())


def test_frames_are_drawn_smaller():
    """As reports show them: masks keep their place and their color, also the thinnest."""
    mask, thin = box_mask(100, 160, 200, 320), box_mask(300, 40, 302, 400)
    objects = [DrawnObject(1, "cat", encoded(mask), (255, 0, 0)), DrawnObject(2, "thread", encoded(thin), (0, 0, 255))]
    drawn = TrackDrawer(HEIGHT, WIDTH, size=(90, 120)).draw(np.full((HEIGHT, WIDTH, 3), 100, np.uint8), objects)
    assert drawn.shape == (90, 120, 3)
    np.testing.assert_array_equal(drawn[25:50, 40], np.broadcast_to((255, 0, 0), (25, 3)))
    np.testing.assert_array_equal(drawn[35:50, 39], np.broadcast_to((100, 100, 100), (15, 3)))
    np.testing.assert_array_equal(drawn[75, 12:18], np.broadcast_to((0, 0, 255), (6, 3)))


@pytest.mark.parametrize("name", ["\u732b", "a\nb", "\ud800", ""])
def test_any_name_can_be_a_label(name):
    drawn = draw([DrawnObject(1, name, encoded(box_mask(*BOX)))], FRAME)
    assert changed(drawn)[:100].any()


def test_names_in_other_alphabets_are_written():
    words = ["kot", "\u043a\u043e\u0442", "\u03b3\u03ac\u03c4", "\u0142\u00f3\u015b"]
    pictures = [draw([DrawnObject(1, word, encoded(box_mask(*BOX)))], FRAME)[:100] for word in [*words, "???"]]
    assert len({picture.tobytes() for picture in pictures}) == 5
