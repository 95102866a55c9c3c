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


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", ["eval_r50", "eval_r101", "eval_prenorm"])
def test_clip_output(name, memory_format):
    golden = load(name)
    model = golden_model(golden_opts(golden)).eval()
    model.detr.to(memory_format=memory_format)  # in which its convolutions run
    frames = torch.from_numpy(golden["frames"])
    images = model.normalize(frames)
    with torch.no_grad():
        features = model.detr.backbone[0]["backbone"](images)
        encoded = model.detr.encode_frames(images, [tuple(frames.shape[-2:])] * len(frames))
        output = model.detr.predict_clips(encoded, len(frames))
        clip_output = model._predict_layers([{"image": list(frames)}])[0].clip_prediction()

    assert encoded.key_padding is None
    # Convolutions round otherwise in the other format, and a hundred layers make 3e-4 of it. In res5's means of up to
    # 300, float32 itself is as coarse as 3e-5.
    is_other = memory_format == torch.channels_last
    rtol, atol = (1e-5, 1e-3) if is_other else (2e-6, 1e-4)
    np.testing.assert_allclose(features["res5"].mean((2, 3)), golden["res5_mean"], atol=1e-4, rtol=rtol)
    cells = encoded.grid_size[0] * encoded.grid_size[1]
    np.testing.assert_allclose(encoded.position[:, :cells].sum(1), golden["pos_sum"], atol=1e-4)
    np.testing.assert_allclose(output.pred_logits, golden["pred_logits"], atol=atol, rtol=0)
    np.testing.assert_allclose(output.pred_masks, golden["pred_masks"], atol=atol, rtol=0)
    if not is_other:
        np.testing.assert_allclose(clip_output.pred_logits, golden["pred_logits"], atol=1e-4, rtol=0)
        np.testing.assert_allclose(clip_output.pred_masks, golden["pred_masks"], atol=1e-4, rtol=0)
