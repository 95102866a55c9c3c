# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_backbone

from ifc.modeling import MaskedBackbone
from ifc.modeling.backbone import padding_mask


def narrow_backbone(features: list[str], depth: int = 50):
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.RESNETS.DEPTH = depth
    cfg.MODEL.RESNETS.OUT_FEATURES = features
    cfg.MODEL.RESNETS.STEM_OUT_CHANNELS = 8
    cfg.MODEL.RESNETS.WIDTH_PER_GROUP = 8
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 16
    return build_backbone(cfg)


def test_padding_mask_is_true_outside_each_frame():
    sizes = [(70, 100), (64, 128), (33, 31)]
    mask = padding_mask(sizes, 32, (3, 4), torch.device("cpu")).numpy()
    for frame, (height, width) in zip(mask, sizes, strict=True):
        for y, x in np.ndindex(frame.shape):
            assert frame[y, x] == (y * 32 >= height or x * 32 >= width)


def test_no_mask_where_nothing_is_padded():
    assert padding_mask([(70, 100), (65, 97)], 32, (3, 4), torch.device("cpu")) is None


@pytest.mark.parametrize("size", [(32, 32), (33, 65), (70, 110)])
def test_features_have_the_stated_strides_and_channels(size):
    backbone = MaskedBackbone(narrow_backbone(["res2", "res3", "res4", "res5"])).eval()
    with torch.no_grad():
        features, padding = backbone(torch.rand(2, 3, *size), [size, size])
    assert padding is None
    for name, shape in backbone.output_shape().items():
        expected = (2, shape.channels, -(-size[0] // shape.stride), -(-size[1] // shape.stride))
        assert features[name].shape == expected
    assert features["res5"].shape[1] == 128


def test_missing_feature_is_named():
    with pytest.raises(ValueError, match=r"OUT_FEATURES: expected \['res3', 'res4', 'res5'\] in it"):
        MaskedBackbone(narrow_backbone(["res4", "res5"]))
