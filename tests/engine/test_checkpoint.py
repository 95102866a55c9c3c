# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of every origin, damaged and hostile files, and saving."""

import copy
import logging
import os
import pickle
import re
import zlib

import numpy as np
import pytest
import torch
from detectron2.checkpoint import PeriodicCheckpointer
from detectron2.modeling import build_model
from engine.tiny import tiny_config, tiny_model
from golden.models import golden_config

from ifc.engine import IfcCheckpointer, WholeCheckpointer

R101 = ["MODEL.RESNETS.DEPTH", 101, "MODEL.RESNETS.STRIDE_IN_1X1", True, "MODEL.RESNETS.NORM", "FrozenBN"]
R50 = ["MODEL.RESNETS.NORM", "FrozenBN"]
CLASS_HEAD = {"detr.class_embed.layers.1.weight", "detr.class_embed.layers.1.bias"}
BACKBONE = "detr.backbone.0.backbone."


@pytest.fixture
def log():
    """Messages of warnings and errors, wherever the loggers of detectron2 and fvcore send them."""
    messages = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(re.sub(r"\x1b\[\d*m", "", record.getMessage()))
    loggers = [logging.getLogger(name) for name in ("fvcore", "detectron2", "ifc")]
    for logger in loggers:
        logger.addHandler(handler)
    yield messages
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path)


def make_model(folder, *opts, seed=0):
    return tiny_model(tiny_config(folder, *opts), seed)


def distinct(name: str, shape: torch.Size) -> torch.Tensor:
    """A tensor that shows which name it had, and takes no room in a file."""
    return torch.full((1,), 1 + zlib.crc32(name.encode()) % 1000 / 1000).expand(shape)


def load(model, path, **kwargs):
    return IfcCheckpointer(model).load(str(path), **kwargs)


def assert_distinct(model, names):
    own = model.state_dict()
    for name in names:
        assert torch.equal(own[name], distinct(name, own[name].shape)), name


def test_published_checkpoint_loads_whole(tmp_path, log):
    """Names and shapes of the original's file, with what else its trainer stored in it."""
    model = build_model(golden_config(["base_ytvis.yaml"]))
    weights = {name: distinct(name, value.shape) for name, value in model.state_dict().items()}
    trainer = {"iteration": 5999, "hooks": {"LRScheduler": {"base_lrs": [1e-4] * 205, "last_epoch": 6000}}}
    torch.save({"model": weights, "trainer": trainer, "iteration": 5999}, tmp_path / "model.pth")
    rest = load(model, tmp_path / "model.pth")
    assert log == []
    assert_distinct(model, weights.keys() - {"criterion.empty_weight"})
    assert rest["iteration"] == 5999


@pytest.mark.parametrize("prefix", ["", "module."])
def test_other_number_of_classes_leaves_the_class_heads_last_layer_fresh(tmp_path, log, prefix):
    """From 80 classes to 40. A checkpoint of DistributedDataParallel has a prefix at every name."""
    coco = make_model(tmp_path, "MODEL.IFC.NUM_CLASSES", 80, seed=1).state_dict()
    torch.save({"model": {prefix + name: value for name, value in coco.items()}}, tmp_path / "coco.pth")
    model = make_model(tmp_path, "MODEL.IFC.NUM_CLASSES", 40)
    fresh = {name: model.state_dict()[name].clone() for name in CLASS_HEAD}
    load(model, tmp_path / "coco.pth")
    assert log == [
        "The checkpoint has 80 classes and the model 40: the class head's last layer, detr.class_embed.layers.1, "
        "starts fresh."
    ]
    own = model.state_dict()
    assert all(torch.equal(own[name], value) for name, value in fresh.items())
    assert own["criterion.empty_weight"].tolist() == pytest.approx([1.0] * 40 + [0.1])
    for name in own.keys() - CLASS_HEAD - {"criterion.empty_weight"}:
        assert torch.equal(own[name], coco[name]), name


HEAD = ["MODEL.IFC.APPEARANCE.DIM", 8]


@pytest.mark.parametrize("num_classes", [6, 5])
def test_training_starts_an_appearance_head_that_the_checkpoint_lacks(tmp_path, log, num_classes):
    """Also where the classes are others."""
    weights = make_model(tmp_path, "MODEL.IFC.NUM_CLASSES", num_classes, seed=1).state_dict()
    torch.save({"model": weights}, tmp_path / "model.pth")
    model = make_model(tmp_path, *HEAD)
    fresh = copy.deepcopy(model.detr.appearance.state_dict())
    load(model, tmp_path / "model.pth")
    assert len(log) == (1 if num_classes == 6 else 2) and "detr.appearance" in log[-1] and "fresh" in log[-1]
    assert all(torch.equal(value, fresh[name]) for name, value in model.detr.appearance.state_dict().items())
    assert torch.equal(model.detr.query_embed.weight, weights["detr.query_embed.weight"])


def test_inference_without_the_appearance_head_that_the_config_asks_for(tmp_path, log):
    """The decoder's states serve if the config allows that; parts of a head, or another one, never do."""
    bare, whole = (make_model(tmp_path, *opts, seed=1).state_dict() for opts in ([], HEAD))
    assert bare.keys() == {name for name in whole if not name.startswith("detr.appearance.")}
    other = make_model(tmp_path, "MODEL.IFC.APPEARANCE.DIM", 4, seed=1).state_dict()
    for name, weights in (("bare", bare), ("whole", whole), ("other", other)):
        torch.save({"model": weights}, tmp_path / f"{name}.pth")
    with pytest.raises(ValueError, match=r"bare.pth: .*MODEL.IFC.APPEARANCE.DIM.*MODEL.IFC.APPEARANCE.ALLOW_MISSING"):
        WholeCheckpointer(make_model(tmp_path, *HEAD)).load(str(tmp_path / "bare.pth"))
    model = make_model(tmp_path, *HEAD, "MODEL.IFC.APPEARANCE.ALLOW_MISSING", True).eval()
    with pytest.raises(ValueError, match="other.pth: expected a checkpoint of this config's model"):
        WholeCheckpointer(model).load(str(tmp_path / "other.pth"))
    WholeCheckpointer(model).load(str(tmp_path / "whole.pth"))
    features = model.detr.encode_frames(torch.rand(2, 3, 32, 48))
    assert model.detr.predict_clips(features, 2).embeddings.shape == (1, 6, 8)
    log.clear()
    WholeCheckpointer(model).load(str(tmp_path / "bare.pth"))
    assert len(log) == 1 and "bare.pth" in log[0]
    prediction, layers = (f(features, 2) for f in (model.detr.predict_clips, model.detr.predict_layers))
    assert torch.equal(prediction.embeddings, layers.queries[-1])


def test_weight_of_no_object_is_the_configs(tmp_path, log):
    torch.save(make_model(tmp_path).state_dict(), tmp_path / "model.pth")
    model = make_model(tmp_path, "MODEL.IFC.NO_OBJECT_WEIGHT", 0.4)
    load(model, tmp_path / "model.pth")
    assert model.criterion.empty_weight[-1].item() == pytest.approx(0.4)
    assert log == []


def test_misfits_other_than_the_class_head_are_said(tmp_path, log):
    weights = make_model(tmp_path).state_dict()
    weights["detr.query_embed.weight"] = weights["detr.query_embed.weight"][:3]
    weights["detr.extra"] = torch.zeros(1)
    del weights["detr.input_proj.bias"]
    torch.save({"model": weights}, tmp_path / "model.pth")
    load(make_model(tmp_path), tmp_path / "model.pth")
    assert len(log) == 3
    assert "detr.query_embed.weight" in log[0]
    assert "detr.input_proj.bias" in log[1]
    assert "detr.extra" in log[2]


def test_a_class_head_of_another_width_is_no_other_number_of_classes(tmp_path, log):
    torch.save(make_model(tmp_path).state_dict(), tmp_path / "model.pth")
    load(make_model(tmp_path, "MODEL.IFC.HIDDEN_DIM", 64), tmp_path / "model.pth")
    assert any("detr.class_embed.layers.1.weight" in message for message in log)
    assert not any("classes" in message for message in log)


def zoo_backbone(model) -> dict[str, np.ndarray]:
    """The backbone as detectron2's zoo has it (`ImageNetPretrained/torchvision/R-50.pkl`), and a classifier."""
    names = [name.removeprefix(BACKBONE) for name in model.state_dict() if name.startswith(BACKBONE)]
    weights = {name: distinct(name, model.state_dict()[BACKBONE + name].shape).numpy().copy() for name in names}
    return weights | {"stem.fc.weight": np.zeros((10, 4), np.float32), "stem.fc.bias": np.zeros(10, np.float32)}


def test_backbone_of_detectron2s_zoo(tmp_path):
    model = make_model(tmp_path, *R50)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weights = zoo_backbone(model)
    assert {"stem.conv1.weight", "res2.0.conv1.norm.running_mean", "res5.2.conv3.weight"} < weights.keys()
    content = {"model": weights, "__author__": "torchvision", "matching_heuristics": True}
    (tmp_path / "R-50.pkl").write_bytes(pickle.dumps(content))
    load(model, tmp_path / "R-50.pkl")
    for name, value in model.state_dict().items():
        short = name.removeprefix(BACKBONE)
        expected = distinct(short, value.shape) if short in weights else before[name]
        assert torch.equal(value, expected), name


def caffe2_name(name: str) -> str:
    """detectron2's name of a ResNet's parameter -> Caffe2's."""
    name = re.sub(r"^stem\.conv1\.norm", "res_conv1_bn", name).replace("stem.conv1", "conv1")
    name = name.replace("shortcut", "branch1").replace(".norm", "_bn")
    name = re.sub(r"\.conv([123])", lambda match: ".branch2" + "abc"[int(match[1]) - 1], name)
    name = name.replace("_bn.weight", "_bn_s").replace(".weight", "_w").replace(".bias", "_b")
    return name.replace(".", "_")


def test_backbone_of_caffe2(tmp_path):
    """As `ImageNetPretrained/MSRA/R-101.pkl`: Caffe2's names, with the optimizer's momentum beside them."""
    model = make_model(tmp_path, *R101)
    weights = {name: value for name, value in zoo_backbone(model).items() if "fc" not in name and "running" not in name}
    blobs = {caffe2_name(name): value for name, value in weights.items()}
    assert {"conv1_w", "res_conv1_bn_s", "res3_0_branch1_w", "res4_22_branch2c_bn_b"} < blobs.keys()
    blobs |= {"conv1_w_momentum": np.zeros(2, np.float32), "fc1000_w": np.zeros((10, 4), np.float32)}
    (tmp_path / "R-101.pkl").write_bytes(pickle.dumps(blobs, 2))
    load(model, tmp_path / "R-101.pkl")
    own = {name.removeprefix(BACKBONE): value for name, value in model.state_dict().items() if BACKBONE in name}
    for name, value in own.items():
        if name.endswith("running_mean"):
            assert value.eq(0).all()
        elif name.endswith("running_var"):
            assert value.sub(1).abs().max() < 1e-4
        else:
            assert torch.equal(value, distinct(name, value.shape)), name


def test_whole_model_of_caffe2_has_blobs(tmp_path, model):
    blobs = {"conv1_w": distinct("stem", (32, 3, 7, 7)).numpy().copy()}
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"blobs": blobs, "cfg": "text"}))
    load(model, tmp_path / "model.pkl")
    assert torch.equal(model.state_dict()[BACKBONE + "stem.conv1.weight"], distinct("stem", (32, 3, 7, 7)))


class RunsCode:
    def __init__(self, command: str):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("file_name", ["model.pth", "model.pkl", "legacy.pth", "plain.pth"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, model, file_name):
    path, traces = tmp_path / file_name, tmp_path / "traces"
    content = {"model": RunsCode(f"touch {traces}"), "__author__": "someone"}
    if file_name in ("model.pkl", "plain.pth"):
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=file_name == "model.pth")
    with pytest.raises(ValueError) as refusal:
        load(model, path)
    assert str(refusal.value).startswith(f"checkpoint {path} ({path.stat().st_size} bytes): expected a whole file of")
    if file_name != "plain.pth":  # torch reads a file of that form only so far
        assert "it refers to posix.system" in str(refusal.value)
    assert_one_line(refusal.value)
    assert not traces.exists()


def assert_one_line(error: Exception):
    message = str(error)
    assert "\n" not in message and "\x1b" not in message
    assert "weights_only" not in message  # no advice to read the file in a way that runs its code


@pytest.mark.parametrize("file_name", ["model.pth", "model.pkl", "legacy.pth"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.6, 0.999])
def test_truncated_files(tmp_path, model, file_name, kept):
    path = tmp_path / file_name
    if file_name == "model.pkl":
        path.write_bytes(pickle.dumps({"model": zoo_backbone(model), "__author__": "torchvision"}))
    else:
        torch.save({"model": model.state_dict()}, path, _use_new_zipfile_serialization=file_name == "model.pth")
    size = int(kept * path.stat().st_size)
    os.truncate(path, size)
    with pytest.raises(ValueError, match=rf"^checkpoint {path} \({size} bytes\): .* cannot be read: \w+") as error:
        load(model, path)
    assert_one_line(error.value)


@pytest.mark.parametrize(
    ("file_name", "content", "found"),
    [
        ("model.pth", b"<html><body>Not found</body></html>", "cannot be read"),
        ("model.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "cannot be read"),
        ("model.pkl", b"<html><body>Not found</body></html>", "cannot be read"),
        ("model.pkl", pickle.dumps([1, 2]), "cannot be read"),
        ("model.pkl", pickle.dumps({"model": {"weight": "text"}, "__author__": "x"}), "found str for 'weight'"),
        ("model.pkl", pickle.dumps({"model": [1], "__author__": "x"}), "found list for the model"),
        ("model.pkl", pickle.dumps({"weight": None}), "found NoneType for 'weight'"),
    ],
)
def test_files_that_are_no_checkpoint(tmp_path, model, file_name, content, found):
    path = tmp_path / file_name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^checkpoint {path} .*{found}") as error:
        load(model, path)
    assert_one_line(error.value)


@pytest.mark.parametrize("content", [{"model": {"weight": torch.ones(2)}}, {"weight": torch.ones(2)}, {"model": {}}])
def test_checkpoint_of_something_else(tmp_path, model, content):
    """Training or evaluating what a file does not hold would be work for nothing."""
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(
        ValueError, match=f"^checkpoint {tmp_path}/other.pth: .* without a fitting value for any of its"
    ):
        load(model, tmp_path / "other.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_checkpoint_of_a_training_that_diverged(tmp_path, model, value):
    weights = model.state_dict() | {"detr.input_proj.bias": torch.full((32,), value)}
    torch.save(weights, tmp_path / "model.pth")
    message = f"^checkpoint {tmp_path}/model.pth: .* found NaN or infinity in 1, such as detr.input_proj.bias"
    with pytest.raises(ValueError, match=message):
        load(model, tmp_path / "model.pth")


@pytest.mark.parametrize(
    ("convert", "found"),
    [
        (lambda weight: weight.to_sparse(), "of torch.float32 in torch.sparse_coo layout"),
        (lambda weight: weight.to("meta"), "without values"),
    ],
)
def test_tensors_of_another_kind(tmp_path, model, convert, found):
    name = "detr.input_proj.weight"
    torch.save(model.state_dict() | {name: convert(model.state_dict()[name])}, tmp_path / "model.pth")
    with pytest.raises(ValueError, match=f"cannot be read: TypeError: found a tensor {found} for '{name}', expected"):
        load(model, tmp_path / "model.pth")


@pytest.mark.parametrize("content", [[1], {"model": torch.ones(2)}, {"model": {"weight": 3}}, {"epoch": 3}, 5])
def test_torch_files_without_tensors_by_name(tmp_path, model, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=f"^checkpoint {tmp_path}/other.pth .* cannot be read: TypeError: "):
        load(model, tmp_path / "other.pth")


def test_missing_files(tmp_path, model):
    with pytest.raises(FileNotFoundError, match=f"^checkpoint {tmp_path}/none.pth: no such file$"):
        load(model, tmp_path / "none.pth")
    (tmp_path / "last_checkpoint").write_text("gone.pth")
    with pytest.raises(FileNotFoundError, match=f"^checkpoint {tmp_path}/gone.pth: no such file$"):
        IfcCheckpointer(model, str(tmp_path)).resume_or_load("", resume=True)


def test_url_that_cannot_be_reached(model, monkeypatch):
    monkeypatch.setattr("iopath.common.file_io.download", lambda *_, **__: (_ for _ in ()).throw(OSError("no route")))
    with pytest.raises(OSError, match=r"^checkpoint https://localhost/none.pth: no route$"):
        load(model, "https://localhost/none.pth")


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("catalog://nothing", "model not present in the catalog: nothing"),
        ("s3://bucket/none.pth", "no such file"),
        ("https://[none.pth", "Invalid IPv6 URL"),
    ],
)
def test_url_that_names_nothing(model, url, found):
    with pytest.raises(OSError, match=f"^checkpoint {re.escape(url)}: {found}$"):
        load(model, url)


def test_save_and_load(tmp_path, model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    IfcCheckpointer(model, str(tmp_path), optimizer=optimizer).save("model_0000003", iteration=3)
    other = make_model(tmp_path, seed=5)
    restored = torch.optim.SGD(other.parameters(), lr=0.5)
    rest = IfcCheckpointer(other, str(tmp_path), optimizer=restored).resume_or_load("", resume=True)
    assert rest["iteration"] == 3
    assert restored.param_groups[0]["lr"] == 0.1
    assert all(map(torch.equal, other.state_dict().values(), model.state_dict().values()))


@pytest.mark.parametrize(
    ("failing", "error", "message"),
    [
        ("torch.save", OSError("no space left"), "no space left"),
        ("torch.save", RuntimeError("enforce fail"), r"^checkpoint \S+/model_0000001.pth: cannot be written whole"),
        ("os.replace", OSError("no space left"), "no space left"),
    ],
)
def test_a_save_that_fails_leaves_everything_as_it_was(tmp_path, monkeypatch, failing, error, message):
    """The disk fills up when half of the file is written, or the last moment goes wrong."""
    checkpointer = IfcCheckpointer(torch.nn.Linear(1, 1), str(tmp_path))
    checkpointer.save("model_0000001", iteration=1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fails(_, path):
        if failing == "torch.save":
            path.write_bytes(b"half of it")
        raise error

    monkeypatch.setattr(failing, fails)
    with pytest.raises(OSError, match=message):
        checkpointer.save("model_0000001", iteration=3)
    with pytest.raises(OSError):
        checkpointer.save("model_0000003", iteration=3)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_last_checkpoint_always_names_a_file(tmp_path, monkeypatch):
    """Whenever a file appears or vanishes under its name, also while old checkpoints are removed."""
    checkpointer = IfcCheckpointer(torch.nn.Linear(1, 1), str(tmp_path))
    periodic = PeriodicCheckpointer(checkpointer, period=1, max_iter=5, max_to_keep=1)
    replace, remove, states = os.replace, checkpointer.path_manager.rm, []

    def look():
        last = tmp_path / "last_checkpoint"
        states.append(last.exists() and (tmp_path / last.read_text()).is_file())

    monkeypatch.setattr("os.replace", lambda *arguments: (replace(*arguments), look()))
    monkeypatch.setattr(checkpointer.path_manager, "rm", lambda path: (remove(path), look()))
    for iteration in range(5):
        periodic.step(iteration)
    assert states[0] is False  # the first checkpoint, before it is noted
    assert len(states) > 10 and all(states[1:])
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "last_checkpoint",
        "model_0000004.pth",
        "model_final.pth",
    ]


def test_what_a_killed_program_left_is_removed(tmp_path, monkeypatch):
    checkpointer = IfcCheckpointer(torch.nn.Linear(1, 1), str(tmp_path))
    with monkeypatch.context() as killed:
        killed.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        killed.setattr("pathlib.Path.unlink", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            checkpointer.save("model_0000001")
    assert len(list(tmp_path.iterdir())) == 1
    checkpointer.save("model_0000003")
    assert {path.name for path in tmp_path.iterdir()} == {"model_0000003.pth", "last_checkpoint"}


def test_only_the_main_process_writes(tmp_path, model):
    IfcCheckpointer(model, str(tmp_path / "none"), save_to_disk=False).save("model")
    assert not (tmp_path / "none").exists()
