# SPDX-License-Identifier: Apache-2.0
"""Run lengths of compressed masks against pycocotools, and against anything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as mask_utils

from ifc.ytvis.rle import as_bytes, decode


def encode(mask):
    return mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]


def from_runs(runs):
    return mask_utils.frPyObjects({"size": [1, sum(runs)], "counts": runs}, 1, sum(runs))["counts"]


@st.composite
def masks(draw, largest=300):
    height, width = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    density = draw(st.sampled_from([0, 0.001, 0.03, 0.5, 1]))
    generator = np.random.default_rng(draw(st.integers(0, 999)))
    return generator.random((height, width)) < density


@given(st.lists(masks(), min_size=1, max_size=5))
def test_runs_are_those_of_the_masks(drawn):
    runs = decode([encode(mask) for mask in drawn])
    assert len(runs) == len(drawn)
    assert runs.totals().tolist() == [mask.size for mask in drawn]
    assert runs.areas().tolist() == [mask.sum() for mask in drawn]
    assert not runs.have_empty().any()
    for index, mask in enumerate(drawn):
        inside = np.arange(len(runs.of(index))) % 2 == 1
        np.testing.assert_array_equal(np.repeat(inside, runs.of(index)).reshape(mask.shape, order="F"), mask)
    inside = np.arange(len(runs.lengths)) % 2 == 0
    stack = np.concatenate([mask.ravel(order="F") for mask in drawn])
    np.testing.assert_array_equal(np.repeat(inside, runs.lengths), stack)
    assert (runs.starts % 2 == 0).all()


@given(st.lists(st.lists(st.sampled_from([0, 0, 1, 5, 2**20]), min_size=1, max_size=7), min_size=1, max_size=5))
def test_runs_of_no_pixels_are_kept_and_found(several):
    runs = decode([from_runs(lengths) for lengths in several])
    assert [runs.of(index).tolist() for index in range(len(runs))] == several
    assert runs.areas().tolist() == [sum(lengths[1::2]) for lengths in several]
    assert runs.have_empty().tolist() == [0 in lengths[1:] for lengths in several]


def test_runs_as_long_as_they_get():
    """Runs of 2**32 - 1 pixels, the longest that pycocotools writes, after short ones."""
    lengths = [5, 3, 2**32 - 1, 7, 2**32 - 10, 1, 1]
    assert decode([from_runs(lengths)]).of(0).tolist() == lengths


@pytest.mark.parametrize(
    "string",
    [
        b"",
        b"PPPl",  # ends inside a number
        b"\x00",
        b" 0",
        "é0".encode(),
        b"PPPPPPPPPPPPPPPPPPP0",  # a number of 20 digits
        b"QOO",  # lengths below 0
        as_bytes("\ud800"),
    ],
)
def test_what_is_no_mask(string):
    good = encode(np.eye(24, 40))
    assert decode([good]) is not None
    assert decode([string]) is None
    assert decode([good, string, good]) is None


@given(st.lists(st.one_of(st.binary(max_size=30), st.text("01OPQo2", max_size=9).map(str.encode)), min_size=1))
def test_any_strings_give_lengths_or_nothing(strings):
    runs = decode(strings)
    assert (runs is None) == any(decode([string]) is None for string in strings)
    if runs is not None:
        assert runs.lengths.min() >= 0
        for index, string in enumerate(strings):
            assert runs.of(index).tolist() == decode([string]).of(0).tolist()
