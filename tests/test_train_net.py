# SPDX-License-Identifier: Apache-2.0
"""train_net.py as users run it, and what it runs, in this process."""

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import default_argument_parser
from detectron2.utils import logger as detectron2_logger
from engine.tiny import register_data, tiny_config, tiny_model, write_config, write_data
from engine.train_share import train_arguments
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ifc.cli import training
from ifc.data import mapper
from ifc.ytvis.folder_lock import FolderInUseError, FolderLock

PROGRAM = Path(__file__).parents[1] / "projects" / "IFC" / "train_net.py"
PREFIX = "train_net"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder to be $DETECTRON2_DATASETS; for this process its data sets are train_net_train and so on."""
    root = write_data(tmp_path_factory.mktemp("data"), num_val=3)
    register_data(root, PREFIX)
    yield root
    for split in ("train", "val", "coco_train", "coco_val"):
        DatasetCatalog.pop(f"{PREFIX}_{split}")
        MetadataCatalog.pop(f"{PREFIX}_{split}")


@pytest.fixture(autouse=True)
def loggers():
    """What detectron2's default_setup does to the loggers of a process does not outlive a test."""
    names = ("detectron2", "fvcore", "ifc")
    before = {name: (log.handlers[:], log.propagate, log.level) for name in names if (log := logging.getLogger(name))}
    yield
    for name, (handlers, propagate, level) in before.items():
        log = logging.getLogger(name)
        log.handlers[:], log.propagate = handlers, propagate
        log.setLevel(level)
    detectron2_logger.setup_logger.cache_clear()


@pytest.fixture
def half_the_threads():
    """As many as each of two processes has, so that the arithmetic is the same."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // 2))
    yield
    torch.set_num_threads(threads)


def run(folder: Path, data: Path, *words: str) -> subprocess.CompletedProcess:
    """Run the program with the tiny configuration and OUTPUT_DIR folder/output."""
    opts = [word for word in words if not word.startswith("--")]
    options = [word for word in words if word.startswith("--")]
    command = [sys.executable, str(PROGRAM), "--config-file", write_config(folder), "--dist-url=auto", *options]
    environment = os.environ | {"DETECTRON2_DATASETS": str(data), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, "OUTPUT_DIR", str(folder / "output"), *opts],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def assert_one_error(ended: subprocess.CompletedProcess, message: str):
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert errors == [f"error: {message}"], ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    assert ended.returncode == 1


def test_options_are_detectron2s():
    words = ["--eval-only", "--resume", "--num-gpus", "4", "--dist-url", "auto", "SOLVER.MAX_ITER", "--3"]
    for given in ([], words):
        expected = default_argument_parser().parse_args(given)
        assert vars(train_arguments(*given)) == vars(expected) | {"replay": None}


def test_a_config_of_ifcs_own_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opts = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "DATASETS.TEST", "()"]
    with pytest.raises(SystemExit, match="DATASETS.TEST"):  # which is found out when all is set up
        training.run(train_arguments("--eval-only", "--config-file", "base_ytvis.yaml", *opts))
    assert "base_ytvis.yaml" in (tmp_path / "output" / "log.txt").read_text()


def test_two_processes_train_and_evaluate_as_one(data, tmp_path, half_the_threads):
    """End to end, on three videos, of which one process sees two: the results are those of one process."""
    torch.save(tiny_model(tiny_config(tmp_path)).state_dict(), tmp_path / "start.pth")
    opts = ["SOLVER.MAX_ITER", "3", "MODEL.WEIGHTS", str(tmp_path / "start.pth"), "DATALOADER.NUM_WORKERS", "1"]
    ended = run(tmp_path, data, "--num-gpus=2", *opts)
    assert ended.returncode == 0, ended.stderr
    output = tmp_path / "output"
    assert ended.stderr == "" and "arning" not in ended.stdout  # of a dependency, in any process, also a loader's
    for page in ("Environment info:", "Running with full config:", "Model:\nIfc("):  # too long for the terminal
        assert page in (output / "log.txt").read_text() and page not in ended.stdout
    assert json.loads((output / "metrics.json").read_text().splitlines()[-1])["segm/AR100"] >= 0
    assert re.search(r"ifc\]: 3/3  eta 0:00:00 .* s/step .* loss [\d.]+  [\d,]+ MiB\n", ended.stdout)
    assert len(EventAccumulator(str(output)).Reload().Tags()["images"]) == 3  # also of the other process's video
    (start,) = json.loads((output / "runs.json").read_text())
    assert start["processes"] == 2 and "--num-gpus=2" in start["command"]
    numbers = re.search(r"copypaste: AP,AP50.*\n.*copypaste: ([\d.,nan]+)", ended.stdout)[1]

    folder = tmp_path / "one"
    folder.mkdir()
    weights = ["MODEL.WEIGHTS", output / "model_final.pth"]
    cfg = tiny_config(folder, "DATASETS.TEST", (f"{PREFIX}_val",), *weights)
    results = training.main(train_arguments("--eval-only"), cfg)
    expected = json.loads((folder / "output" / "inference" / "results.json").read_text())
    found = json.loads((output / "inference" / "results.json").read_text())
    assert {track["video_id"] for track in found} == {1, 2, 3}
    assert [track.pop("score") for track in found] == pytest.approx([track.pop("score") for track in expected])
    assert found == expected
    assert numbers == ",".join(f"{value:.4f}" for name, value in results["segm"].items() if "-" not in name)


def test_an_error_of_one_process_ends_them_all(data, tmp_path):
    """The second process looks at the second video, and the first waits for it to agree on a random seed."""
    copy = shutil.copytree(data, tmp_path / "data")
    videos = json.loads((copy / "shapes" / "val.json").read_text())["videos"]
    frame = copy / "shapes" / "val" / "JPEGImages" / videos[1]["file_names"][-1]
    frame.unlink()
    ended = run(tmp_path, copy, "--num-gpus=2")
    assert_one_error(ended, f"{frame}: found no such file or directory, expected an image file")


def test_an_error_is_one_line(tmp_path):
    ended = run(tmp_path, tmp_path / "nowhere")
    json_file = tmp_path / "nowhere" / "shapes" / "val.json"
    assert_one_error(ended, f"{json_file}: annotation file of data set 'shapes_val' does not exist")


@pytest.mark.parametrize(
    ("words", "opts", "message"),
    [
        (
            [],
            ["MODEL.WEIGHTS", "{folder}/broken.pth"],
            "error: checkpoint {folder}/broken.pth (6 bytes): expected a whole",
        ),
        (["--eval-only"], ["MODEL.WEIGHTS", "{folder}/broken.pth"], "error: checkpoint {folder}/broken.pth (6 bytes)"),
        (["--eval-only"], ["DATASETS.TEST", ()], "error: DATASETS.TEST is empty, expected names of data sets"),
        (["--eval-only"], ["DATASETS.TEST", ("nowhere",)], "error: data set 'nowhere' is not registered, expected one"),
        (
            ["--eval-only"],
            ["MODEL.IFC.NUM_CLASSES", 5],
            "error: MODEL.IFC.NUM_CLASSES: found 5, expected 6, the classes",
        ),
        (["--eval-only", "--resume"], [], "error: checkpoint {folder}/output/gone.pth: no such file"),
    ],
)
def test_errors_before_any_work(data, tmp_path, monkeypatch, words, opts, message):
    for step in ("test", "train"):
        monkeypatch.setattr(training.Trainer, step, lambda *_: pytest.fail("work has begun"))
    (tmp_path / "broken.pth").write_bytes(b"broken")
    names = ["DATASETS.TRAIN", (f"{PREFIX}_train",), "DATASETS.TEST", (f"{PREFIX}_val",)]
    if "--resume" in words:
        (tmp_path / "output").mkdir()
        (tmp_path / "output" / "last_checkpoint").write_text("gone.pth")
    opts = [opt.format(folder=tmp_path) if isinstance(opt, str) else opt for opt in opts]
    cfg = tiny_config(tmp_path, *names, *opts)
    with pytest.raises(SystemExit) as end:
        training.main(train_arguments(*words), cfg)
    assert end.value.code.startswith(message.format(folder=tmp_path))
    assert "\n" not in end.value.code


def test_a_folder_is_one_run_s(tmp_path):
    with FolderLock(tmp_path), pytest.raises(OSError, match=rf"^OUTPUT_DIR {tmp_path}: found a run "):
        training.keep_for_this_process(str(tmp_path))
    for _ in range(2):  # its own is no hindrance
        training.keep_for_this_process(str(tmp_path))
    with pytest.raises(FolderInUseError):
        FolderLock(tmp_path)


def test_weights_of_other_classes_are_not_evaluated(data, tmp_path):
    torch.save(tiny_model(tiny_config(tmp_path, "MODEL.IFC.NUM_CLASSES", 40)).state_dict(), tmp_path / "model.pth")
    weights = ["MODEL.WEIGHTS", tmp_path / "model.pth"]
    cfg = tiny_config(tmp_path, "DATASETS.TEST", (f"{PREFIX}_val",), *weights)
    with pytest.raises(SystemExit, match=r"^error: .*model\.pth: .*40 classes, expected those of 6"):
        training.main(train_arguments("--eval-only"), cfg)


def test_evaluating_the_last_checkpoint(data, tmp_path, monkeypatch):
    """With --resume, MODEL.WEIGHTS is not what is evaluated."""
    evaluated = []
    monkeypatch.setattr(training.Trainer, "test", lambda cfg, model, *_: evaluated.append(model) or {})
    names = ["DATASETS.TRAIN", (f"{PREFIX}_train",), "DATASETS.TEST", (f"{PREFIX}_val",)]
    training.main(train_arguments(), tiny_config(tmp_path, *names))
    last = torch.load(tmp_path / "output" / "model_final.pth")["model"]
    first = {name: torch.zeros_like(value) for name, value in last.items()}
    torch.save(first, tmp_path / "first.pth")
    cfg = tiny_config(tmp_path, *names, "MODEL.WEIGHTS", tmp_path / "first.pth")
    evaluated.clear()
    for words, weights in ((["--eval-only"], first), (["--eval-only", "--resume"], last)):
        training.main(train_arguments(*words), cfg)
        own = evaluated.pop().state_dict()
        assert all(torch.equal(own[name], weights[name]) for name in own if name != "criterion.empty_weight")


def test_classes_that_the_terminal_cannot_show(data, tmp_path, monkeypatch):
    content = json.loads((data / "shapes" / "val.json").read_text())
    content["categories"][0]["name"] = "猫"
    (tmp_path / "own.json").write_text(json.dumps(content))
    entry = ["own", str(tmp_path / "own.json"), str(data / "shapes" / "val" / "JPEGImages")]
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    ended = run(tmp_path, data, "--eval-only", "DATASETS.VIDEO_JSON", str([entry]), "DATASETS.TEST", "('own',)")
    assert ended.returncode == 0
    assert "| \\u732b " in ended.stdout
    assert "Logging error" not in ended.stderr


def test_a_config_that_does_not_fit_overwrites_nothing(data, tmp_path):
    names = ["DATASETS.TRAIN", (f"{PREFIX}_train",), "DATASETS.TEST", ()]
    training.main(train_arguments(), tiny_config(tmp_path, *names))
    before = {path.name: path.read_bytes() for path in (tmp_path / "output").iterdir() if path.name != "log.txt"}
    assert {"config.yaml", "runs.json", "metrics.json", "model_final.pth"} <= before.keys()
    with pytest.raises(SystemExit, match="^error: --resume: .*shape"):
        training.main(train_arguments("--resume"), tiny_config(tmp_path, *names, "MODEL.IFC.HIDDEN_DIM", 64))
    after = {path.name: path.read_bytes() for path in (tmp_path / "output").iterdir() if path.name != "log.txt"}
    assert after == before


def test_expected_results_decide_the_status(data, tmp_path):
    expected = ["TEST.EXPECTED_RESULTS", [["segm", "AP", -10.0, 1.0]]]
    cfg = tiny_config(tmp_path, "DATASETS.TEST", (f"{PREFIX}_val",), *expected)
    with pytest.raises(SystemExit) as end:
        training.main(train_arguments("--eval-only"), cfg)
    assert end.value.code == 1


def test_a_frame_that_breaks_is_said_after_the_results_are_written(data, tmp_path, monkeypatch):
    read_frame = mapper.read_frame

    def read_until(file_name, *args):
        if file_name.endswith("00001/00003.jpg"):
            raise ValueError(f"{file_name}: not readable as an image")
        return read_frame(file_name, *args)

    monkeypatch.setattr(mapper, "read_frame", read_until)
    torch.save(tiny_model(tiny_config(tmp_path)).state_dict(), tmp_path / "model.pth")
    weights = ["MODEL.WEIGHTS", tmp_path / "model.pth"]
    cfg = tiny_config(tmp_path, "DATASETS.TEST", (f"{PREFIX}_val",), *weights)
    with pytest.raises(
        SystemExit, match="error: .* video 2 could be read in part only: .*00001/00003.jpg: not readable"
    ):
        training.main(train_arguments("--eval-only"), cfg)
    results = json.loads((tmp_path / "output" / "inference" / "results.json").read_text())
    assert {track["video_id"] for track in results} == {1, 2, 3}
    broken = [track["segmentations"] for track in results if track["video_id"] == 2]
    assert any(masks[2] for masks in broken) and not any(any(masks[3:]) for masks in broken)


def test_a_training_that_diverges_ends_with_one_line(data, tmp_path):
    opts = ["SOLVER.BASE_LR", "1e30", "SOLVER.CLIP_GRADIENTS.ENABLED", False, "SOLVER.MAX_ITER", 9]
    cfg = tiny_config(tmp_path, "DATASETS.TRAIN", (f"{PREFIX}_train",), "DATASETS.TEST", (), *opts)
    with pytest.raises(SystemExit, match=r"^error: iteration 1: .*total_loss.*not_finite_0000001_0\.pth"):
        training.main(train_arguments(), cfg)


def test_log_has_the_packages_own_messages(data, tmp_path):
    cfg = tiny_config(tmp_path, "DATASETS.TEST", (f"{PREFIX}_val",))
    training.main(train_arguments("--eval-only"), cfg)
    for handler in logging.getLogger("ifc").handlers:
        if not handler.stream.closed:  # as those of other tests are
            handler.flush()
    log = (tmp_path / "output" / "log.txt").read_text()
    assert f"Results on {PREFIX}_val, in percent:" in log
    assert "Loaded 3 videos" in log
