# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_backbone

from ifc.modeling import FrameFeatures, IfcNetwork, LayerSettings, Transformer
from ifc.modeling.network import padding_mask


def narrow_backbone(features: list[str]):
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.RESNETS.OUT_FEATURES = features
    cfg.MODEL.RESNETS.STEM_OUT_CHANNELS = 8
    cfg.MODEL.RESNETS.WIDTH_PER_GROUP = 8
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 16
    return build_backbone(cfg)


LAYERS = LayerSettings(dim=32, num_heads=4, dim_feedforward=64, dropout=0.1, pre_norm=False)


def make_network(features: list[str]) -> IfcNetwork:
    torch.manual_seed(0)
    transformer = Transformer(LAYERS, enc_layers=2, dec_layers=2, num_memory=3)
    return IfcNetwork(narrow_backbone(features), transformer, num_classes=5, num_queries=7).eval()


@pytest.fixture(scope="module")
def network() -> IfcNetwork:
    return make_network(["res2", "res3", "res4", "res5"])


@pytest.mark.parametrize("size", [(32, 32), (70, 110)])
def test_shapes(network, size):
    with torch.no_grad():
        prediction = network.predict_clips(network.encode_frames(torch.rand(6, 3, *size)), num_frames=3)
    assert prediction.pred_logits.shape == (2, 7, 6)
    assert prediction.pred_masks.shape == (2, 7, 3, -(-size[0] // 8), -(-size[1] // 8))


def test_queries_are_what_the_logits_are_made_of_and_the_last_ones_the_embeddings(network):
    network.train()
    with torch.no_grad():
        layers = network(torch.rand(4, 3, 32, 32), None, 2)
        network.eval()
        features = network.encode_frames(torch.rand(4, 3, 32, 32))
        last, prediction = network.predict_layers(features, 2), network.predict_clips(features, 2)
        assert layers.queries.shape == (2, 2, 7, 32)
        torch.testing.assert_close(network.class_embed(layers.queries), layers.pred_logits)
        torch.testing.assert_close(layers.last().queries, layers.queries[1:])
        torch.testing.assert_close(prediction.embeddings, last.queries[0])
    assert prediction[1:].embeddings.shape == (1, 7, 32) and prediction[1:].pred_masks.shape[:2] == (1, 7)


def test_windows_may_share_the_features_of_their_frames(network):
    frames = torch.rand(5, 3, 64, 96)
    with torch.no_grad():
        features = FrameFeatures.cat([network.encode_frames(frames[:2]), network.encode_frames(frames[2:])])
        shared = network.predict_clips(features[1:4], num_frames=3)
        alone = network.predict_clips(network.encode_frames(frames[1:4]), num_frames=3)
    assert len(features) == 5
    torch.testing.assert_close(shared.pred_logits, alone.pred_logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(shared.pred_masks, alone.pred_masks, atol=1e-4, rtol=1e-4)


def test_slices_are_views(network):
    with torch.no_grad():
        features = network.encode_frames(torch.rand(3, 3, 32, 32))
    assert features[1:].tokens.data_ptr() == features.tokens[1:].data_ptr()


def test_padding_is_masked_and_memory_tokens_are_not(network):
    frames = torch.zeros(1, 3, 64, 128)
    frames[..., :64] = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        padded = network.encode_frames(frames, [(64, 64)])
        whole = network.encode_frames(frames, None)
        assert padded.key_padding[0, : 2 * 4].view(2, 4).tolist() == [[False, False, True, True]] * 2
        assert not padded.key_padding[0, 8:].any()  # memory tokens are never padding
        assert whole.key_padding is None
        assert not torch.allclose(
            network.predict_clips(padded, 1).pred_logits, network.predict_clips(whole, 1).pred_logits, atol=1e-4
        )


def test_padding_mask_is_true_outside_each_frame():
    sizes = [(70, 100), (64, 128), (33, 31)]
    mask = padding_mask(sizes, 32, (3, 4), torch.device("cpu")).numpy()
    for frame, (height, width) in zip(mask, sizes, strict=True):
        for y, x in np.ndindex(frame.shape):
            assert frame[y, x] == (y * 32 >= height or x * 32 >= width)


def test_no_mask_where_nothing_is_padded():
    assert padding_mask([(70, 100), (65, 97)], 32, (3, 4), torch.device("cpu")) is None


def test_missing_feature_is_named():
    with pytest.raises(ValueError, match="MODEL.RESNETS.OUT_FEATURES: expected res3, .*found .*res4"):
        make_network(["res4", "res5"])
