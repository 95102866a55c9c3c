# SPDX-License-Identifier: Apache-2.0
"""Segmentations in all their forms: faults, and masks of any part and size."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_util

from ifc.data.clip_masks import find_fault, read_masks

ALL_ROWS, ALL_COLS = np.arange(24), np.arange(40)


def encode(mask):
    return mask_util.encode(np.asfortranarray(mask))["counts"]


def test_segmentations_without_fault():
    counts = encode(np.eye(24, 40, dtype=np.uint8))
    segmentations = [
        {"size": [24, 40], "counts": counts.decode()},
        None,
        {"size": (24, 40), "counts": counts},
        {"size": [24, 40], "counts": [0, 960]},
        [[0, 0, 5.5, 0, 5, 5], [7, 7, 9, 7, 9, 9, 7, 9]],
        [],
    ]
    assert find_fault(segmentations, 24, 40) is None
    assert find_fault([], 24, 40) is None


@st.composite
def masks(draw, largest):
    height, width = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    density = draw(st.sampled_from([0, 0.001, 0.03, 0.5, 1]))
    generator = np.random.default_rng(draw(st.integers(0, 999)))
    return (generator.random((height, width)) < density).astype(np.uint8)


@pytest.mark.parametrize("text", ["PPPl", "\x00", " 0", "é0", "PPPPPPPPPPPPPPPPPPP0", "QOO"])
def test_fault_of_one_among_others(text):
    good = {"size": [24, 40], "counts": encode(np.eye(24, 40, dtype=np.uint8))}
    index, fault = find_fault([good, {"size": [24, 40], "counts": text}, good], 24, 40)
    assert index == 1
    assert fault == "found an RLE with counts that are no RLE, expected 960, height times width"


def test_pixels_of_runs_as_long_as_they_get():
    """A run of 2**32 - 1 pixels, the longest that pycocotools writes."""
    runs = [5, 3, 2**32 - 1, 7, 2**32 - 10, 1, 1]
    rle = mask_util.frPyObjects({"size": [2**16, 2**18], "counts": runs}, 2**16, 2**18)
    fault = find_fault([{"size": [24, 40], "counts": rle["counts"]}], 24, 40)
    assert fault == (0, f"found an RLE with counts that add up to {sum(runs)}, expected 960, height times width")


@settings(max_examples=200)
@given(place=st.integers(0, 10**6), value=st.integers(0, 255))
@example(place=1, value=48)
def test_a_damaged_rle_is_found_or_a_whole_mask(place, value):
    """Whatever byte is changed; both of our readers agree, and what they take pycocotools decodes to the same."""
    damaged = bytearray(encode(np.eye(24, 40, dtype=np.uint8)))
    damaged[place % len(damaged)] = value
    segmentation = {"size": [24, 40], "counts": bytes(damaged)}
    if find_fault([segmentation], 24, 40) is None:
        picked = read_masks([segmentation], (24, 40), "here").pick(ALL_ROWS, ALL_COLS)[0]
        np.testing.assert_array_equal(picked, mask_util.decode(segmentation))
    else:
        with pytest.raises(ValueError, match="here: found an RLE"):
            read_masks([segmentation], (24, 40), "here")


# Reading


def test_all_forms_of_a_segmentation_give_the_same_mask():
    mask = np.zeros((24, 40), dtype=np.uint8)
    mask[8:16, 4:12] = 1
    compressed = mask_util.encode(np.asfortranarray(mask))
    text = {"size": [24, 40], "counts": compressed["counts"].decode()}
    values = mask.flatten(order="F")
    changes = np.flatnonzero(np.diff(values)) + 1
    uncompressed = {"size": [24, 40], "counts": np.diff([0, *changes, values.size]).tolist()}
    polygons = [[4, 8, 8, 8, 8, 16, 4, 16], [8, 8, 12, 8, 12, 16, 8, 16]]
    masks = read_masks([compressed, text, uncompressed, polygons], (24, 40), "here")
    assert len(masks) == 4
    for read in masks.pick(ALL_ROWS, ALL_COLS):
        np.testing.assert_array_equal(read, mask)


def test_no_segmentation():
    masks = read_masks([], (24, 40), "here")
    assert len(masks) == 0
    assert masks.pick(ALL_ROWS, ALL_COLS).shape == (0, 24, 40)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [24, 40], "counts": "0"}, "here: found an RLE with counts that add up to 0, expected 960"),
        ({"size": [24, 41], "counts": "PPPl0"}, r"here: found an RLE of size \[24, 41\], expected \[24, 40\]"),
        ({"size": [24, 40], "counts": [1, 2]}, "here: found an RLE with counts that add up to 3, expected 960"),
        ({"size": [24, 40], "counts": "PP\ud800"}, "here: found an RLE with counts that are no RLE"),
        ([[1, 2, 3, 4]], "here: found a polygon .* at least three points"),
    ],
)
def test_segmentations_that_do_not_fit(segmentation, message):
    with pytest.raises(ValueError, match=message):
        read_masks([{"size": [24, 40], "counts": [960]}, segmentation], (24, 40), "here")


@st.composite
def lines(draw, length):
    """Indices below `length` as crops, nearest-neighbor resizes and flips leave them."""
    picked = draw(st.lists(st.integers(0, length - 1), min_size=1, max_size=2 * length).map(sorted))
    return np.array(picked[::-1] if draw(st.booleans()) else picked)


@settings(max_examples=200)
@given(data=st.data(), drawn=masks(largest=20), num_masks=st.integers(1, 4))
def test_picked_rows_and_columns(data, drawn, num_masks):
    height, width = drawn.shape
    stack = np.stack([np.roll(drawn, shift, axis=1) for shift in range(num_masks)])
    rows, cols = data.draw(lines(height)), data.draw(lines(width))
    read = read_masks([{"size": [height, width], "counts": encode(mask)} for mask in stack], (height, width), "here")
    picked = read.pick(rows, cols)
    assert picked.dtype == np.uint8 and picked.flags.c_contiguous
    np.testing.assert_array_equal(picked, stack[:, rows][:, :, cols])
    first = data.draw(st.integers(0, num_masks))
    last = data.draw(st.integers(first, num_masks))
    part = read.part(first, last)
    assert len(part) == last - first
    np.testing.assert_array_equal(part.pick(rows, cols), picked[first:last])
