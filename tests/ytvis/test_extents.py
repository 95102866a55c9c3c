# SPDX-License-Identifier: Apache-2.0
"""Run-length masks against pycocotools, and against anything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as mask_utils

from ifc.ytvis.extents import draw, measure, read_runs

MASKS = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1), st.floats(0, 1)).map(
    lambda args: np.random.default_rng(args[2]).random(args[:2]) < args[3]
)


@given(st.lists(MASKS, max_size=5))
def test_agrees_with_pycocotools(masks):
    rles = [mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks]
    runs = read_runs([rle["counts"] for rle in rles])
    assert all((draw(item, *mask.shape) == mask).all() for item, mask in zip(runs, masks, strict=True))
    extent = measure(runs, [mask.shape[0] for mask in masks])
    assert extent.pixels.tolist() == [mask.size for mask in masks]
    assert extent.areas.tolist() == [mask.sum() for mask in masks]
    assert extent.boxes.tolist() == [mask_utils.toBbox(rle).tolist() for rle in rles]


def test_long_runs_and_lists_of_them():
    # Larger than pycocotools can draw: 4e9 pixels, in one run and in a list.
    large = {"size": [50_000, 80_000], "counts": [3, 3_999_999_990, 7]}
    string = mask_utils.frPyObjects(large, *large["size"])["counts"]
    runs = read_runs([string, large["counts"]])
    assert [item.tolist() for item in runs] == [large["counts"]] * 2
    assert measure(runs, [50_000] * 2).boxes.tolist() == [[0, 0, 80_000, 50_000]] * 2


@pytest.mark.parametrize(
    ("counts", "fault"),
    [
        ("", "an empty string"),
        ([], "an empty list"),
        (None, "NoneType"),
        ("\x00", "no RLE"),
        ("é", "no RLE"),
        ("\ud800", "no RLE"),
        ("1P", "no RLE"),  # ends inside a number
        ("oooooooo1", "no RLE"),  # a number of 9 digits
        ("O", "no RLE"),  # a negative length
        ("0O", "no RLE"),
        ([1, -1], "run 1 "),
        ([True], "run 0 "),
        ([2**32], "run 0 "),
        ([10**5000], "run 0 "),
        ([1.0], "run 0 "),
    ],
)
def test_says_what_is_wrong_and_keeps_the_others(counts, fault):
    good = mask_utils.encode(np.asfortranarray(np.eye(5), dtype=np.uint8))["counts"]
    before, found, after = read_runs([good, counts, good])
    assert fault in found
    assert draw(before, 5, 5).tolist() == draw(after, 5, 5).tolist() == np.eye(5, dtype=bool).tolist()


@given(
    st.lists(st.one_of(st.binary(max_size=30), st.text(alphabet=st.characters(min_codepoint=40, max_codepoint=120))))
)
def test_any_string_gives_runs_or_words(counts):
    for item, found in zip(counts, read_runs(counts), strict=True):
        if not isinstance(found, str):
            assert found.min() >= 0
            assert read_runs([item])[0].tolist() == found.tolist()
