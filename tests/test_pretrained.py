# SPDX-License-Identifier: Apache-2.0
"""Models by name: the one in the package, checkpoints, saved ones, those of a hub, and what is wrong with others."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_model import write_tiny_model

import ifc
from ifc.ytvis.datasets.shapes import render_video


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("pretrained")
    write_tiny_model(root)
    return root


@pytest.fixture(scope="module")
def frames():
    return render_video(11, 64, 96, 5).frames


@pytest.fixture(scope="module")
def segmenter(files):
    return ifc.load(files / "model.pth", config_file=files / "video.yaml", device="cpu", precision="float32")


@pytest.fixture(scope="module")
def saved(files, segmenter):
    segmenter.save_pretrained(files / "saved")
    return files / "saved"


@pytest.fixture
def copy(saved, tmp_path):
    """A saved model to do harm to."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def change_config(folder, change):
    content = json.loads((folder / "config.json").read_text())
    change(content)
    (folder / "config.json").write_text(json.dumps(content))


def test_toy_model_finds_the_shapes_of_a_video():
    toy = ifc.load()
    assert toy.window == 5
    found = max(toy(render_video(3, 160, 240, 6).frames).tracks, key=lambda track: track.score)
    assert found.score > 0.5
    assert sum(mask is not None for mask in found.masks) > 3


def test_checkpoint_with_its_config(files, segmenter):
    assert (segmenter.window, segmenter.settings["MODEL"]["IFC"]["PRECISION"]) == (3, "float32")
    options = {"config_file": files / "video.yaml", "window": 2, "opts": ["MODEL.IFC.CLIP_STRIDE", 2]}
    other = ifc.load(files / "model.pth", weights_hash=segmenter.weights_hash.upper(), **options)
    assert (other.window, other.settings["MODEL"]["IFC"]["CLIP_STRIDE"]) == (2, 2)


def test_saved_model_gives_the_same_bit_for_bit(saved, segmenter, frames):
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors"]
    for name in (saved, str(saved / "model.safetensors")):
        loaded = ifc.load(name, device="cpu")
        assert loaded.settings == segmenter.settings and loaded.classes == segmenter.classes
        weights, expected = loaded.model.detr.state_dict(), segmenter.model.detr.state_dict()
        assert weights.keys() == expected.keys() and all(torch.equal(weights[key], expected[key]) for key in weights)
        assert loaded(frames) == segmenter(frames)


def test_saved_model_needs_no_data_set(files, copy, frames):
    """The classes of a data set of one's own come with the model."""
    change_config(copy, lambda content: content["classes"].__setitem__(2, {"id": 70, "name": "étoile"}))
    loaded = ifc.load(copy, window=2)
    assert (loaded.classes.names[2], loaded.classes.ids[2], loaded.window) == ("étoile", 70, 2)
    loaded.save_pretrained(copy)  # in its own place
    assert ifc.load(copy).classes == loaded.classes and ifc.load(copy).window == 2


def test_only_the_folder_of_a_model_is_replaced(segmenter, copy, tmp_path):
    (copy / "notes.txt").write_text("keep me")
    before = {path: path.read_bytes() for path in copy.iterdir()}
    with pytest.raises(ValueError, match="copy: found 'notes.txt'"):
        segmenter.save_pretrained(copy)
    assert {path: path.read_bytes() for path in copy.iterdir()} == before
    with pytest.raises(OSError, match="notes.txt"):
        segmenter.save_pretrained(copy / "notes.txt")
    (tmp_path / "empty").mkdir()
    segmenter.save_pretrained(tmp_path / "empty")
    assert len(list((tmp_path / "empty").iterdir())) == 2


def test_nothing_is_left_of_a_folder_that_cannot_be_written(segmenter, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr("ifc.engine.model_folder.save_file", fail)
    with pytest.raises(OSError, match="No space left"):
        segmenter.save_pretrained(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda c: c.pop("format_version"), "format_version: found nothing, expected 1"),
        (lambda c: c.update(format_version=2), "format_version: found 2, expected 1"),
        (lambda c: c.update(config=[1]), r"config: found \[1\]"),
        (lambda c: c["config"].update(OUTPUT_DIR="/tmp"), "config: found .*OUTPUT_DIR.*expected an object"),
        (lambda c: c["config"]["MODEL"]["IFC"].update(NO_SUCH_KEY=1), "NO_SUCH_KEY"),
        (lambda c: c["config"]["MODEL"]["IFC"].update(HIDDEN_DIM="wide"), "HIDDEN_DIM"),
        (lambda c: c["config"]["MODEL"]["IFC"].update(HIDDEN_DIM=None), "MODEL.IFC.HIDDEN_DIM: found no value"),
        (lambda c: c["config"]["MODEL"]["IFC"].update(NHEADS=5), "MODEL.IFC.HIDDEN_DIM: found 32"),
        (lambda c: c["config"]["MODEL"]["IFC"].update(NUM_CLASSES=5), "classes: found 6, expected the 5 of"),
        (lambda c: c["config"].update(MODEL=3), "config"),
        (
            lambda c: c["config"]["MODEL"]["TIMM"].update(ARGUMENTS=[["checkpoint_path", "evil.pth"]]),
            "MODEL.TIMM.ARGUMENTS: found .*checkpoint_path",
        ),
        (lambda c: c["classes"].pop(), "classes: found 5, expected the 6"),
        (lambda c: c.update(classes={"1": "circle"}), "classes: found {'1': 'circle'}"),
        (lambda c: c["classes"].__setitem__(1, {"id": "2", "name": "x"}), r"classes\[1\]: found {'id': '2'"),
        (lambda c: c["classes"].__setitem__(1, c["classes"][0]), r"classes: id: found \[1, 1, "),
    ],
)
def test_fault_of_a_config_is_named(copy, change, named):
    change_config(copy, change)
    with pytest.raises(ValueError, match=rf"config\.json: .*{named}"):
        ifc.load(copy)


class Trap:
    """Writes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (lambda folder: (folder / "config.json").write_text('{"format_version": 1'), "config.json: not valid json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors: no such file"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x"), "model.safetensors"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(
                (folder / "model.safetensors").read_bytes()[:-100]
            ),
            "model.safetensors .*expected a whole file",
        ),
    ],
)
def test_damaged_file_is_named(copy, harm, named):
    harm(copy)
    with pytest.raises((OSError, ValueError), match=named):
        ifc.load(copy)


def test_pickle_in_the_place_of_weights_runs_nothing(copy, tmp_path):
    mark = tmp_path / "mark"
    for content in (pickle.dumps(Trap(mark)), pickle.dumps({"model": Trap(mark)})):
        (copy / "model.safetensors").write_bytes(content)
        with pytest.raises(ValueError, match="model.safetensors"):
            ifc.load(copy)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda weights: {k: v for k, v in weights.items() if "query_embed" not in k}, "query_embed.weight the first"),
        (lambda weights: {k: v[:5] if "query_embed" in k else v for k, v in weights.items()}, "query_embed.weight"),
        (
            lambda weights: {k: v[:5] if "class_embed.layers.1" in k else v for k, v in weights.items()},
            "of 4 classes, ",
        ),
        (lambda weights: {k: v * float("nan") for k, v in weights.items()}, "NaN"),
    ],
)
def test_weights_of_another_model_are_named(copy, change, named):
    weights = load_file(copy / "model.safetensors")
    save_file(change(weights), copy / "model.safetensors")
    with pytest.raises(ValueError, match=rf"model\.safetensors: .*{named}"):
        ifc.load(copy)


def test_weights_of_other_bytes_are_refused(saved, segmenter):
    assert ifc.load(saved, weights_hash=ifc.load(saved).weights_hash)
    with pytest.raises(ValueError, match=f"expected {segmenter.weights_hash}"):
        ifc.load(saved, weights_hash=segmenter.weights_hash)


@pytest.fixture
def hub(saved, monkeypatch):
    """A hub with one repository of two revisions, and what was asked of it."""
    asked = []

    def download(repository, *, revision, allow_patterns):
        asked.append((repository, revision, allow_patterns))
        if repository != "someone/shapes" or revision not in (None, "v1"):
            raise OSError(f"404: no {repository} at {revision}")
        return str(saved)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return asked


def test_model_of_a_hub(hub, segmenter, frames):
    expected = segmenter(frames)
    for name in ("hf://someone/shapes", "hf://someone/shapes@v1"):
        assert ifc.load(name, device="cpu")(frames) == expected
    assert [revision for _, revision, _ in hub] == [None, "v1"]
    assert not any(pattern.endswith(("*", ".pth", ".pkl", ".py")) for _, _, patterns in hub for pattern in patterns)


@pytest.mark.parametrize("name", ["hf://someone/nothing", "hf://someone/shapes@v2"])
def test_model_that_a_hub_does_not_have_is_named(hub, name):
    with pytest.raises(OSError, match=f"{name}: 404"):
        ifc.load(name)


def test_name_that_no_hub_can_have_is_named(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OSError, match="hf://a/b/c"):
        ifc.load("hf://a/b/c")


def test_missing_library_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"hf://someone/shapes: .*pip install 'detectron2-ifc\[hub\]'"):
        ifc.load("hf://someone/shapes")


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("model.pth", {}, "model.pth: found no config"),
        ("shapes-tiny", {"config_file": "video.yaml"}, "video.yaml"),
        ("saved", {"config_file": "video.yaml"}, "video.yaml"),
        ("shapes-tiny", {"window": 0}, "INPUT.SAMPLING_FRAME_NUM"),
        ("saved", {"window": 0}, "INPUT.SAMPLING_FRAME_NUM"),
        ("shapes-tiny", {"precision": "float8"}, "MODEL.IFC.PRECISION: found 'float8'"),
        ("shapes-tiny", {"device": "abacus"}, "MODEL.DEVICE: found 'abacus'"),
        ("nowhere.pth", {"config_file": "video.yaml"}, "nowhere.pth"),
        ("model.pth", {"config_file": "video.yaml", "opts": ["MODEL.IFC.NUM_CLASSES", 5]}, "found 5, expected the 6"),
        ("saved", {"opts": ["MODEL.IFC.HIDDEN_DIM", 2**40]}, "MODEL: cannot be built"),
        ("nowhere", {}, "nowhere: no such file or folder"),
    ],
)
def test_what_does_not_fit_is_named(files, saved, monkeypatch, name, options, named):
    monkeypatch.chdir(files)
    with pytest.raises((OSError, ValueError), match=named):
        ifc.load(name, **options)
