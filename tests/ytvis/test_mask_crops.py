# SPDX-License-Identifier: Apache-2.0
"""Masks in their own boxes are the masks."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from ifc.ytvis.drawing.mask_crops import crop_masks, resize_crop

HEIGHT, WIDTH = 23, 31


def encoded(mask):
    return coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))


def blob(rng):
    """A mask of random place and size, up to the edges of the frame, with noise or without."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    top, left = rng.integers(0, (HEIGHT, WIDTH))
    bottom, right = rng.integers((top, left), (HEIGHT, WIDTH)) + 1
    mask[top:bottom, left:right] = rng.random((bottom - top, right - left)) < rng.choice([0.1, 0.7, 1])
    return mask


def test_crops_are_the_masks_in_their_bounding_boxes():
    rng = np.random.default_rng(0)
    masks = [blob(rng) for _ in range(300)]
    crops = crop_masks([encoded(mask) for mask in masks], (HEIGHT, WIDTH))
    for mask, crop in zip(masks, crops, strict=True):
        if crop is None:
            assert not mask.any()
            continue
        whole = np.zeros((HEIGHT, WIDTH), np.uint8)
        whole[crop.slices] = crop.mask
        np.testing.assert_array_equal(whole, mask)
        assert all(edge.any() for edge in (crop.mask[0], crop.mask[-1], crop.mask[:, 0], crop.mask[:, -1]))
    assert sum(crop is None for crop in crops) < 100
    assert crop_masks([], (HEIGHT, WIDTH)) == []


@pytest.mark.parametrize("runs", [[0, 5, 0, 3], [4, 0, 2, 3, 0, 2], [23 * 31 - 1, 1], [0, 23 * 31], [23 * 31], [0, 1]])
def test_runs_of_nothing_and_at_the_ends(runs):
    counts = [*runs, HEIGHT * WIDTH - sum(runs)] if sum(runs) < HEIGHT * WIDTH else runs
    rle = coco_mask.frPyObjects({"size": [HEIGHT, WIDTH], "counts": counts}, HEIGHT, WIDTH)
    (crop,) = crop_masks([rle], (HEIGHT, WIDTH))
    whole = np.zeros((HEIGHT, WIDTH), np.uint8)
    if crop is not None:
        whole[crop.slices] = crop.mask
    np.testing.assert_array_equal(whole, coco_mask.decode(rle))


@pytest.mark.parametrize("new_size", [(5, 7), (23, 31), (46, 62), (200, 90)])
def test_resized_crops_stay_in_the_frame_and_never_vanish(new_size):
    rng = np.random.default_rng(1)
    masks = [mask for mask in (blob(rng) for _ in range(100)) if mask.any()]
    for mask, crop in zip(masks, crop_masks([encoded(mask) for mask in masks], (HEIGHT, WIDTH)), strict=True):
        resized = resize_crop(crop, (HEIGHT, WIDTH), new_size)
        whole = np.zeros(new_size, np.uint8)
        assert whole[resized.slices].shape == resized.mask.shape
        assert set(np.unique(resized.mask)) <= {0, 1} and resized.mask.any()
        whole[resized.slices] = resized.mask
        if new_size > (HEIGHT, WIDTH):  # whereas smaller ones lose their scattered pixels
            center, expected = ((np.argwhere(part).mean(axis=0) + 0.5) / part.shape for part in (whole, mask))
            np.testing.assert_allclose(center, expected, atol=0.02)
