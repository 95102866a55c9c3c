# SPDX-License-Identifier: Apache-2.0
"""The network as inference runs it: the same numbers, by other ways."""

import copy

import pytest
import torch
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_model
from tiny_model import tiny_config

from ifc.inference import InferenceNetwork, InferenceSettings
from ifc.precision import fast_precision, float32_products

SIZE = (64, 96)


def model_of(*opts):
    torch.manual_seed(0)
    model = build_model(tiny_config(*opts)).eval()
    generator = torch.Generator().manual_seed(1)
    for norm in model.modules():
        if isinstance(norm, FrozenBatchNorm2d | torch.nn.BatchNorm2d):  # as trained ones are, not the identity
            for name, low in (("weight", 0.5), ("running_var", 0.5), ("bias", -0.5), ("running_mean", -0.5)):
                tensor = getattr(norm, name).data
                tensor.copy_(low + torch.rand(tensor.shape, generator=generator))
    return model


def network_of(model, **options):
    network = InferenceNetwork(model.detr, model.normalize, InferenceSettings(window=1, **options))
    network.prepare()
    return network


def frames_of(num_frames, size=SIZE):
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (num_frames, 3, *size), dtype=torch.uint8, generator=generator)


@torch.no_grad()
def predict(network, frames, num_frames):
    prediction = network.predict_clips(network.encode_frames(frames), num_frames)
    return prediction.pred_logits.float(), prediction.pred_masks.float(), prediction.embeddings.float()


@torch.no_grad()
def plain(model, frames, num_frames):
    """What the network gives as it is."""
    prediction = model.detr.predict_clips(model.detr.encode_frames(model.normalize(frames)), num_frames)
    return prediction.pred_logits, prediction.pred_masks, prediction.embeddings


def assert_close(found, expected, atol):
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y, atol=atol, rtol=atol)


@pytest.mark.parametrize(("precision", "expected"), [("float32", False), ("bfloat16", False), ("tf32", True)])
def test_float32_is_multiplied_as_told_and_as_before_elsewhere(precision, expected):
    network, seen = network_of(model_of(), precision=precision), []

    def see(*_):
        seen.append([backend.allow_tf32 for backend in (torch.backends.cuda.matmul, torch.backends.cudnn)])

    for part in (network.network.backbone[0]["backbone"], network.network.class_embed):
        part.register_forward_hook(see)
    with float32_products(tf32=not expected):
        predict(network, frames_of(1), 1)
        see()
    assert seen == [[expected] * 2, [expected] * 2, [not expected] * 2]


def test_tf32_is_float32_on_a_cpu():
    found, expected = (predict(network_of(model_of(), precision=name), frames_of(2), 2) for name in ("tf32", "float32"))
    assert_close(found, expected, atol=0)


@pytest.mark.parametrize("norm", ["FrozenBN", "BN"])
def test_gives_the_same_and_leaves_the_network_as_it_is(norm):
    model = model_of("MODEL.RESNETS.NORM", norm)
    before, layouts = copy.deepcopy(model.state_dict()), [weight.stride() for weight in model.parameters()]
    network = network_of(model)
    assert not any(isinstance(m, FrozenBatchNorm2d | torch.nn.BatchNorm2d) for m in network.network.modules())
    assert_close(predict(network, frames_of(4), 2), plain(model, frames_of(4), 2), 1e-4)
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert [weight.stride() for weight in model.parameters()] == layouts
    assert {weight.requires_grad for weight in model.detr.transformer.parameters()} == {True}


def test_convolutions_run_in_nhwc_memory():
    model, seen = model_of(), []
    network = network_of(model)
    for layer in network.network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_pre_hook(lambda layer, args: seen.extend([layer.weight, args[0]]))
    predict(network, frames_of(4), 2)
    assert len(seen) > 50 and all(x.stride(1) == 1 for x in seen)


def test_weights_that_do_not_differ_are_shared():
    model = model_of()
    own = {weight.data_ptr() for weight in model.detr.parameters()}
    for name, weight in network_of(model).network.named_parameters():
        if weight.dim() != 4 and not name.endswith("bias"):
            assert weight.data_ptr() in own, name


def test_a_copy_follows_the_weights():
    model = model_of()
    network = network_of(model)
    first = network.network
    network.prepare()
    assert network.network is first  # nothing changed: nothing is made again
    with torch.no_grad():
        next(model.detr.backbone.parameters()).mul_(1.5)
        model.detr.query_embed.weight.mul_(1.5)
    network.prepare()
    assert network.network is not first
    assert_close(predict(network, frames_of(2), 2), plain(model, frames_of(2), 2), 1e-4)
    model.load_state_dict(model_of("MODEL.IFC.NUM_OBJECT_QUERIES", "6").state_dict())
    network.prepare()
    assert_close(predict(network, frames_of(2), 2), plain(model, frames_of(2), 2), 1e-4)


def test_bfloat16_is_close_and_its_weights_are_converted_once():
    model = model_of()
    network = network_of(model, precision="bfloat16")
    found, expected = predict(network, frames_of(4), 2), plain(model, frames_of(4), 2)
    for x, y in zip(found, expected, strict=True):
        assert not torch.equal(x, y)
        assert (x - y).abs().mean() < 0.05 * y.std()
    weights = [m.weight for m in network.network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert {weight.dtype for weight in weights} == {torch.bfloat16}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_compiled_network_gives_the_same_and_is_not_compiled_again(traced_graphs):
    model = model_of("MODEL.RESNETS.DEPTH", "18", "MODEL.RESNETS.RES2_OUT_CHANNELS", "64")
    network = network_of(model, compile_mode="default")
    assert network.is_compiled

    def compare(num_frames: int, window: int, size: tuple[int, int]) -> None:
        frames = frames_of(num_frames, size)
        assert_close(predict(network, frames, window), plain(model, frames, window), 1e-4)

    # Alone, some and many are shapes of their own for torch.
    for task in [(4, 4, (72, 104)), (8, 4, (72, 104)), (16, 4, (72, 104))]:
        compare(*task)
    num_graphs = len(traced_graphs)
    # Before 2.13, sides that differ in how their halves round are, too.
    odd = 2 if torch.__version__ >= (2, 13) else 0
    sizes = [(96, 168), (72 - odd, 100), (92 - odd, 60), (72, 104), (104, 72)]
    for task in zip((12, 12, 7, 3, 20), (4, 6, 7, 3, 5), sizes, strict=True):
        compare(*task)
    assert len(traced_graphs) == num_graphs <= 6


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ({"avx512_f": True, "avx512_bf16": True}, "bfloat16"),
        ({"amx_tile": True, "amx_bf16": True}, "bfloat16"),
        ({"avx512_f": True, "avx512_bf16": False}, "float32"),
        ({}, "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_cpu_is_fast_at_it_and_says_so_once(capabilities, precision, monkeypatch, caplog):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    fast_precision.cache_clear()
    model = model_of()
    with caplog.at_level("INFO", logger="ifc"):
        networks = [network_of(model, precision="auto") for _ in range(2)]
    fast_precision.cache_clear()
    assert {network.network.input_proj.weight.dtype for network in networks} == {getattr(torch, precision)}
    (message,) = [record.getMessage() for record in caplog.records]
    assert ("not" in message) == (precision == "float32")
    assert "bfloat16" in message and all(name in message for name, found in capabilities.items() if "bf16" in name)


@pytest.mark.parametrize(
    ("capability", "precision"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((10, 0), "bfloat16")]
)
def test_auto_is_bfloat16_on_gpus_that_are_fast_at_it(capability, precision, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert fast_precision.__wrapped__(torch.device("cuda", 0)) == precision
