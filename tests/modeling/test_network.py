# SPDX-License-Identifier: Apache-2.0

import pytest
import torch

from ifc.modeling import FrameFeatures, IfcNetwork, LayerSettings, Transformer

from .test_backbone import narrow_backbone


@pytest.fixture(scope="module")
def network() -> IfcNetwork:
    torch.manual_seed(0)
    layers = LayerSettings(dim=32, num_heads=4, dim_feedforward=64, dropout=0.1, pre_norm=False)
    transformer = Transformer(layers, enc_layers=2, dec_layers=2, num_memory=3)
    backbone = narrow_backbone(["res2", "res3", "res4", "res5"])
    return IfcNetwork(backbone, transformer, num_classes=5, num_queries=7).eval()


@pytest.mark.parametrize("size", [(32, 32), (70, 110)])
def test_shapes(network, size):
    with torch.no_grad():
        prediction = network.predict_clips(network.encode_frames(torch.rand(6, 3, *size)), num_frames=3)
    assert prediction.pred_logits.shape == (2, 7, 6)
    assert prediction.pred_masks.shape == (2, 7, 3, -(-size[0] // 8), -(-size[1] // 8))


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
