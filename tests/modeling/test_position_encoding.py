# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np
import torch

from ifc.modeling.position_encoding import sine_position


def brute_force(valid: np.ndarray, dim: int) -> np.ndarray:
    """The formula of one cell and one feature after the other, in float64."""
    num_frames, height, width = valid.shape
    result = np.zeros((num_frames, dim, height, width))
    for n, y, x, i in np.ndindex(num_frames, height, width, dim // 2):
        for axis, (count, total) in enumerate(
            [(valid[n, : y + 1, x].sum(), valid[n, :, x].sum()), (valid[n, y, : x + 1].sum(), valid[n, y].sum())]
        ):
            angle = 2 * math.pi * count / (total + 1e-6) / 10000 ** (2 * (i // 2) / (dim / 2))
            result[n, axis * dim // 2 + i, y, x] = math.cos(angle) if i % 2 else math.sin(angle)
    return result


def test_matches_the_formula_with_and_without_padding():
    valid = np.ones((3, 4, 5), dtype=bool)
    valid[1, 3:] = False
    valid[1, :, 2:] = False
    valid[2, :, 4:] = False
    np.testing.assert_allclose(sine_position(torch.from_numpy(valid), 8), brute_force(valid, 8), atol=1e-5)
