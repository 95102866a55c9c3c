# SPDX-License-Identifier: Apache-2.0
"""Inference on one image."""

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ifc.inference.image import infer_image, mask_bounds


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(0, 4), st.integers(1, 6), st.integers(1, 7))))
def test_mask_bounds(masks):
    expected = np.zeros((len(masks), 4))
    for i, mask in enumerate(masks):
        y, x = np.nonzero(mask)
        if len(x):
            expected[i] = x.min(), y.min(), x.max() + 1, y.max() + 1
    bounds = mask_bounds(torch.from_numpy(masks))
    assert bounds.dtype == torch.float32
    np.testing.assert_array_equal(bounds.numpy(), expected)


def test_boxes_masks_and_classes():
    """Stride 8, a 32×40 image padded to 40×56, an output of twice the size; the squares are 8-pixel cells."""
    cells = torch.full((5, 5, 7), -1.0)
    cells[0, 1:3, 1:4] = 1  # inside
    cells[1, 3:, 4:] = 1  # reaches into the padding
    cells[2, 4, 6] = 1  # in the padding alone
    cells[3] = 1  # "no object"
    cells[4, 0, 0] = 1
    class_logits = torch.tensor([[4.0, 0, 0], [0, 3, 0], [5, 0, 0], [0, 0, 1], [0.5, 0.4, 0.3]])
    result = infer_image(class_logits, cells, (40, 56), (32, 40), (64, 80))

    assert result.image_size == (64, 80)
    assert result.pred_classes.tolist() == [0, 1, 0]
    probs = class_logits.softmax(-1)
    torch.testing.assert_close(result.scores, torch.stack([probs[0, 0], probs[1, 1], probs[4, 0]]))

    resized = F.interpolate(cells[None], size=(40, 56), mode="bilinear", align_corners=False)[0]
    inside = (resized > 0)[:, :32, :40]
    for i, query in enumerate([0, 1, 4]):
        y, x = np.nonzero(inside[query].numpy())
        box = [2 * x.min(), 2 * y.min(), 2 * (x.max() + 1), 2 * (y.max() + 1)]
        assert result.pred_boxes.tensor[i].tolist() == box
        mask = F.interpolate(inside[query][None, None].float(), size=(64, 80), mode="bilinear")[0, 0] > 0.5
        assert result.pred_masks[i].dtype == torch.bool
        torch.testing.assert_close(result.pred_masks[i], mask)
    assert result.pred_boxes.tensor[1].tolist()[2:] == [80, 64]  # exclusive ends, cut off where the image ends


def test_boxes_stay_inside_the_output():
    """35 · (36 / 35) is more than 36 in float32."""
    result = infer_image(torch.tensor([[1.0, 0.0]]), torch.ones(1, 5, 5), (35, 35), (35, 35), (36, 36))
    assert result.pred_boxes.tensor.tolist() == [[0, 0, 36, 36]]


def test_no_valid_query():
    result = infer_image(torch.tensor([[0.0, 1.0]]), torch.ones(1, 2, 2), (16, 16), (16, 16), (10, 12))
    assert len(result) == 0
    assert result.pred_masks.shape == (0, 10, 12) and result.pred_boxes.tensor.shape == (0, 4)


def test_half_precision_masks():
    """bfloat16 logits give what their float32 values give."""
    logits, cells = torch.randn(6, 4).bfloat16(), torch.randn(6, 4, 4).bfloat16()
    half, full = (infer_image(x, y, (32, 32), (30, 32), (45, 50)) for x, y in
                  [(logits, cells), (logits.float(), cells.float())])  # fmt: skip
    assert torch.equal(half.pred_masks, full.pred_masks) and torch.equal(half.scores, full.scores)
