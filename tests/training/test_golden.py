# SPDX-License-Identifier: Apache-2.0
"""One training step against the original implementation."""

import json

import numpy as np
import pytest
import torch
from golden.models import golden_batch, golden_model, golden_opts, load

from ifc.training import batch_target


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
        predictions, images = model._predict_layers(batch)
        last = predictions.clip_prediction()
    np.testing.assert_allclose(last.pred_logits, golden["pred_logits"], atol=1e-4)
    np.testing.assert_allclose(last.pred_masks, golden["pred_masks"], atol=1e-4)
    np.testing.assert_allclose(predictions.pred_logits[0], golden["aux0_logits"], atol=1e-4)

    clips, padded_size = [clip["instances"] for clip in batch], tuple(images.tensor.shape[-2:])
    target = batch_target(clips, padded_size, 4, 4, torch.device("cpu"))
    matches = model.criterion.matcher(predictions.last(), target)
    start = 0
    for b, count in enumerate(target.counts):
        rows, of_clip = slice(start, start + count), matches.clips[0] == b
        assert target.labels[rows].tolist() == golden[f"target_labels{b}"].tolist()
        np.testing.assert_allclose(target.masks[rows].sum((2, 3)), golden[f"target_masks_sum{b}"], atol=1e-4)
        assert matches.queries[0, of_clip].tolist() == golden[f"match_src{b}"].tolist()
        assert (matches.instances[0, of_clip] - start).tolist() == golden[f"match_tgt{b}"].tolist()
        start += count
