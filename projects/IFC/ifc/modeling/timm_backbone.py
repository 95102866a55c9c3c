# SPDX-License-Identifier: Apache-2.0
"""Any model of timm that has features at strides 4 to 32, in place of the ResNet. timm is loaded when one is built."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = {"res2": 4, "res3": 8, "res4": 16, "res5": 32}


class TimmBackbone(Backbone):
    """A timm model with `features_only` as a detectron2 backbone.

    Batch norm keeps its statistics and weights, as in detectron2's ResNets.

    Args:
        model: gives a list of features, of which four have `STRIDES`.
        freeze_at: 0: all is trained; 1: the stem, which is all before res2's stage, is not; 2 to 5: nor are the stages
            up to that of res2 to res5.
    """

    def __init__(self, model: nn.Module, freeze_at: int = 0):
        super().__init__()
        from timm.layers import freeze_batch_norm_2d

        strides, channels = model.feature_info.reduction(), model.feature_info.channels()
        if not set(STRIDES.values()) <= set(strides):
            raise ValueError(f"found features of strides {strides}, expected 4, 8, 16 and 32 among them")
        # Of several with a stride the last one, which has come through the most layers.
        self._indices = {name: max(i for i, s in enumerate(strides) if s == n) for name, n in STRIDES.items()}
        self._shapes = {name: ShapeSpec(channels=channels[i], stride=strides[i]) for name, i in self._indices.items()}
        self._channels_last = getattr(model, "output_fmt", None) == "NHWC"
        # Of Swin, which gives those, torch.compile takes no end to trace the windows where frames may be of any size.
        self._call = torch.compiler.disable(_call) if self._channels_last else _call
        self.model = freeze_batch_norm_2d(model)
        for parameter in self._first_parameters(freeze_at):
            parameter.requires_grad_(False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(N, 3, H, W), of any size → {"res2": (N, C, ceil(H / 4), ceil(W / 4)), …, "res5": at stride 32}."""
        height, width = images.shape[-2:]
        features = self._call(self.model, F.pad(images, (0, -width % 32, 0, -height % 32)))
        outputs = {}
        for name, index in self._indices.items():
            feature = features[index].permute(0, 3, 1, 2) if self._channels_last else features[index]
            outputs[name] = feature[..., : -(-height // STRIDES[name]), : -(-width // STRIDES[name])]
        return outputs

    def output_shape(self) -> dict[str, ShapeSpec]:
        return self._shapes

    def _first_parameters(self, freeze_at: int) -> list[nn.Parameter]:
        """Those that a frame passes before it leaves the stage of that number; timm registers them in that order."""
        if freeze_at == 0:
            return []
        name = list(STRIDES)[max(freeze_at, 2) - 2]
        stage = self.model.feature_info.module_name()[self._indices[name]].replace(".", "_") + "_"
        named = [(key.removeprefix("model.").replace(".", "_"), value) for key, value in self.model.named_parameters()]
        places = [place for place, (key, _) in enumerate(named) if key.startswith(stage)]
        if not places:
            raise ValueError(f"found no parameters of the stage of {name}, expected MODEL.BACKBONE.FREEZE_AT 0")
        return [value for _, value in named[: places[0] if freeze_at == 1 else places[-1] + 1]]


def _call(model: nn.Module, images: Tensor) -> list[Tensor]:
    return model(images)


@BACKBONE_REGISTRY.register()
def build_timm_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> TimmBackbone:
    """The model of `cfg.MODEL.TIMM`, frozen up to MODEL.BACKBONE.FREEZE_AT.

    Raises:
        ValueError: without timm, and for a name, arguments or features that do not fit.
    """
    name, place = cfg.MODEL.TIMM.NAME, f"MODEL.TIMM.NAME: found {cfg.MODEL.TIMM.NAME!r}"
    try:
        import timm
    except ImportError as error:
        raise ValueError(f"{place}, which takes timm: pip install -e .[timm] ({error})") from error
    if not timm.is_model(name):
        close = get_close_matches(name, timm.list_models()) or timm.list_models("swin_tiny*")
        raise ValueError(f"{place}, expected a model of timm {timm.__version__}, such as {', '.join(close)}")
    try:
        pretrained = cfg.MODEL.TIMM.PRETRAINED and not cfg.MODEL.WEIGHTS
        backbone = TimmBackbone(_create(name, pretrained, cfg.MODEL.TIMM.ARGUMENTS), cfg.MODEL.BACKBONE.FREEZE_AT)
        with torch.no_grad():
            backbone.eval()(torch.zeros(1, 3, 64, 96))  # some transformers take one size of frames only
        return backbone.train()
    except Exception as error:  # whatever the layers of all those models raise
        raise ValueError(f"{place}, MODEL.TIMM.ARGUMENTS {cfg.MODEL.TIMM.ARGUMENTS}: {error}") from error


def _create(name: str, pretrained: bool, arguments: Sequence[tuple[str, Any]]) -> nn.Module:
    from timm import create_model

    arguments = {"pretrained": pretrained, "features_only": True, **dict(arguments)}
    try:
        return create_model(name, **{"strict_img_size": False} | arguments)  # frames of any size: Swin is to be told so
    except TypeError:  # others do not know this
        return create_model(name, **arguments)
