# SPDX-License-Identifier: Apache-2.0
"""Exported networks: the same numbers as the model's, on any size and number of frames, by themselves and in videos."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import onnx
import pytest
import torch
from tiny_model import write_tiny_model

import ifc
from ifc.cli.main import main
from ifc.export import export_model, exporting
from ifc.inference import OnnxNetwork
from ifc.modeling import AppearanceHead, TimmBackbone
from ifc.video import VideoWriter
from ifc.ytvis.datasets.shapes import render_video

# frames, clips that they make, (height, width)
CASES = [(6, 2, (160, 288)), (5, 1, (96, 128)), (3, 3, (64, 224)), (4, 2, (90, 150)), (1, 1, (161, 35))]


@pytest.fixture(scope="module")
def toy():
    return ifc.load(device="cpu", precision="float32")


@pytest.fixture(scope="module")
def onnx_folder(exported_toy):
    return exported_toy[0]


@pytest.fixture(scope="module")
def tiny_files(tmp_path_factory):
    """Of a model with an appearance head, too."""
    root = tmp_path_factory.mktemp("tiny")
    write_tiny_model(root)
    config = root / "video.yaml"
    config.write_text(config.read_text().replace("  IFC:\n", "  IFC:\n    APPEARANCE: {DIM: 8, POOLED: True}\n"))
    head = AppearanceHead(32, 8, pools=True).state_dict(prefix="detr.appearance.")
    torch.save({"model": torch.load(root / "model.pth")["model"] | head}, root / "model.pth")
    return root


@pytest.fixture(scope="module")
def frames():
    return render_video(3, 160, 284, 7).frames


def frames_of(number, size):
    generator = torch.Generator().manual_seed(number)
    return torch.randint(0, 256, (number, 3, *size), dtype=torch.uint8, generator=generator)


def assert_close(found, expected):
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y, atol=1e-3, rtol=0)


@torch.no_grad()
def predict(network, images, num_clips):
    features = network.encode_frames(images)
    prediction = network.predict_clips(features, len(images) // num_clips)
    outputs = prediction.pred_logits, prediction.pred_masks, prediction.embeddings
    return features.tokens, features.lateral4, features.lateral3, *outputs


@pytest.mark.parametrize(("num_frames", "num_clips", "size"), CASES)
def test_onnx_gives_what_pytorch_gives(toy, onnx_folder, num_frames, num_clips, size):
    expected, found = toy.inference.network, ifc.load(onnx_folder).inference.network
    expected.prepare()
    images = frames_of(num_frames, size)
    assert_close(predict(found, images, num_clips), predict(expected, images, num_clips))


def test_torch_program_gives_what_pytorch_gives(tiny_files, tmp_path, capsys):
    weights = ["--weights", str(tiny_files / "model.pth"), "--config-file", str(tiny_files / "video.yaml")]
    main(["export", *weights, "--format", "torch", "-o", str(tmp_path / "out")])
    assert "frame_network.pt2, clip_network.pt2" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "clip_network.pt2", "config.json", "frame_network.pt2",
    ]  # fmt: skip
    frame_network, clip_network = (
        torch.export.load(tmp_path / "out" / f"{name}_network.pt2").module(check_guards=False)
        for name in ("frame", "clip")
    )
    tiny = ifc.load(tiny_files / "model.pth", config_file=tiny_files / "video.yaml", device="cpu", precision="float32")
    tiny.inference.network.prepare()
    for num_frames, num_clips, size in CASES:
        images = frames_of(num_frames, size)
        with torch.no_grad():
            features = frame_network(images)
            outputs = clip_network(*(x.unflatten(0, (num_clips, -1)) for x in features))
        assert_close((*features[2:], *outputs), predict(tiny.inference.network, images, num_clips)[1:])


@pytest.mark.parametrize("association", ["mask", "mask+embedding"])
def test_video_gives_the_same_tracks(onnx_folder, frames, association):
    opts = ["MODEL.IFC.TRACKER.ASSOCIATION", association]
    exported, toy = ifc.load(onnx_folder, opts=opts), ifc.load(device="cpu", precision="float32", opts=opts)
    found, expected = exported(frames), toy(frames)
    assert len(found.tracks) == len(expected.tracks) > 2
    for track, other in zip(found.tracks, expected.tracks, strict=True):
        assert (track.label, track.score) == (other.label, pytest.approx(other.score, abs=1e-3))
        assert [mask is None for mask in track.masks] == [mask is None for mask in other.masks]
    assert exported.classes == toy.classes and exported.window == toy.window
    assert exported.settings == toy.settings and exported.weights_hash != toy.weights_hash


def test_command_line_segments_by_an_exported_network(onnx_folder, frames, tmp_path):
    with VideoWriter(tmp_path / "shapes.mp4", 10) as writer:
        for frame in frames:
            writer.write(frame)
    weights = ["--weights", str(onnx_folder / "frame_network.onnx")]
    main(["segment", str(tmp_path / "shapes.mp4"), "-o", str(tmp_path / "out"), *weights, "--no-overlay"])
    content = json.loads((tmp_path / "out" / "shapes" / "video.json").read_text())
    assert (content["status"], content["num_frames"]) == ("finished", 7) and len(content["tracks"]) > 2
    assert content["weights_sha256"] == ifc.load(onnx_folder).weights_hash


def test_window_stride_image_and_short_video(toy, onnx_folder, frames):
    """Frames a clip are as many as one likes."""
    options = {"window": 3, "opts": ["MODEL.IFC.CLIP_STRIDE", 2]}
    exported, expected = ifc.load(onnx_folder / "clip_network.onnx", **options), ifc.load(device="cpu", **options)
    assert len(exported(frames).tracks) == len(expected(frames).tracks)
    assert len(exported(frames[:2]).tracks) == len(expected(frames[:2]).tracks)
    assert [frame.index for frame in exported.stream(frames)] == list(range(7))
    found, instances = exported.segment_image(frames[0]), toy.segment_image(frames[0])
    torch.testing.assert_close(found.scores, instances.scores, atol=1e-3, rtol=0)
    assert found.pred_classes.equal(instances.pred_classes) and found.image_size == (160, 284)


def test_files_tell_nothing_of_where_they_were_made(onnx_folder):
    for path in onnx_folder.glob("*.onnx"):
        assert str(Path(ifc.__file__).parent).encode() not in path.read_bytes()
        assert str(Path(torch.__file__).parent).encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"device": "cuda"}, "MODEL.DEVICE: found 'cuda'"),
        ({"precision": "bfloat16"}, "MODEL.IFC.PRECISION: found 'bfloat16', expected 'float32'"),
        ({"opts": ["MODEL.IFC.COMPILE", "default"]}, "MODEL.IFC.COMPILE: found 'default'"),
    ],
)
def test_what_an_exported_network_cannot_do_is_named(onnx_folder, options, named):
    with pytest.raises(ValueError, match=named):
        ifc.load(onnx_folder, **options)


@pytest.fixture
def copy(onnx_folder, tmp_path):
    return Path(shutil.copytree(onnx_folder, tmp_path / "copy"))


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1000]), "clip_network.onnx: expected a network"),
        (lambda path: path.write_text("no network"), "clip_network.onnx: expected a network"),
        (lambda path: path.unlink(), "clip_network.onnx: no such file"),
        (lambda path: shutil.copy(path.with_name("frame_network.onnx"), path), "clip_network.onnx: found inputs"),
        (lambda path: path.with_name("config.json").unlink(), "config.json"),
    ],
)
def test_damaged_file_is_named(copy, harm, named):
    harm(copy / "clip_network.onnx")
    with pytest.raises((OSError, ValueError), match=named):
        ifc.load(copy)


def test_network_exported_without_embeddings_joins_windows_by_masks_alone(copy, frames):
    """As those of earlier versions are."""
    path = copy / "clip_network.onnx"
    network = onnx.load(path)
    assert network.graph.output.pop().name == "embeddings"
    onnx.save(network, path)
    assert len(ifc.load(copy)(frames).tracks) > 2
    with pytest.raises(ValueError, match="clip_network.onnx: found no output 'embeddings'"):
        ifc.load(copy, opts=["MODEL.IFC.TRACKER.ASSOCIATION", "mask+embedding"])


def test_exported_network_is_neither_exported_nor_saved(onnx_folder, tmp_path):
    exported = ifc.load(onnx_folder)
    with pytest.raises(ValueError, match="out: found an exported network"):
        export_model(exported, tmp_path / "out")
    with pytest.raises(ValueError, match="out: found an exported network"):
        exported.save_pretrained(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("factor", "is_refused"), [(1.0, False), (1.01, True), (float("nan"), True)])
def test_model_whose_export_differs_is_refused_and_leaves_nothing(toy, tmp_path, monkeypatch, factor, is_refused):
    networks = list(exporting._networks_of(toy.model))

    def read(path, signature):
        network = networks.pop(0)
        return lambda *inputs: [x * factor for x in network(*inputs)]

    monkeypatch.setattr(exporting, "_trace", lambda networks: networks)
    monkeypatch.setattr(exporting, "_write_onnx", lambda program, path, signature: path.touch())
    monkeypatch.setattr(exporting, "_read", read)
    if is_refused:
        with pytest.raises(ValueError, match="expected at most 0.001"):
            export_model(toy, tmp_path / "out")
        assert list(tmp_path.iterdir()) == []
    else:
        assert export_model(toy, tmp_path / "out") == 0


def test_backbone_that_cannot_be_traced_is_refused_at_once():
    backbone = Mock(spec=TimmBackbone)
    networks = SimpleNamespace(network=SimpleNamespace(backbone=[{"backbone": backbone}])), None
    with pytest.raises(ValueError, match="MODEL.BACKBONE.NAME: found a model of timm"):
        exporting._trace(networks)


def test_unknown_format_is_named(toy, tmp_path):
    with pytest.raises(ValueError, match="format: found 'tflite', expected one of onnx, torch"):
        export_model(toy, tmp_path, "tflite")
    with pytest.raises(SystemExit) as end:
        main(["export", "--format", "tflite", "-o", str(tmp_path)])
    assert end.value.code == 2


def test_missing_library_is_named_with_the_command_that_installs_it(toy, onnx_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"onnx: .*pip install 'detectron2-ifc\[onnx\]'"):
        export_model(toy, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ImportError, match=r"frame_network.onnx: .*pip install 'detectron2-ifc\[onnx\]'"):
        ifc.load(onnx_folder)


def test_config_says_what_a_program_needs_to_know(onnx_folder):
    content = json.loads((onnx_folder / "config.json").read_text())
    assert content["classes"][0] == {"id": 1, "name": "disk"}
    found = content["config"]["INPUT"]
    assert (found["FORMAT"], found["MIN_SIZE_TEST"], found["SAMPLING_FRAME_NUM"]) == ("RGB", 160, 5)


def test_onnx_network_names_its_files(onnx_folder):
    with pytest.raises(FileNotFoundError, match="nowhere.onnx"):
        OnnxNetwork(onnx_folder / "nowhere.onnx", onnx_folder / "clip_network.onnx")
