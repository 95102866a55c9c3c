# SPDX-License-Identifier: Apache-2.0
"""The program that counts parameters, FLOPs and activations, against counts by hand."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from detectron2.modeling import build_model
from tools.commands import command
from torch import nn

from ifc.benchmark.analysis import NetworkAnalysis, count_activations, count_flops
from ifc.engine import setup_config

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "configs" / "quick_schedules" / "shapes_tiny.yaml")
BASE = str(ROOT / "projects" / "IFC" / "configs" / "base_ytvis.yaml")

# The tiny network on 3 frames of 64x96, with all that the counts by hand depend on.
WINDOW, LAYERS, DIM, FEEDFORWARD, MEMORY, QUERIES, CLASSES = 3, 3, 64, 256, 8, 20, 6
CHANNELS = {"res3": 128, "res4": 256, "res5": 512}
CELLS = {"res3": 8 * 12, "res4": 4 * 6, "res5": 2 * 3}
TOKENS = CELLS["res5"] + MEMORY  # of a frame
PINNED = {
    "INPUT.SAMPLING_FRAME_NUM": WINDOW,
    "MODEL.IFC.ENC_LAYERS": LAYERS,
    "MODEL.IFC.DEC_LAYERS": LAYERS,
    "MODEL.IFC.HIDDEN_DIM": DIM,
    "MODEL.IFC.DIM_FEEDFORWARD": FEEDFORWARD,
    "MODEL.IFC.NUM_MEMORY_BUS": MEMORY,
    "MODEL.IFC.NUM_OBJECT_QUERIES": QUERIES,
    "MODEL.IFC.NUM_CLASSES": CLASSES,
    "MODEL.IFC.CLIP_STRIDE": 2,
    "MODEL.RESNETS.DEPTH": 50,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 64,
}
PINNED_OPTS = [str(word) for pair in PINNED.items() for word in pair]


@pytest.fixture(scope="module")
def tool():
    """The program, as a module."""
    return command("analyze")


def build_network(config_file: str, *opts: str):
    return build_model(setup_config(config_file, ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", *opts])).detr


@pytest.fixture(scope="module")
def tiny_network():
    return build_network(TINY, *PINNED_OPTS)


@pytest.fixture(scope="module")
def analysis(tiny_network):
    return NetworkAnalysis(tiny_network, window=WINDOW, stride=2, input_size=(64, 96))


@pytest.fixture(scope="module")
def report(analysis):
    return analysis.report()


class Attention(nn.Module):
    def __init__(self, mask=None):
        super().__init__()
        self.mask = mask

    def forward(self, query, key, value):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=self.mask)


@pytest.mark.parametrize("mask", [None, torch.ones(5, 7, dtype=torch.bool)])
def test_attention_by_hand(mask):
    inputs = (torch.rand(2, 3, 5, 4), torch.rand(2, 3, 7, 4), torch.rand(2, 3, 7, 6))
    flops = count_flops(Attention(mask), inputs)
    # 2 samples, 3 heads: 5 x 7 weights of 4 products each, then 5 outputs of 6 values, each the sum of 7 products.
    assert flops.total() == 2 * 3 * (5 * 7 * 4 + 5 * 6 * 7)
    assert not flops.unsupported_ops()
    assert count_activations(Attention(mask), inputs).total() == 2 * 3 * 5 * 6


def test_mask_product_by_hand():
    class Product(nn.Module):
        def forward(self, weights, pixels):
            return weights[:, None] @ pixels

    inputs = (torch.rand(2, 7, 11), torch.rand(2, 3, 11, 13 * 17))
    # For each of the 2 x 7 x 3 x 13 x 17 outputs a dot product of 11.
    assert count_flops(Product(), inputs).total() == 2 * 7 * 3 * 13 * 17 * 11
    assert count_activations(Product(), inputs).total() == 2 * 7 * 3 * 13 * 17


def resnet50_convolutions(size: int) -> int:
    """Multiply-adds of R-50's convolutions on one square picture, from its description (arXiv 1512.03385, table 1),
    with the stride in the 3x3 convolutions."""
    total = (size // 2) ** 2 * 3 * 64 * 49
    channels, cells = 64, (size // 4) ** 2
    for stage, num_blocks in enumerate((3, 4, 6, 3)):
        width = 64 * 2**stage
        for block in range(num_blocks):
            cells_before = cells
            if stage > 0 and block == 0:
                cells //= 4
            total += cells_before * channels * width + cells * 9 * width * width + cells * width * 4 * width
            if block == 0:
                total += cells * channels * 4 * width  # the shortcut
            channels = 4 * width
    return total


def test_resnet50_by_hand():
    backbone = build_network(BASE).backbone[0]["backbone"].eval()
    flops = count_flops(backbone, torch.zeros(1, 3, 224, 224))
    convolutions = flops.by_operator()["conv"]
    assert convolutions == resnet50_convolutions(224)
    assert convolutions == pytest.approx(4.1e9, rel=0.01)  # the number that papers give
    assert set(flops.by_operator()) == {"conv", "batch_norm"}


def test_attention_of_the_network_by_hand(report):
    scores = WINDOW * TOKENS**2  # an encoder layer over each frame alone
    scores += MEMORY * WINDOW**2  # one over each memory token along the frames
    scores += QUERIES**2 + QUERIES * WINDOW * TOKENS  # a decoder layer
    assert report["flops_by_operator"]["attention"] == LAYERS * 2 * DIM * scores


def test_linear_layers_of_the_network_by_hand(report):
    layer = 4 * DIM**2 + 2 * DIM * FEEDFORWARD  # query, key, value and output of each token, feed-forward
    linear = LAYERS * WINDOW * (TOKENS + MEMORY) * layer
    # A decoder layer attends twice, the second time to keys and values of the clip.
    linear += LAYERS * (QUERIES * (layer + 2 * DIM**2) + WINDOW * TOKENS * 2 * DIM**2)
    linear += QUERIES * (DIM**2 + DIM * (CLASSES + 1))  # classes
    linear += QUERIES * 3 * DIM**2  # mask weights
    assert report["flops_by_operator"]["linear"] == linear


def test_modules_of_the_network_by_hand(report):
    modules = report["modules"]
    flops = {name: numbers["flops"] for name, numbers in modules.items()}
    assert flops["detr.input_proj"] == WINDOW * CELLS["res5"] * CHANNELS["res5"] * DIM
    assert flops["detr.mask_head.lay1"] == WINDOW * CELLS["res5"] * 9 * DIM**2
    assert flops["detr.mask_head.lay2"] == WINDOW * CELLS["res4"] * 9 * DIM**2
    assert flops["detr.mask_head.lay3"] == WINDOW * CELLS["res3"] * 9 * DIM**2
    assert flops["detr.mask_head.adapter1"] == WINDOW * CELLS["res4"] * CHANNELS["res4"] * DIM
    assert flops["detr.mask_head.adapter2"] == WINDOW * CELLS["res3"] * CHANNELS["res3"] * DIM
    assert flops["detr.mask_head.out_lay"] == WINDOW * CELLS["res3"] * (25 * DIM + DIM**2)
    assert flops["detr.class_embed"] == QUERIES * (DIM**2 + DIM * (CLASSES + 1))
    assert report["flops_by_operator"]["matmul"] == QUERIES * DIM * WINDOW * CELLS["res3"]
    assert modules["detr.mask_head.lay3"]["activations"] == WINDOW * CELLS["res3"] * DIM
    assert modules["detr.input_proj"]["activations"] == WINDOW * CELLS["res5"] * DIM


def test_all_attention_activations_are_counted(analysis):
    attended = LAYERS * (WINDOW * (TOKENS + MEMORY) + 2 * QUERIES) * DIM
    assert analysis.activations.by_operator()["attention"] == attended


def test_parameters(report, tiny_network):
    modules = report["modules"]
    assert report["parameters"] == modules[""]["parameters"] == sum(p.numel() for p in tiny_network.parameters())
    for name, module in tiny_network.named_modules(prefix="detr"):
        assert modules[name]["parameters"] == sum(p.numel() for p in module.parameters())


def test_totals(report):
    assert report["flops"] == sum(report["flops_by_operator"].values()) == report["modules"][""]["flops"]
    assert report["activations"] == report["modules"][""]["activations"]
    once_a_frame = (
        "detr.backbone",
        "detr.input_proj",
        "detr.transformer.encoder.enc_layers.0",
        "detr.mask_head.adapter1",
        "detr.mask_head.adapter2",
    )
    assert WINDOW * report["flops_per_frame"] == sum(report["modules"][name]["flops"] for name in once_a_frame)
    assert report["flops"] == WINDOW * report["flops_per_frame"] + report["flops_per_window"]
    assert report["flops_per_frame_of_a_long_video"] == report["flops_per_frame"] + report["flops_per_window"] / 2


def test_what_is_not_counted_is_listed(report):
    uncounted = report["operators_without_flops"]
    assert uncounted["aten::max_pool2d"] == 1 and uncounted["aten::add_"] == 16  # R-50's pooling and its 16 blocks
    assert not {"aten::scaled_dot_product_attention", "aten::matmul", "aten::linear", "aten::_convolution"} & set(
        uncounted
    )


def test_text_has_the_numbers(analysis, report):
    text = analysis.text(report, 2)
    assert "window of 3 frames of 64x96, windows start every 2 frames" in text
    for key in ("flops", "flops_per_frame", "flops_per_window", "flops_per_frame_of_a_long_video"):
        assert f" {report[key] / 1e9:.3f} G" in text
    assert f" {report['parameters'] / 1e6:.3f} M" in text and f" {report['activations'] / 1e6:.3f} M" in text
    assert "detr.mask_head " in text and "detr.mask_head.lay1" not in text
    assert "detr.mask_head.lay1" in analysis.text(report, 3)
    assert "max_pool2d 1" in text


def test_program(tool, report, tmp_path, capsys):
    path = tmp_path / "numbers.json"
    options = f"--input-size 64 96 --depth 1 --json {path}"
    tool(["--config-file", TINY, *options.split(), *PINNED_OPTS])
    content = json.loads(path.read_text())
    assert (content.pop("config_file"), content.pop("opts")) == (TINY, PINNED_OPTS)
    assert content == report
    text = capsys.readouterr().out
    assert "detr " in text and "detr.backbone" not in text
    assert [p.name for p in tmp_path.iterdir()] == ["numbers.json"]


def test_published_config_and_window(tool, capsys):
    tool(["--config-file", BASE, "--input-size", "32", "64", "--window", "2"])
    text = capsys.readouterr().out
    assert "window of 2 frames of 32x64" in text and "detr.transformer.clip_decoder" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--window 0", "INPUT.SAMPLING_FRAME_NUM: found 0, expected at least 1"),
        ("--window 1 MODEL.IFC.CLIP_STRIDE 2", "CLIP_STRIDE"),
        ("--input-size 64 31", "--input-size: found 64 31, expected at least 32 for each"),
        ("--depth 0", "'--depth': found '0'"),
        ("--json missing/numbers.json", "'--json': found 'missing/numbers.json'"),
        ("MODEL.NO_SUCH_KEY 1", "MODEL.NO_SUCH_KEY"),
        ("MODEL.IFC.CLIP_STRIDE", "KEY VALUE pairs"),
        ("--config-file missing.yaml", "missing.yaml: no such file"),
        ("--input-size 32 32 MODEL.RESNETS.NORM XN", "MODEL: cannot be built from this config: KeyError: 'XN'"),
    ],
)
def test_bad_options_end_with_one_clear_error(tool, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        tool(["--config-file", TINY, *options.split()])
    text = str(end.value.code) if isinstance(end.value.code, str) else capsys.readouterr().err.splitlines()[-1]
    assert message in text and "error: " in text.lower() and "\n" not in text
    assert not list(tmp_path.iterdir())
