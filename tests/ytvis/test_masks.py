# SPDX-License-Identifier: Apache-2.0
"""Segmentations in all their forms, and what is wrong with them, against pycocotools."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_utils

from ifc.ytvis.masks import MAX_OUTLINE, outline, read_masks, require_masks, to_segmentation

SIZE = (24, 40)
EYE = mask_utils.encode(np.asfortranarray(np.eye(*SIZE), dtype=np.uint8))


def test_all_forms_give_the_same_mask():
    mask = np.zeros(SIZE, dtype=np.uint8)
    mask[8:16, 4:12] = 1
    compressed = mask_utils.encode(np.asfortranarray(mask))
    values = mask.flatten(order="F")
    runs = np.diff([0, *(np.flatnonzero(np.diff(values)) + 1), values.size]).tolist()
    segmentations = [
        compressed,
        to_segmentation(compressed),
        {"size": SIZE, "counts": runs},
        [[4, 8, 8, 8, 8, 16, 4, 16], [8, 8, 12, 8, 12, 16, 8, 16]],
        None,
        [],
    ]
    masks, areas, errors = read_masks(segmentations, SIZE)
    assert masks == [compressed] * 4 + [None] * 2
    assert areas.tolist() == [64] * 4 + [0] * 2
    assert not errors


def test_polygons_are_checked_without_being_filled():
    masks, _, errors = read_masks([[[0, 0, 5, 0, 5, 5]], [[0, 0, 5, 0]], EYE], SIZE, fill=False)
    assert masks == [None, None, EYE]
    assert list(errors) == [1]


@pytest.mark.parametrize("counts", ["PPPl", "\x00", " 0", "é0", "PPPPPPPPPPPPPPPPPPP0", "QOO", "0", b"\xff"])
def test_an_error_of_one_among_others(counts):
    masks, areas, errors = read_masks([EYE, {"size": [*SIZE], "counts": counts}, EYE], SIZE)
    assert masks == [EYE, None, EYE] and areas.tolist() == [24, 0, 24]
    assert list(errors) == [1] and errors[1].field == ".counts"
    with pytest.raises(ValueError, match=r"^here\.counts: found .*, expected 960"):
        require_masks([EYE, {"size": [*SIZE], "counts": counts}], SIZE, "here")


def test_runs_as_long_as_they_get():
    """A run of 2**32 - 1 pixels, the longest that pycocotools writes."""
    runs = [5, 3, 2**32 - 1, 7, 2**32 - 10, 1, 1]
    rle = mask_utils.frPyObjects({"size": [2**16, 2**18], "counts": runs}, 2**16, 2**18)
    errors = read_masks([{"size": [*SIZE], "counts": rle["counts"]}], SIZE).errors
    assert str(sum(runs)) in errors[0].found


def test_runs_of_no_pixels_are_taken_out():
    (mask,), areas, _ = read_masks([{"size": [*SIZE], "counts": [0, 5, 0, 5, 950]}], SIZE)
    assert mask["counts"] == mask_utils.frPyObjects({"size": [*SIZE], "counts": [0, 10, 950]}, *SIZE)["counts"]
    assert areas.tolist() == [10]


@settings(max_examples=200)
@given(place=st.integers(0, 10**6), value=st.integers(0, 255))
@example(place=1, value=48)
def test_a_damaged_rle_is_refused_or_a_whole_mask(place, value):
    """Whatever byte is changed; what is taken pycocotools decodes to the same."""
    damaged = bytearray(EYE["counts"])
    damaged[place % len(damaged)] = value
    (mask,), areas, errors = read_masks([{"size": [*SIZE], "counts": bytes(damaged)}], SIZE)
    assert (mask is None) == (0 in errors)
    if mask is not None:
        assert mask_utils.decode(mask).sum() == areas[0]


RLES = st.text(st.characters(min_codepoint=46, max_codepoint=113), max_size=8) | st.lists(
    st.integers(-2, 7), max_size=4
)
POLYGONS = st.lists(st.lists(st.floats(-9, 9) | st.integers(-9, 9), max_size=8), max_size=2)
SEGMENTATIONS = st.none() | POLYGONS | RLES.map(lambda counts: {"size": [2, 3], "counts": counts})


@given(st.lists(SEGMENTATIONS, max_size=5))
def test_many_together_are_read_as_each_alone(segmentations):
    masks, areas, errors = read_masks(segmentations, (2, 3))
    for index, segmentation in enumerate(segmentations):
        (mask,), area, error = read_masks([segmentation], (2, 3))
        assert (mask, area[0], str(error.get(0))) == (masks[index], areas[index], str(errors.get(index)))
        if mask is not None:
            assert mask_utils.decode(mask).sum() == area[0]


def test_the_longest_outline():
    zigzag = [coordinate for y in range(500) for coordinate in (0, 2 * y, 1024, 2 * y)]
    assert outline([zigzag]) < MAX_OUTLINE
    assert not read_masks([[zigzag]], (1024, 1024)).errors
    assert f"at most {MAX_OUTLINE}" in str(read_masks([[zigzag] * 2], (1024, 1024)).errors[0])
