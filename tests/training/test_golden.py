# SPDX-License-Identifier: Apache-2.0
"""One training step against the original implementation."""

import json

import numpy as np
import pytest
import torch
from golden.models import golden_batch, golden_model, golden_opts, load

from ifc.training import clip_target


@pytest.fixture(scope="module", params=["train_r50", "train_coco"])
def step(request):
    """(golden arrays, model after backward, batch, losses, logged metrics)."""
    golden = load(request.param)
    model = golden_model(golden_opts(golden)).train()
    batch = golden_batch(golden)
    losses = model(batch)
    sum(losses.values()).backward()
    return golden, model, batch, losses, dict(model.metrics)


def test_losses_and_metrics(step):
    golden, _, _, losses, metrics = step
    expected = json.loads(str(golden["losses"]))
    assert {name for name in expected if name.startswith("loss")} == set(losses)
    found = {name: value.item() for name, value in (losses | metrics).items()}
    assert found == pytest.approx(expected, rel=1e-4)
    assert sum(loss.item() for loss in losses.values()) == pytest.approx(float(golden["total"]), rel=1e-4)


def test_gradients(step):
    golden, model, *_ = step
    parameters = dict(model.named_parameters())
    expected = json.loads(str(golden["grad_norms"]))
    assert {name: parameters[name].grad.norm().item() for name in expected} == pytest.approx(expected, rel=1e-3)


def test_targets_predictions_and_matching(step):
    golden, model, batch, *_ = step
    with torch.no_grad():
        layers, images = model._predict_layers(batch)
    np.testing.assert_allclose(layers[-1].pred_logits, golden["pred_logits"], atol=1e-4)
    np.testing.assert_allclose(layers[-1].pred_masks, golden["pred_masks"], atol=1e-4)
    np.testing.assert_allclose(layers[0].pred_logits, golden["aux0_logits"], atol=1e-4)

    padded_size = tuple(images.tensor.shape[-2:])
    targets = [clip_target(clip["instances"], padded_size, 4, 4, torch.device("cpu")) for clip in batch]
    matches = model.criterion.matcher(layers[-1].pred_logits, layers[-1].pred_masks, targets)
    for b, (target, (queries, instances)) in enumerate(zip(targets, matches, strict=True)):
        assert target.labels.tolist() == golden[f"target_labels{b}"].tolist()
        np.testing.assert_allclose(target.masks.sum((2, 3)), golden[f"target_masks_sum{b}"], atol=1e-4)
        assert queries.tolist() == golden[f"match_src{b}"].tolist()
        assert instances.tolist() == golden[f"match_tgt{b}"].tolist()
