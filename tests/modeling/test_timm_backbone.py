# SPDX-License-Identifier: Apache-2.0
"""Models of timm in place of the ResNet: features, freezing, training, inference, and what is no backbone."""

import sys

import pytest
import timm
import torch
from detectron2.modeling import build_backbone, build_model
from test_meta_arch import clip
from tiny_model import tiny_config
from torch import nn

from ifc.engine import build_optimizer
from ifc.engine.checkpoint import IfcCheckpointer
from ifc.inference import InferenceNetwork, InferenceSettings

SMALL_SWIN = '[["embed_dim", 24], ["depths", (1, 1, 2, 1)], ["window_size", 4]]'
MODELS = {"convnext_atto": "[]", "swin_tiny_patch4_window7_224": SMALL_SWIN}


def config_of(name, arguments="[]", freeze_at=0):
    return tiny_config(
        *("MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.BACKBONE.FREEZE_AT", str(freeze_at)),
        *("MODEL.TIMM.NAME", name, "MODEL.TIMM.ARGUMENTS", arguments),
    )


def frames_of(num_frames, size=(64, 96)):
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (num_frames, 3, *size), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    torch.manual_seed(0)
    return build_model(config_of(request.param, MODELS[request.param], freeze_at=2)).eval()


@pytest.mark.parametrize("size", [(64, 96), (90, 133), (33, 31)])
def test_features_have_a_cell_for_every_stride_begun(model, size):
    backbone = model.detr.backbone[0]["backbone"]
    features = backbone(torch.rand(2, 3, *size))
    shapes = backbone.output_shape()
    assert {name: shape.stride for name, shape in shapes.items()} == {"res2": 4, "res3": 8, "res4": 16, "res5": 32}
    for name, (channels, stride) in {name: (shape.channels, shape.stride) for name, shape in shapes.items()}.items():
        assert features[name].shape == (2, channels, -(-size[0] // stride), -(-size[1] // stride))


def test_features_are_where_they_belong(model):
    """A change in the last columns leaves the first cells of the first stage as they are, not the last ones."""
    backbone, image = model.detr.backbone[0]["backbone"], torch.rand(1, 3, 64, 128)
    changed = image.clone()
    changed[..., 96:] += 1
    with torch.no_grad():
        difference = (backbone(image)["res2"] - backbone(changed)["res2"]).abs().amax(dim=(0, 1))
    assert difference.shape == (16, 32) and difference[:, :16].max() < 1e-5 < difference[:, 26:].min()


def test_a_training_step(model):
    """Losses reach what is not frozen, which learns at the backbone's rate, and what is frozen is left out."""
    parameters = dict(model.named_parameters())
    inside = {name: p for name, p in parameters.items() if name.startswith("detr.backbone.0.backbone.")}
    frozen = {name for name, parameter in inside.items() if not parameter.requires_grad}
    assert 0 < len(frozen) < len(inside) and all("s_0." in name or "stem" in name or "embed" in name for name in frozen)
    cfg = config_of("", freeze_at=2)
    optimizer = build_optimizer(cfg, model)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in parameters.items():
        rate = cfg.SOLVER.BASE_LR * (cfg.SOLVER.BACKBONE_MULTIPLIER if name in inside else 1)
        assert rates.get(id(parameter)) == (rate if name not in frozen else None), name

    before = {name: parameter.detach().clone() for name, parameter in inside.items()}
    losses = model.train()([clip(2, (40, 50)), clip(2, (33, 64))])
    sum(losses.values()).backward()
    optimizer.step()
    model.zero_grad()
    model.eval()
    assert {name for name in inside if torch.equal(before[name], inside[name])} == frozen


def test_inference_gives_the_same(model):
    """Folded, in NHWC memory, and to the precision of bfloat16."""
    frames = frames_of(4)
    with torch.no_grad():
        expected = model.detr.predict_clips(model.detr.encode_frames(model.normalize(frames)), 2)
        for precision, tolerance in (("float32", 1e-4), ("bfloat16", 0.1)):
            network = InferenceNetwork(model.detr, model.normalize, InferenceSettings(window=2, precision=precision))
            network.prepare()
            prediction = network.predict_clips(network.encode_frames(frames), 2)
            for found, wanted in (
                (prediction.pred_logits, expected.pred_logits),
                (prediction.pred_masks, expected.pred_masks),
            ):
                assert (found.float() - wanted).abs().max() < tolerance * wanted.abs().max()


def test_compiling_for_any_size_comes_to_an_end():
    """Swin's tracing would take minutes."""
    backbone = build_backbone(config_of("swin_tiny_patch4_window7_224", SMALL_SWIN)).eval()
    compiled = torch.compile(backbone, backend="eager", dynamic=True)
    with torch.no_grad():
        for image in (torch.rand(1, 3, 64, 96), torch.rand(2, 3, 70, 50)):
            assert torch.equal(compiled(image)["res5"], backbone(image)["res5"])


def test_a_video(model):
    result = model([{"image": list(frames_of(5)), "height": 64, "width": 96, "video_id": 1, "length": 5}])
    assert result["image_size"] == (64, 96) and len(result["pred_scores"]) == len(result["pred_masks"]) > 0


def test_a_checkpoint(model, tmp_path):
    IfcCheckpointer(model, str(tmp_path)).save("model")
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    IfcCheckpointer(model).load(str(tmp_path / "model.pth"))
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_pretrained_weights(tmp_path):
    """Those of a file, as no download may be; none where MODEL.WEIGHTS has the model's."""
    path = str(tmp_path / "model.pth")
    weights = timm.create_model("convnext_atto").state_dict()
    torch.save(weights, path)
    cfg = config_of("convnext_atto", f"[['pretrained_cfg_overlay', {{'file': '{path}'}}]]")
    cfg.defrost()
    cfg.MODEL.TIMM.PRETRAINED = True
    for cfg.MODEL.WEIGHTS, is_same in (("", True), (path, False)):
        assert torch.equal(build_backbone(cfg).model.stem_0.weight, weights["stem.0.weight"]) is is_same


@pytest.mark.parametrize(
    ("freeze_at", "frozen"), [(0, set()), (1, {"stem_0", "stem_1"}), (3, {"stem_0", "stem_1", "stages_0", "stages_1"})]
)
def test_freezing(freeze_at, frozen):
    backbone = build_backbone(config_of("convnext_atto", freeze_at=freeze_at))
    parts = {name: p.requires_grad for name, p in backbone.named_parameters()}
    assert {name.split(".")[1] for name, is_trained in parts.items() if not is_trained} == frozen
    assert not frozen & {name.split(".")[1] for name, is_trained in parts.items() if is_trained}


def test_batch_norm_keeps_its_statistics():
    backbone = build_backbone(config_of("lcnet_035")).train()
    before = {name: value.clone() for name, value in backbone.named_buffers()}
    backbone(torch.rand(2, 3, 64, 64))
    assert len(before) > 50 and not any(isinstance(m, nn.BatchNorm2d) for m in backbone.modules())
    assert all(torch.equal(value, before[name]) for name, value in backbone.named_buffers())


@pytest.mark.parametrize(
    ("name", "arguments", "named"),
    [
        ("convnext_ato", "[]", "convnext_atto"),
        ("", "[]", "expected a model of timm"),
        ("vit_tiny_patch16_224", "[]", "4, 8, 16 and 32"),
        ("maxvit_tiny_rw_224", "[]", "divisible"),  # takes frames of one size only
        ("convnext_atto", "[['no_such', 1]]", "no_such"),
    ],
)
def test_what_is_no_backbone(name, arguments, named):
    with pytest.raises(ValueError, match=f"^MODEL.TIMM.NAME: found {name!r}.*{named}"):
        build_backbone(config_of(name, arguments))


def test_without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"^MODEL.TIMM.NAME: found 'convnext_atto'.*pip install -e \.\[timm\]"):
        build_backbone(config_of("convnext_atto"))
