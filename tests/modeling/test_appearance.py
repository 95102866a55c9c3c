# SPDX-License-Identifier: Apache-2.0

import pytest
import torch
from torch import nn

from ifc.modeling import AppearanceHead


def make_head(pools: bool) -> AppearanceHead:
    torch.manual_seed(0)
    head = AppearanceHead(6, 5, pools).double()
    if pools:
        nn.init.normal_(head.norm.weight)
        nn.init.normal_(head.norm.bias)
    return head


def random_inputs() -> list[torch.Tensor]:
    """Queries (B, Q, D), masks (B, Q, T, h, w) and pixels (B, T, D, h, w), with a query whose mask is empty."""
    torch.manual_seed(1)
    shapes = (2, 3, 6), (2, 3, 4, 5, 7), (2, 4, 6, 5, 7)
    queries, masks, pixels = (torch.randn(shape, dtype=torch.float64) for shape in shapes)
    masks *= 3
    masks[1, 2] = -1e6
    return [queries, masks, pixels]


@pytest.mark.parametrize("pools", [False, True])
def test_embeddings_are_of_the_query_and_the_mean_of_its_pixels(pools):
    head, (queries, masks, pixels) = make_head(pools), random_inputs()
    embeddings = head(queries, masks, pixels)
    assert embeddings.shape == (2, 3, 5)
    for clip in range(2):
        for query in range(3):
            known = queries[clip, query]
            if pools:
                sums, total = torch.zeros(6, dtype=torch.float64), 0.0
                for t in range(4):
                    for y in range(5):
                        for x in range(7):
                            share = 1 / (1 + torch.exp(-masks[clip, query, t, y, x]))
                            sums, total = sums + share * pixels[clip, t, :, y, x], total + share.item()
                mean = sums / max(total, 1)
                mean = (mean - mean.mean()) / (mean.var(unbiased=False) + 1e-5).sqrt()
                known = torch.cat([known, mean * head.norm.weight + head.norm.bias])
            for layer in head.mlp.layers[:-1]:
                known = (layer.weight @ known + layer.bias).clamp(min=0)
            known = head.mlp.layers[-1].weight @ known + head.mlp.layers[-1].bias
            torch.testing.assert_close(embeddings[clip, query], known / (known @ known).sqrt())


def test_gradients_reach_queries_and_pixels_but_not_the_masks():
    inputs = [x.requires_grad_() for x in random_inputs()]
    make_head(pools=True)(*inputs)[..., 0].sum().backward()
    queries, masks, pixels = (x.grad for x in inputs)
    assert queries.any() and pixels.any() and masks is None
