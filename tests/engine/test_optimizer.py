# SPDX-License-Identifier: Apache-2.0
"""The optimizer's groups against the original's, and what clipping does to gradients."""

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model
from golden.models import golden_config
from torch import nn

from ifc.engine import build_optimizer

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def cfg():
    return golden_config(["base_ytvis.yaml"])


@pytest.fixture
def model():
    """Two layers of very different size, one of them called a backbone, and a frozen one."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"backbone": nn.Linear(4, 4), "head": nn.Linear(4, 50), "frozen": nn.Linear(2, 2)})
    model["frozen"].requires_grad_(False)
    return model


def set_gradients(model: nn.Module, norm: float) -> list[torch.Tensor]:
    """Random gradients whose norm, over all of them together, is `norm`; a copy of them."""
    torch.manual_seed(1)
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = [torch.randn_like(p) for p in parameters]
    total = sum(gradient.square().sum() for gradient in gradients).sqrt()
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient * (norm / total)
    return [parameter.grad.clone() for parameter in parameters]


def gradients_of(model: nn.Module) -> list[torch.Tensor]:
    return [p.grad for p in model.parameters() if p.requires_grad]


def test_groups_are_those_of_the_original():
    model = build_model(golden_config(["base_ytvis.yaml"]))
    names = {parameter: name for name, parameter in model.named_parameters()}
    optimizer = build_optimizer(golden_config(["base_ytvis.yaml"]), model)
    groups = {
        names[p]: [group["lr"], group["weight_decay"]] for group in optimizer.param_groups for p in group["params"]
    }
    assert isinstance(optimizer, torch.optim.AdamW)
    assert groups == json.loads((GOLDEN / "optimizer_base_ytvis.json").read_text())


def test_full_model_clipping_has_one_norm_over_all_parameters(cfg, model):
    """Against its definition: every gradient is multiplied by limit / norm."""
    optimizer = build_optimizer(cfg, model)
    limit = cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE
    before = set_gradients(model, norm=3.0)
    optimizer.step()
    for clipped, gradient in zip(gradients_of(model), before, strict=True):
        torch.testing.assert_close(clipped, gradient * (limit / 3.0), rtol=1e-4, atol=0)
    total = torch.cat([gradient.flatten() for gradient in gradients_of(model)]).double().norm()
    assert total.item() == pytest.approx(limit, rel=1e-4)


def test_full_model_clipping_leaves_small_gradients_alone(cfg, model):
    optimizer = build_optimizer(cfg, model)
    before = set_gradients(model, norm=0.99 * cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE)
    optimizer.step()
    assert all(map(torch.equal, gradients_of(model), before))


def test_full_model_clipping_comes_before_the_step(cfg, model):
    """With plain SGD the step is the clipped gradient times the learning rate, and the frozen layer stays."""
    cfg.merge_from_list(["SOLVER.OPTIMIZER", "SGD", "SOLVER.MOMENTUM", 0.0, "SOLVER.WEIGHT_DECAY", 0.0])
    optimizer = build_optimizer(cfg, model)
    weights, frozen = model["head"].weight.detach().clone(), model["frozen"].weight.detach().clone()
    set_gradients(model, norm=3.0)
    gradient = model["head"].weight.grad.clone()
    optimizer.step()
    expected = weights - cfg.SOLVER.BASE_LR * gradient * cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE / 3.0
    torch.testing.assert_close(model["head"].weight.detach(), expected, rtol=0, atol=1e-9)
    assert torch.equal(model["frozen"].weight, frozen)


def test_full_model_clipping_sees_unscaled_gradients(cfg, model):
    """As with mixed precision, whose gradients come multiplied by the loss scaler."""
    optimizer = build_optimizer(cfg, model)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    small = 0.5 * cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE
    before = set_gradients(model, norm=small)
    scaler.scale(torch.zeros(1))  # creates the scaler's state, as scaling a loss does
    for gradient in gradients_of(model):
        gradient.mul_(1024.0)
    scaler.step(optimizer)
    for unscaled, gradient in zip(gradients_of(model), before, strict=True):
        torch.testing.assert_close(unscaled, gradient)


@pytest.mark.parametrize(
    ("clip_type", "expected"),
    [
        ("norm", lambda gradient: gradient * 0.01 / gradient.norm()),
        ("value", lambda gradient: gradient.clamp(-0.01, 0.01)),
    ],
)
def test_detectron2s_clipping_treats_each_parameter_alone(cfg, model, clip_type, expected):
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = clip_type
    optimizer = build_optimizer(cfg, model)
    before = set_gradients(model, norm=3.0)
    optimizer.step()
    for clipped, gradient in zip(gradients_of(model), before, strict=True):
        torch.testing.assert_close(clipped, expected(gradient), rtol=1e-4, atol=1e-9)


def test_without_clipping_gradients_stay(cfg, model):
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = False
    optimizer = build_optimizer(cfg, model)
    before = set_gradients(model, norm=3.0)
    optimizer.step()
    assert all(map(torch.equal, gradients_of(model), before))


def test_sgd_takes_detectron2s_momentum(cfg, model):
    cfg.merge_from_list(["SOLVER.OPTIMIZER", "SGD", "SOLVER.MOMENTUM", 0.8, "SOLVER.NESTEROV", True])
    optimizer = build_optimizer(cfg, model)
    assert isinstance(optimizer, torch.optim.SGD)
    assert all(group["momentum"] == 0.8 and group["nesterov"] for group in optimizer.param_groups)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-5, 1e-4])


@pytest.mark.parametrize("optimizer", ["ADAMW", "SGD"])
@pytest.mark.parametrize(
    ("clip_type", "bad"), [("full_model", math.nan), ("full_model", math.inf), ("value", math.nan)]
)
def test_a_step_that_is_not_finite_leaves_all_as_it_was(cfg, model, optimizer, clip_type, bad):
    cfg.merge_from_list(["SOLVER.OPTIMIZER", optimizer, "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", clip_type])
    optimizer = build_optimizer(cfg, model)
    set_gradients(model, norm=1.0)
    optimizer.step()
    before = copy.deepcopy([model.state_dict(), optimizer.state_dict()["state"]])
    set_gradients(model, norm=1.0)
    model["head"].weight.grad[3, 1] = bad
    optimizer.step()
    after = [model.state_dict(), optimizer.state_dict()["state"]]
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert not optimizer.gradient_norm.isfinite()
    set_gradients(model, norm=1.0)
    optimizer.step()
    assert not torch.equal(model["head"].weight, before[0]["head.weight"])
