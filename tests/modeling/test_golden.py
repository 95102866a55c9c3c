# SPDX-License-Identifier: Apache-2.0
"""The network against the original implementation: parameter names, and the output for whole clips."""

import json

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from golden.models import GOLDEN, golden_config, golden_model, golden_opts, load

STATE = json.loads((GOLDEN / "state_dict.json").read_text())


@pytest.mark.parametrize("setting", sorted(STATE["state_dict"]))
def test_state_dict_has_the_published_names_and_shapes(setting):
    model = build_model(golden_config([f"{setting}.yaml"]))
    assert {name: list(value.shape) for name, value in model.state_dict().items()} == STATE["state_dict"][setting]
    if setting == "base_ytvis":
        trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        assert sorted(trainable) == sorted(STATE["trainable_base_ytvis"])


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", ["eval_r50", "eval_r101", "eval_prenorm"])
def test_clip_output(name, channels_last):
    golden = load(name)
    model = golden_model([*golden_opts(golden), "MODEL.IFC.CHANNELS_LAST", str(channels_last)]).eval()
    frames = torch.from_numpy(golden["frames"])
    with torch.no_grad():
        features, padding = model.detr.backbone[0](model.normalize(frames), [tuple(frames.shape[-2:])] * len(frames))
        encoded = model.detr.encode_frames(model.normalize(frames))
        output = model.forward_clips([{"image": list(frames)}])

    assert padding is None
    # Means of up to 300: float32 itself is as coarse as 3e-5 there, and sums in another order add to that.
    rtol = 1e-5 if channels_last else 2e-6
    np.testing.assert_allclose(features["res5"].mean((2, 3)), golden["res5_mean"], atol=1e-4, rtol=rtol)
    cells = encoded.grid_size[0] * encoded.grid_size[1]
    np.testing.assert_allclose(encoded.position[:, :cells].sum(1), golden["pos_sum"], atol=1e-4)
    # The other memory format is an option, whose convolutions round otherwise: a hundred layers make 3e-4 of it.
    atol = 1e-3 if channels_last else 1e-4
    np.testing.assert_allclose(output["pred_logits"], golden["pred_logits"], atol=atol, rtol=0)
    np.testing.assert_allclose(output["pred_masks"], golden["pred_masks"], atol=atol, rtol=0)
