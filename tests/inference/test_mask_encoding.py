# SPDX-License-Identifier: Apache-2.0
"""Mask logits → RLE: the masks of F.interpolate, the bytes of pycocotools."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from torch import Tensor

from ifc.inference import mask_encoding as run_lengths
from ifc.inference.mask_encoding import encode_masks
from ifc.ytvis.masks import Rle

# Below this, a resized logit's sign is F.interpolate's rounding.
ROUNDING = 1e-6


def interpolate(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """(n, h, w) → (n, height, width), float32."""
    return F.interpolate(logits.float()[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def encode(mask: Tensor | np.ndarray) -> Rle | None:
    """pycocotools' RLE of a (height, width) mask."""
    counts = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode("ascii")
    return {"size": list(mask.shape), "counts": counts} if mask.any() else None


def encode_frame(mask_logits: Tensor, size: tuple[int, int]) -> list[Rle | None]:
    return encode_masks([mask_logits], size)[0]


def decode(rle: Rle | None, size: tuple[int, int]) -> np.ndarray:
    return np.zeros(size, dtype=bool) if rle is None else coco_mask.decode(rle).astype(bool)


def assert_encoded(rles: list[Rle | None], logits: Tensor, size: tuple[int, int]) -> None:
    resized = interpolate(logits, size).numpy()
    assert len(rles) == len(resized)
    for rle, expected in zip(rles, resized, strict=True):
        mask = decode(rle, size)
        assert rle == encode(mask)
        differs = mask != (expected > 0)
        assert np.abs(expected[differs]).max(initial=0) < ROUNDING


def blobs(count: int, h: int, w: int, seed: int = 0) -> Tensor:
    """Logits of wavy ellipses, some of which leave the frame."""
    generator = torch.Generator().manual_seed(seed)
    center_y, center_x, radius_y, radius_x = torch.rand(4, count, 1, 1, generator=generator)
    y = ((torch.arange(h)[:, None] + 0.5) / h - center_y) / (0.05 + 0.5 * radius_y)
    x = ((torch.arange(w) + 0.5) / w - center_x) / (0.05 + 0.5 * radius_x)
    return 8 * (1 + 0.2 * torch.sin(5 * torch.atan2(y, x)) - torch.hypot(y, x))


@pytest.mark.parametrize("size", [(72, 128), (71, 125), (9, 16), (7, 11), (200, 3), (1, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_blobs(size, dtype):
    """Enlarged, as they are, made smaller; whatever their type, resized in float32."""
    logits = blobs(12, 9, 16).to(dtype)
    rles = encode_frame(logits, size)
    assert_encoded(rles, logits, size)
    assert rles == [encode(mask) for mask in interpolate(logits, size) > 0]


@given(
    input_size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    output_size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    levels=st.sampled_from([2, 3, 5, 1000]),
    seed=st.integers(0, 2**32 - 1),
)
def test_noise_of_any_size(input_size, output_size, levels, seed):
    """Of few levels, so that interpolation gives zeros: they are outside."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(levels, (3, *input_size), generator=generator) * 2.0 - (levels - 1)
    assert_encoded(encode_frame(logits, output_size), logits, output_size)


def test_checkerboard():
    """Every cell has a border."""
    board = 1.0 - 2 * (torch.arange(8)[:, None] + torch.arange(8)).remainder(2)
    logits = torch.stack([board, -board])
    for size in [(8, 8), (64, 64)]:
        assert encode_frame(logits, size) == [encode(mask) for mask in interpolate(logits, size) > 0]


def test_zero_is_outside():
    """Rows enlarged twice are -1, 0, 2, 3 and 1, 0, -2, -3."""
    logits = torch.tensor([[[-1.0], [3.0]], [[1.0], [-3.0]]])
    enters, leaves = encode_frame(logits, (4, 1))
    assert enters == encode(np.array([[0], [0], [1], [1]]))
    assert leaves == encode(np.array([[1], [0], [0], [0]]))


def test_large_masks():
    """Where F.interpolate reads a pixel is float32's: exactly so, or borders of the last rows would be elsewhere."""
    logits = torch.randint(-2, 3, (2, 90, 160), generator=torch.Generator().manual_seed(0)).float()
    assert_encoded(encode_frame(logits, (1080, 1920)), logits, (1080, 1920))


def test_empty_and_full_masks():
    logits = torch.stack([torch.ones(2, 3), torch.zeros(2, 3), -torch.ones(2, 3), torch.ones(2, 3)])
    full, zero, negative, second_full = encode_frame(logits, (4, 6))
    assert full == second_full == encode(np.ones((4, 6)))
    assert zero is None and negative is None


def test_a_mask_that_resizing_empties():
    """A single row between two rows of the output: both of its borders are there, and cancel."""
    logits = -torch.ones(1, 9, 2)
    logits[:, 2] = 1
    assert encode_frame(logits, (3, 2)) == [encode(mask) for mask in interpolate(logits, (3, 2)) > 0] == [None]


@pytest.mark.parametrize("edges", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_masks_at_the_first_and_the_last_pixel(edges):
    logits = -torch.ones(2, 3, 4)
    logits[:, 0, 0], logits[:, -1, -1] = (2.0 * edge - 1 for edge in edges)
    rles = encode_frame(logits, (12, 16))
    assert rles == [encode(mask) for mask in interpolate(logits, (12, 16)) > 0]


@pytest.mark.parametrize("input_size", [(1, 1), (1, 5), (5, 1)])
@pytest.mark.parametrize("output_size", [(1, 1), (1, 7), (7, 1), (6, 9)])
def test_single_rows_and_columns(input_size, output_size):
    logits = torch.randn(4, *input_size, generator=torch.Generator().manual_seed(0))
    assert encode_frame(logits, output_size) == [encode(mask) for mask in interpolate(logits, output_size) > 0]


def test_long_runs():
    """More than a million pixels each: five characters."""
    logits = torch.tensor([[[1.0, -1.0, 1.0]], [[-1.0, 1.0, -1.0]]])
    assert encode_frame(logits, (1500, 2000)) == [encode(mask) for mask in interpolate(logits, (1500, 2000)) > 0]


def test_more_masks_than_int32_has_pixels_for():
    """Pixels are counted through all masks: 2 ** 31 is the 8th mask's."""
    logits = -torch.ones(9, 1, 2)
    logits[-1, 0, 1] = 1
    *empty, last = encode_frame(logits, (16384, 16384))
    assert empty == [None] * 8
    halves = coco_mask.frPyObjects({"size": [16384, 16384], "counts": [2**27, 2**27]}, 16384, 16384)
    assert last["counts"].encode() == halves["counts"]


def test_values_that_are_no_numbers():
    """A pixel with a part of NaN or -inf is outside, with a part of inf inside."""
    logits = torch.ones(3, 4, 4)
    logits[0, 1, 1], logits[1, 1, 1] = float("nan"), float("-inf")
    logits[2] = -1
    logits[2, 1, 1] = float("inf")
    around = torch.zeros(32, 32, dtype=torch.bool)
    around[4:20, 4:20] = True  # nearer than a cell to (1, 1)
    assert encode_frame(logits, (32, 32)) == [encode(mask) for mask in (~around, ~around, around)]
    assert encode_frame(torch.full((2, 3, 3), float("nan")), (6, 6)) == [None, None]


def test_frames_are_those_one_by_one():
    frames = [blobs(count, 9, 16, seed) for seed, count in enumerate([3, 0, 1, 12])]
    rles = encode_masks(frames, (72, 128))
    assert [len(of_frame) for of_frame in rles] == [3, 0, 1, 12]
    assert rles == [encode_frame(frame, (72, 128)) for frame in frames]


def test_no_masks():
    assert encode_masks([], (4, 6)) == []
    assert encode_masks([torch.zeros(0, 2, 3)] * 2, (4, 6)) == [[], []]
    assert encode_frame(torch.zeros(0, 2, 3), (4, 6)) == []


@pytest.mark.parametrize(("part_bytes", "cells_of_a_part"), [(10 * 8 * run_lengths._BYTES_PER_COLUMN, 10), (1, 1)])
def test_parts_do_not_show(monkeypatch, part_bytes, cells_of_a_part):
    logits = torch.randn(2, 5, 9, generator=torch.Generator().manual_seed(0))
    whole = encode_frame(logits, (40, 72))
    sizes = []

    def counting(values, cells, *args, work=run_lengths._borders_in_cells):
        sizes.append(len(cells))
        return work(values, cells, *args)

    monkeypatch.setattr(run_lengths, "_borders_in_cells", counting)
    monkeypatch.setattr(run_lengths, "_PART_BYTES", part_bytes)
    assert encode_frame(logits, (40, 72)) == whole
    assert len(sizes) > 1 and set(sizes[:-1]) == {cells_of_a_part}


def test_threads_are_as_before(monkeypatch):
    before = torch.get_num_threads()
    seen = []

    def failing(*_):
        seen.append(torch.get_num_threads())
        raise ZeroDivisionError

    monkeypatch.setattr(run_lengths, "_find_borders", failing)
    try:
        torch.set_num_threads(2)
        with pytest.raises(ZeroDivisionError):
            encode_frame(torch.ones(1, 2, 3), (4, 6))
        assert (*seen, torch.get_num_threads()) == (1, 2)
    finally:
        torch.set_num_threads(before)


def test_logits_are_left_alone():
    logits = torch.tensor([[[float("nan"), 1.0, -1.0]]])
    encode_frame(logits, (4, 6))
    assert torch.equal(logits.nan_to_num(), torch.tensor([[[0.0, 1.0, -1.0]]]))
