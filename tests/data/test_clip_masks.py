# SPDX-License-Identifier: Apache-2.0
"""Masks of any part and size, from their run lengths."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_util

from ifc.data.clip_masks import run_length_masks

ALL_ROWS, ALL_COLS = np.arange(24), np.arange(40)


def encode(mask):
    return mask_util.encode(np.asfortranarray(mask))["counts"]


@st.composite
def masks(draw, largest):
    height, width = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    density = draw(st.sampled_from([0, 0.001, 0.03, 0.5, 1]))
    generator = np.random.default_rng(draw(st.integers(0, 999)))
    return (generator.random((height, width)) < density).astype(np.uint8)


def test_no_segmentation():
    masks = run_length_masks([], (24, 40))
    assert len(masks) == 0
    assert masks.pick(ALL_ROWS, ALL_COLS).shape == (0, 24, 40)


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
    read = run_length_masks([{"size": [height, width], "counts": encode(mask)} for mask in stack], (height, width))
    picked = read.pick(rows, cols)
    assert picked.dtype == np.uint8 and picked.flags.c_contiguous
    np.testing.assert_array_equal(picked, stack[:, rows][:, :, cols])
    first = data.draw(st.integers(0, num_masks))
    last = data.draw(st.integers(first, num_masks))
    part = read.part(first, last)
    assert len(part) == last - first
    np.testing.assert_array_equal(part.pick(rows, cols), picked[first:last])
