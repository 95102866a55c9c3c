# SPDX-License-Identifier: Apache-2.0
"""Configurations that cannot work, and what is said of them."""

import re
from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from engine.tiny import BASE, tiny_config, write_config

from ifc.data.loaders import class_names
from ifc.engine import Trainer, setup_config
from ifc.ytvis.datasets.shapes import CATEGORIES

PUBLISHED = BASE.parent
QUICK = BASE.parents[3] / "configs" / "quick_schedules"


def error_of(folder, *opts, kind=ValueError) -> str:
    with pytest.raises(kind) as error:
        tiny_config(folder, *opts)
    assert type(error.value) is kind
    return str(error.value)


def test_file_then_command_line(tmp_path):
    cfg = tiny_config(tmp_path, "SOLVER.MAX_ITER", 7)
    assert cfg.is_frozen()
    assert (cfg.SOLVER.MAX_ITER, cfg.MODEL.IFC.HIDDEN_DIM, cfg.SOLVER.OPTIMIZER) == (7, 32, "ADAMW")


@pytest.mark.parametrize("path", [*PUBLISHED.glob("*.yaml"), *QUICK.glob("*.yaml")], ids=lambda path: path.stem)
def test_the_projects_own_files(path):
    cfg = setup_config(str(path), ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""])
    assert cfg.MODEL.META_ARCHITECTURE == "Ifc"
    for name in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
        assert len(MetadataCatalog.get(name).thing_classes) == cfg.MODEL.IFC.NUM_CLASSES


def test_keys_of_old_configs_are_read_over_with_a_warning(tmp_path, caplog):
    base, path = Path(write_config(tmp_path)), tmp_path / "derived.yaml"
    base.write_text(base.read_text().replace("  IFC:\n", "  IFC:\n    CHANNELS_LAST: True\n"))
    path.write_text(f"_BASE_: {base}\nMODEL:\n  IFC:\n    FOLD_BATCH_NORM: True\n    DROPOUT: 0.3\n")
    cfg = setup_config(str(path), [])
    assert cfg.MODEL.IFC.DROPOUT == 0.3
    messages = " ".join(record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert "MODEL.IFC.CHANNELS_LAST" in messages and "MODEL.IFC.FOLD_BATCH_NORM" in messages
    caplog.clear()
    assert tiny_config(tmp_path, "MODEL.IFC.FOLD_BATCH_NORM", True, "SOLVER.MAX_ITER", 7).SOLVER.MAX_ITER == 7
    assert "MODEL.IFC.FOLD_BATCH_NORM" in caplog.text


def test_a_programs_defaults_give_way_to_the_file_and_the_command_line(tmp_path):
    path, key = write_config(tmp_path), "MODEL.IFC.PRECISION"
    derived = tmp_path / "derived.yaml"
    derived.write_text(f"_BASE_: {path}\nMODEL:\n  IFC:\n    PRECISION: float32\n")

    def precision(path, *opts):
        return setup_config(str(path), opts, program_defaults=(key, "auto")).MODEL.IFC.PRECISION

    assert setup_config(str(path), []).MODEL.IFC.PRECISION == "float32"
    assert precision(path) == "auto"
    assert precision(path, key, "bfloat16") == "bfloat16"
    assert precision(derived) == "float32"


@pytest.fixture
def own(data):
    """[name, json file, folder of the frames] of data sets "own_train" and "own_val", forgotten after the test."""
    shapes = data / "shapes"
    yield [[f"own_{split}", f"{shapes}/{split}.json", f"{shapes}/{split}/JPEGImages"] for split in ("train", "val")]
    for name in ("own_train", "own_val"):
        if name in DatasetCatalog:
            DatasetCatalog.pop(name)
            MetadataCatalog.pop(name)


def own_opts(entries, *opts):
    names = ("DATASETS.TRAIN", ("own_train",), "DATASETS.TEST", ("own_val",), "MODEL.IFC.NUM_CLASSES", 0)
    return ("DATASETS.VIDEO_JSON", entries, *names, *opts)


def test_own_data_sets_and_their_classes(tmp_path, own):
    cfg = tiny_config(tmp_path, *own_opts(own))
    assert len(CATEGORIES) == cfg.MODEL.IFC.NUM_CLASSES
    assert class_names("own_val") == list(CATEGORIES.values())


def test_own_data_sets_in_a_file_and_in_another_process(tmp_path, own):
    """What another process gets is the configuration; it registers its data sets before it reads them."""
    path = tmp_path / "own.yaml"
    listed = "".join(f"    - [{', '.join(entry)}]\n" for entry in own)
    path.write_text(f"_BASE_: {write_config(tmp_path)}\nDATASETS:\n  VIDEO_JSON:\n{listed}  TEST: [own_val]\n")
    cfg = setup_config(str(path), [])
    DatasetCatalog.pop("own_val")
    MetadataCatalog.pop("own_val")
    Trainer.build_test_sets(cfg)
    assert MetadataCatalog.get("own_val").thing_classes == list(CATEGORIES.values())


def test_number_of_classes_of_known_data_sets(tmp_path):
    cfg = tiny_config(tmp_path, "DATASETS.TRAIN", ("ovis_train",), "MODEL.IFC.NUM_CLASSES", 0)
    assert cfg.MODEL.IFC.NUM_CLASSES == 25


def test_number_of_classes_of_nothing(tmp_path, variant):
    images = variant("coco_train")
    for names, message in (((), "without data sets in DATASETS.TRAIN"), ((images,), f"'{images}' lists no classes")):
        found = error_of(tmp_path, "DATASETS.TRAIN", names, "MODEL.IFC.NUM_CLASSES", 0)
        assert re.match(f"MODEL.IFC.NUM_CLASSES: found 0, expected a number.*{message}", found)


def test_own_data_sets_that_cannot_be_used(tmp_path, own):
    missing = [["own_train", "nowhere.json", own[0][2]], own[1]]
    message = "nowhere.json: annotation file of data set 'own_train' does not exist"
    assert error_of(tmp_path, *own_opts(missing), kind=FileNotFoundError) == message
    assert error_of(tmp_path, *own_opts([["own_val"]])).startswith(
        "DATASETS.VIDEO_JSON[0]: found ['own_val'], expected "
    )
    assert error_of(tmp_path, *own_opts("own.json")).startswith("command line: Type mismatch")


def test_own_config_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opts = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""]
    assert setup_config("base_ytvis.yaml", opts).dump() == setup_config(str(PUBLISHED / "base_ytvis.yaml"), opts).dump()
    with pytest.raises(FileNotFoundError, match=r"^--config-file base_none.yaml: no such file, nor .*configs"):
        setup_config("base_none.yaml", opts)
    (tmp_path / "base_ytvis.yaml").write_text("VERSION: 2\nMODEL:\n  META_ARCHITECTURE: Ifc\nSEED: 3\n")
    assert setup_config("base_ytvis.yaml", ["MODEL.DEVICE", "cpu"]).SEED == 3


def test_missing_config_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^--config-file nowhere/a.yaml: no such file$"):
        setup_config("nowhere/a.yaml", [])


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (["MODEL.IFC.NO_SUCH", 1], "command line: Non-existent key: MODEL.IFC.NO_SUCH"),
        (["NO_SUCH.KEY", 1], "command line: Non-existent key: NO_SUCH.KEY"),
        (["SOLVER.MAX_ITER", "many"], "command line: Type mismatch"),
        (["MODEL.MASK_ON", "yes"], "command line: Type mismatch"),
        (["INPUT.SAMPLING_FRAME_NUM", 2.5], "command line: Type mismatch"),
        (["SOLVER.MAX_ITER"], "command line: expected KEY VALUE pairs, found an odd number of words: SOLVER.MAX_ITER"),
        (["_BASE_", "other.yaml"], "command line: The reserved key '_BASE_'"),
    ],
)
def test_command_line(tmp_path, opts, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        setup_config(write_config(tmp_path), list(map(str, opts)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MODEL:\n  IFC:\n    NO_SUCH: 1\n", "Non-existent config key: MODEL.IFC.NO_SUCH"),
        ("SOLVER:\n  MAX_ITER: many\n", "Type mismatch"),
        ("MODEL: 3\nVERSION: 2\n", "Type mismatch"),
        ("- a\n- list\n", "expected configuration keys and values in YAML"),
        ("SOLVER: {MAX_ITER: 3\n", "expected configuration keys and values in YAML"),
        ("", "expected configuration keys and values in YAML"),
        ("VERSION: 9\n", "Cannot merge a v9 config"),
    ],
)
def test_config_file(tmp_path, text, message):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"^--config-file {path}: .*{re.escape(message)}") as error:
        setup_config(str(path), [])
    assert len(str(error.value)) < 500


def test_key_without_a_value(tmp_path):
    path = tmp_path / "blank.yaml"
    path.write_text("VERSION: 2\nMODEL:\n  IFC:\n    NHEADS:\n")
    with pytest.raises(ValueError, match=r"^MODEL.IFC.NHEADS: found no value, expected one such as 8$"):
        setup_config(str(path), [])


def test_missing_base_of_a_config_file(tmp_path):
    path = tmp_path / "child.yaml"
    path.write_text("_BASE_: parent.yaml\nVERSION: 2\n")
    with pytest.raises(FileNotFoundError, match=f"^--config-file {path}: .*{tmp_path}/parent.yaml"):
        setup_config(str(path), [])


def test_config_file_cannot_run_code(tmp_path):
    path, traces = tmp_path / "hostile.yaml", tmp_path / "traces"
    path.write_text(f'VERSION: 2\nOUTPUT_DIR: !!python/object/apply:os.system ["touch {traces}"]\n')
    with pytest.raises(ValueError, match=f"^--config-file {path}: .*python/object/apply:os.system"):
        setup_config(str(path), [])
    assert not traces.exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.META_ARCHITECTURE", "GeneralizedRCNN"),
        ("MODEL.BACKBONE.NAME", "build_swin_backbone"),
        ("MODEL.RESNETS.DEPTH", 51),
        ("MODEL.IFC.PRECISION", "float16"),
        ("SOLVER.COMPILE", "reduce-overhead"),
        ("MODEL.IFC.COMPILE", "fast"),
        ("MODEL.IFC.TRACKER.ASSOCIATION", "embedding"),
        ("INPUT.FORMAT", "YUV"),
        ("INPUT.MIN_SIZE_TRAIN_SAMPLING", "by_clip"),
        ("INPUT.RANDOM_FLIP", "diagonal"),
        ("INPUT.CROP.TYPE", "absolute_rang"),
        ("DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler"),
        ("SOLVER.OPTIMIZER", "ADAM"),
        ("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "full"),
    ],
)
def test_values_that_do_not_exist(tmp_path, key, value):
    assert error_of(tmp_path, key, value).startswith(f"{key}: found {value!r}, expected one of ")


CROP = ["INPUT.CROP.ENABLED", True, "INPUT.CROP.SIZE"]
PIXELS = ["INPUT.CROP.TYPE", "absolute_range", *CROP]
RANGE = ["INPUT.MIN_SIZE_TRAIN_SAMPLING", "range", "INPUT.MIN_SIZE_TRAIN"]
TRACKER = "MODEL.IFC.TRACKER"
EMBEDDING = [f"{TRACKER}.ASSOCIATION", "mask+embedding"]
BY_CLIP = ["INPUT.MIN_SIZE_TRAIN_SAMPLING", "range_by_clip", "INPUT.MIN_SIZE_TRAIN"]


@pytest.mark.parametrize(
    ("opts", "expected"),
    [
        (["INPUT.SAMPLING_FRAME_NUM", 0], "at least 1"),
        (["MODEL.IFC.FRAMES_PER_BATCH", -1], "0 or more"),
        (["MODEL.IFC.WINDOWS_PER_BATCH", -2], "0 or more"),
        (["MODEL.IFC.CLIP_STRIDE", 0], "at least 1"),
        (["MODEL.IFC.CLIP_STRIDE", 3], "at most 2, the frames of a window"),
        (["MODEL.IFC.NUM_OBJECT_QUERIES", 0], "at least 1"),
        (["MODEL.IFC.DEC_LAYERS", 0], "at least 1"),
        (["MODEL.IFC.MASK_STRIDE", 0], "at least 1"),
        (["MODEL.IFC.NHEADS", 5, "MODEL.IFC.HIDDEN_DIM", 32], "a multiple of MODEL.IFC.NHEADS, 5"),
        (["MODEL.IFC.HIDDEN_DIM", 48], "and of 32"),
        (["MODEL.IFC.DROPOUT", 1.0], "0 or more and less than 1"),
        (["MODEL.IFC.NUM_POINTS", -1], "a number, 0 or more"),
        (["MODEL.IFC.CHECKPOINT_ACTIVATIONS", ["encoder", "decoder"]], "any of 'backbone', 'encoder'"),
        (["MODEL.IFC.OVERSAMPLE_RATIO", 0.5], "1 or more"),
        (["MODEL.IFC.IMPORTANCE_SAMPLE_RATIO", 1.5], "from 0 to 1"),
        (["INPUT.SAMPLING_FRAME_RANGE", -1], "0 or more"),
        (["INPUT.MAX_SIZE_TRAIN", 0], "at least 1"),
        (["INPUT.MIN_SIZE_TEST", -1], "0 or more"),
        (["INPUT.MIN_SIZE_TRAIN", ()], "whole numbers of pixels"),
        (["INPUT.MIN_SIZE_TRAIN", (-1,)], "whole numbers of pixels"),
        (["INPUT.MIN_SIZE_TRAIN", ("a",)], "whole numbers of pixels"),
        ([*RANGE, (30,)], "(smallest, largest) for 'range'"),
        ([*RANGE, (50, 30)], "(smallest, largest) for 'range'"),
        ([*BY_CLIP, (30, 40, 50)], "(smallest, largest) for 'range_by_clip'"),
        (["INPUT.AUGMENTATIONS", ["brightness", "hue"]], "any of 'brightness'"),
        ([*CROP, [2.0, 0.5]], "two fractions"),
        ([*CROP, [0.0, 0.5]], "two fractions"),
        ([*CROP, [0.5]], "two fractions"),
        ([*PIXELS, [600, 384]], "smallest"),
        ([*PIXELS, [0, 10]], "two whole numbers of pixels"),
        ([*PIXELS, [20.5, 30]], "two whole numbers of pixels"),
        ([*PIXELS, [20]], "two whole numbers of pixels"),
        (["INPUT.CROP.ENABLED", True, "INPUT.REDUCED_DECODE", True], "False with INPUT.CROP.ENABLED"),
        (["INPUT.MOTION", [15.0, 0.2]], "degrees"),
        (["INPUT.MOTION", [15.0, 0.2, 0.5]], "factor from 1"),
        (["INPUT.PSEUDO_CLIP", "smooth", "INPUT.COPY_PASTE", 1.5], "a probability"),
        (["INPUT.COPY_PASTE", 0.5], "0 with INPUT.PSEUDO_CLIP 'independent'"),
        (["MODEL.TIMM.ARGUMENTS", ["drop_path_rate", 0.2]], "name, value"),
        (["MODEL.IFC.NO_OBJECT_WEIGHT", -0.5], "0 or more"),
        (["MODEL.IFC.DICE_WEIGHT", "1e999"], "0 or more"),
        (["MODEL.PIXEL_MEAN", [1.0, 2.0]], "three numbers, one a channel"),
        (["MODEL.PIXEL_STD", [1.0, 0.0, 1.0]], "three numbers above 0"),
        (["MODEL.IFC.ENC_LAYERS", "None"], "one such as 3"),
        (["DATASETS.VIDEO_JSON", "None"], "one such as []"),
        (["DATASETS.TRAIN_RATIO", [1, 2, 3]], "1 numbers above 0, one for each of DATASETS.TRAIN"),
        (["DATASETS.TRAIN_RATIO", [0]], "1 numbers above 0"),
        (["DATASETS.TRAIN_RATIO", [-1]], "1 numbers above 0"),
        (["DATASETS.TRAIN_RATIO", ["2"]], "1 numbers above 0"),
        (["DATASETS.TRAIN_RATIO", [True]], "1 numbers above 0"),
        (["DATALOADER.NUM_WORKERS", -1], "0 or more"),
        (["SOLVER.MAX_ITER", 0], "at least 1"),
        (["SOLVER.CHECKPOINT_PERIOD", 0], "at least 1"),
        (["SOLVER.BASE_LR", -0.1], "0 or more"),
        (["SOLVER.BACKBONE_MULTIPLIER", -0.1], "0 or more"),
        (["SOLVER.WEIGHT_DECAY", "1e999"], "0 or more"),
        (["SOLVER.CLIP_GRADIENTS.CLIP_VALUE", 0.0], "more than 0"),
        (["SOLVER.REFERENCE_WORLD_SIZE", 4, "SOLVER.IMS_PER_BATCH", 2], "a multiple of SOLVER.REFERENCE_WORLD_SIZE, 4"),
        (["MODEL.DEVICE", "gpu"], "'cuda' or 'cpu'"),
        (["MODEL.IFC.CHECKPOINT_ACTIVATIONS", ["backbone"], "MODEL.RESNETS.NORM", "BN"], "another with 'backbone'"),
        (["SOLVER.ACCUMULATE", 0], "at least 1"),
        (["SOLVER.EMA_DECAY", 1.0], "0 or more and less than 1"),
        (["SOLVER.MAX_SKIPPED_STEPS", -1], "0 or more"),
        (["SOLVER.KEEP_CHECKPOINTS", -1], "0 or more"),
        (["DATALOADER.MAX_UNREADABLE", 1.5], "a share, 0 to 1"),
        ([f"{TRACKER}.MASK_WEIGHT", -1.0], "0 or more"),
        ([f"{TRACKER}.EXEMPLARS", -1], "0 or more"),
        ([f"{TRACKER}.MEMORY_TRACKS", -1], "0 or more"),
        ([f"{TRACKER}.SIMILARITY", 1.5], "from 0 to 1"),
        ([f"{TRACKER}.SIMILARITY", -0.5], "from 0 to 1"),
        ([f"{TRACKER}.MOMENTUM", 0.0], "more than 0"),
        ([f"{TRACKER}.MEMORY_FRAMES", 10], "0 with MODEL.IFC.TRACKER.ASSOCIATION 'mask'"),
        ([*EMBEDDING, f"{TRACKER}.EMBEDDING_WEIGHT", 0.0], "more than 0 with"),
        ([*EMBEDDING, f"{TRACKER}.MEMORY_FRAMES", 10, f"{TRACKER}.MEMORY_TRACKS", 0], "1 or more with"),
        (["INPUT.CLIPS_PER_VIDEO", 0], "at least 1"),
        (["MODEL.IFC.APPEARANCE.DIM", -1], "0 or more"),
        (["MODEL.IFC.APPEARANCE.WEIGHT", -1.0], "0 or more"),
        (["MODEL.IFC.APPEARANCE.DIM", 8, "MODEL.IFC.APPEARANCE.TEMPERATURE", 0.0], "above 0"),
        (["MODEL.IFC.APPEARANCE.ONLY", True], "MODEL.IFC.APPEARANCE.DIM 0"),
    ],
)
def test_values_out_of_range(tmp_path, opts, expected):
    """The last key of `opts` is the wrong one."""
    message = error_of(tmp_path, *opts)
    assert re.fullmatch(rf"{opts[-2]}: found .*, expected .*{re.escape(expected)}.*", message), message


@pytest.mark.parametrize(
    ("device", "num_gpus", "found"), [("cuda", 0, "no GPU"), ("cuda:0", 0, "no GPU"), ("cuda:1", 1, "1 GPU")]
)
def test_device_that_is_not_there(tmp_path, monkeypatch, device, num_gpus, found):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: num_gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    message = error_of(tmp_path, "MODEL.DEVICE", device)
    assert message.startswith(f"MODEL.DEVICE: found '{device}', but {found} is visible; add MODEL.DEVICE cpu")


def test_gpu_with_mixed_precision(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert tiny_config(tmp_path, "MODEL.DEVICE", "cuda:1", "SOLVER.AMP.ENABLED", True).SOLVER.AMP.ENABLED


def test_bfloat16_on_a_gpu_without_it(tmp_path, monkeypatch):
    opts = ["MODEL.DEVICE", "cuda", "MODEL.IFC.PRECISION", "bfloat16"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert error_of(tmp_path, *opts).startswith("MODEL.IFC.PRECISION: found 'bfloat16', expected ")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert tiny_config(tmp_path, *opts).MODEL.IFC.PRECISION == "bfloat16"


def test_missing_weights(tmp_path):
    message = error_of(tmp_path, "MODEL.WEIGHTS", "nowhere.pth", kind=FileNotFoundError)
    assert message == "MODEL.WEIGHTS nowhere.pth: no such file"
    assert tiny_config(tmp_path, "MODEL.WEIGHTS", "detectron2://fetched/later.pkl").MODEL.WEIGHTS


def test_resuming_needs_no_weights_but_the_last_checkpoint(tmp_path):
    opts = ["MODEL.WEIGHTS", "nowhere.pth", "OUTPUT_DIR", str(tmp_path)]
    with pytest.raises(FileNotFoundError, match="MODEL.WEIGHTS nowhere.pth"):
        setup_config(write_config(tmp_path), opts, resume=True)
    (tmp_path / "last_checkpoint").write_text("model_0000001.pth")
    assert str(tmp_path) == setup_config(write_config(tmp_path), opts, resume=True).OUTPUT_DIR


@pytest.mark.parametrize(
    ("split", "expected", "message"),
    [
        ("val", [["bbox", "AP", 1.0, 1.0]], "expected [task, metric, value, tolerance] with a task of ['segm']"),
        ("coco_val", [["keypoints", "AP", 1.0, 1.0]], "with a task of ['bbox', 'segm'] for data set"),
        ("val", [["segm", "AP", 1.0]], "found ['segm', 'AP', 1.0], expected [task, metric, value, tolerance]"),
        ("val", ["segm"], "found 'segm', expected [task, metric, value, tolerance]"),
    ],
)
def test_expected_results_that_cannot_come(data, tmp_path, split, expected, message):
    found = error_of(tmp_path, "DATASETS.TEST", (f"engine_{split}",), "TEST.EXPECTED_RESULTS", expected)
    assert re.match(f"TEST.EXPECTED_RESULTS: .*{re.escape(message)}", found)


def test_expected_results_need_one_data_set(data, tmp_path):
    expected = ["TEST.EXPECTED_RESULTS", [["segm", "AP", 1.0, 1.0]]]
    found = error_of(tmp_path, "DATASETS.TEST", ("engine_val", "engine_coco_val"), *expected)
    assert re.match("TEST.EXPECTED_RESULTS: found .* with 2 sets in DATASETS.TEST$", found)
