# SPDX-License-Identifier: Apache-2.0
"""The loaders: what they deliver, and what they find before any work."""

import collections
import copy
import itertools
import json
import multiprocessing
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data.datasets import load_coco_json
from detectron2.utils import comm
from PIL import Image

from ifc.data import build_test_loader, build_train_loader
from ifc.data.dataset_dicts import load_ytvis_json
from ifc.data.loaders import check_frames, load_records
from ifc.ytvis.images import BadImageError


@pytest.fixture
def coco_json(tiny):
    """The tiny data set's frames 0 and 1 of each video as a COCO json."""
    images, annotations = [], []
    for video in tiny.content["videos"]:
        for t in (0, 1):
            image_id = 10 * video["id"] + t
            images.append({"id": image_id, "file_name": video["file_names"][t], "height": 24, "width": 40})
            for source in tiny.content["annotations"]:
                if source["video_id"] == video["id"]:
                    annotation = {key: source[key] for key in ("category_id", "iscrowd")}
                    annotation |= {"id": len(annotations) + 1, "image_id": image_id, "bbox": source["bboxes"][t]}
                    annotations.append(annotation | {"segmentation": source["segmentations"][t]})
    path = tiny.root / "coco.json"
    content = {"images": images, "categories": tiny.content["categories"], "annotations": annotations}
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def register_coco(tiny, coco_json, register):
    """Registers `coco_json` as detectron2's register_coco_instances does."""

    def register_one():
        paths = {"json_file": str(coco_json), "image_root": tiny.image_root}
        name = register(load=lambda: load_coco_json(*paths.values(), name), evaluator_type="coco", **paths)
        return name

    return register_one


def change_json(path, change):
    content = json.loads(Path(path).read_text())
    change(content)
    Path(path).write_text(json.dumps(content))


def train_on(cfg, *names):
    cfg.DATASETS.TRAIN = names
    return build_train_loader(cfg)


# What they deliver


@pytest.mark.parametrize("num_workers", [0, 2])
def test_train_loader_of_videos(cfg, tiny, register, num_workers):
    cfg.DATALOADER.NUM_WORKERS = num_workers
    cfg.SOLVER.IMS_PER_BATCH = 4
    batches = list(itertools.islice(train_on(cfg, register(tiny)), 3))
    assert [len(batch) for batch in batches] == [4, 4, 4]
    clips = [clip for batch in batches for clip in batch]
    assert {clip["video_id"] for clip in clips} == {5, 11}
    assert all(len(clip["image"]) == len(clip["instances"]) == 3 for clip in clips)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_two_clips_of_a_video(cfg, tiny, register, register_coco, num_workers):
    """Or of an image: another pseudo-clip of it. Their instances are known by their identities."""
    cfg.DATALOADER.NUM_WORKERS, cfg.INPUT.CLIPS_PER_VIDEO, cfg.SOLVER.IMS_PER_BATCH = num_workers, 2, 4
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.SAMPLING_FRAME_RANGE = (24, 26, 28), 1
    clips = list(itertools.chain(*itertools.islice(train_on(cfg, register(tiny), register_coco()), 24)))
    pairs = list(zip(clips[::2], clips[1::2], strict=True))
    for first, second in pairs:
        assert first["file_names"][0].split("/")[:-1] == second["file_names"][0].split("/")[:-1]
        assert set(first["identities"]) & set(second["identities"])
    assert len({(clip.get("video_id"), clip.get("image_id")) for clip in clips}) == 6
    assert len({identity for clip in clips for identity in clip["identities"]}) == 3 + 6
    starts = [[int(clip["file_names"][0][-9:-4]) for clip in pair] for pair in pairs if "video_id" in pair[0]]
    assert max(abs(a - b) for a, b in starts) >= 3  # each clip lies anywhere in the video
    assert any(a["image"][0].shape != b["image"][0].shape for a, b in pairs)


def test_train_loader_of_images(cfg, register_coco):
    batch = next(iter(train_on(cfg, register_coco())))
    assert [len(clip["image"]) for clip in batch] == [3, 3]
    assert all("image_id" in clip for clip in batch)


def test_workers_draw_differently(cfg, tiny, register):
    """numpy's generator is seeded for each worker: the same video gives different clips."""
    cfg.DATALOADER.NUM_WORKERS = 2
    cfg.INPUT.SAMPLING_FRAME_RANGE = 5
    clips = itertools.chain.from_iterable(itertools.islice(train_on(cfg, register(tiny)), 10))
    assert len({tuple(clip["file_names"]) for clip in clips}) > 10


def test_several_data_sets_of_one_kind(cfg, tiny, register):
    cfg.SOLVER.IMS_PER_BATCH = 4
    seen = [clip["video_id"] for clip in next(iter(train_on(cfg, register(tiny), register(tiny))))]
    assert sorted(seen) == [5, 5, 11, 11]


def test_videos_and_images_together(cfg, tiny, register, register_coco):
    cfg.SOLVER.IMS_PER_BATCH = 6
    clips = next(iter(train_on(cfg, register(tiny), register_coco())))
    assert sorted(clip["video_id"] for clip in clips if "video_id" in clip) == [5, 11]
    assert sorted(clip["image_id"] for clip in clips if "image_id" in clip) == [50, 51, 110, 111]
    assert all(len(clip["image"]) == len(clip["instances"]) == 3 for clip in clips)


def test_ratio_of_data_sets(cfg, tiny, register, register_coco):
    """Two videos and four images, three clips of videos to one of an image; each video as often as the other."""
    cfg.DATASETS.TRAIN, cfg.DATASETS.TRAIN_RATIO = [register(tiny), register_coco()], [3, 1.0]
    loader = build_train_loader(cfg, mapper=lambda record: record.get("video_id", record.get("image_id")))
    drawn = collections.Counter(itertools.chain.from_iterable(itertools.islice(loader, 1000)))
    assert set(drawn) == {5, 11, 50, 51, 110, 111}
    shares = {number: count / drawn.total() for number, count in drawn.items()}
    assert shares[5] == pytest.approx(3 / 8, rel=0.05) and shares[11] == pytest.approx(3 / 8, rel=0.05)
    assert all(shares[number] == pytest.approx(1 / 16, rel=0.25) for number in (50, 51, 110, 111))


def test_own_mapper(cfg, tiny, register):
    cfg.DATASETS.TRAIN = [register(tiny)]
    loader = build_train_loader(cfg, mapper=lambda record: record["video_id"])
    assert sorted(next(iter(loader))) == [5, 11]
    loader = build_test_loader(cfg, cfg.DATASETS.TRAIN[0], mapper=lambda record: record["video_id"])
    assert [batch for batch in loader] == [[11], [5]]


def test_a_mapper_of_ones_own_gets_whole_records(cfg, tiny, register):
    """Also one that begins with a deep copy, as detectron2's do."""
    given = []
    cfg.DATASETS.TRAIN = [register(tiny)]
    loader = build_train_loader(cfg, mapper=lambda record: given.append(copy.deepcopy(record)) or 1)
    list(itertools.islice(loader, 4))
    assert all(record in load_ytvis_json(tiny.json_file, tiny.image_root) for record in given)


@pytest.fixture
def spawn():
    """New processes are spawned, as on systems that do not fork."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


def test_spawned_workers(cfg, tiny, register, spawn):
    cfg.DATALOADER.NUM_WORKERS = 1
    clips = next(iter(train_on(cfg, register(tiny))))
    assert {clip["video_id"] for clip in clips} == {5, 11}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_test_loader_of_videos(cfg, tiny, register, num_workers):
    cfg.DATALOADER.NUM_WORKERS = num_workers
    batches = list(build_test_loader(cfg, register(tiny)))
    assert [[video["video_id"] for video in batch] for batch in batches] == [[11], [5]]
    assert [len(batch[0]["image"]) for batch in batches] == [6, 6]


def test_test_loader_of_images(cfg, register_coco):
    batches = list(build_test_loader(cfg, register_coco()))
    assert [batch[0]["image_id"] for batch in batches] == [50, 51, 110, 111]
    assert all(isinstance(batch[0]["image"], torch.Tensor) for batch in batches)


def test_every_process_has_its_own_videos(cfg, tiny, register, monkeypatch):
    name = register(tiny)
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    shares = []
    for rank in (0, 1):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        shares.append([batch[0]["video_id"] for batch in build_test_loader(cfg, name)])
    assert shares == [[11], [5]]


def test_test_split_without_annotations(cfg, tiny, register):
    del tiny.content["annotations"]
    assert len(list(build_test_loader(cfg, register(tiny.write())))) == 2


@pytest.mark.parametrize(("filter_empty", "expected"), [(False, {5, 11}), (True, {5})])
def test_videos_without_instances(cfg, tiny, register, filter_empty, expected):
    """Video 11 is left with a crowd and an instance that is on no frame."""
    tiny.content["annotations"] = tiny.content["annotations"][1:]
    tiny.content["annotations"][0]["segmentations"] = [None] * 6
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = filter_empty
    batches = itertools.islice(train_on(cfg, register(tiny.write())), 4)
    assert {clip["video_id"] for batch in batches for clip in batch} == expected


# Settings that do not fit


def test_batch_that_the_processes_cannot_share(cfg, tiny, register, monkeypatch):
    monkeypatch.setattr(comm, "get_world_size", lambda: 3)
    cfg.SOLVER.IMS_PER_BATCH = 8
    with pytest.raises(ValueError, match="SOLVER.IMS_PER_BATCH: found 8, expected a multiple of the .* processes, 3"):
        train_on(cfg, register(tiny))
    cfg.SOLVER.IMS_PER_BATCH, cfg.INPUT.CLIPS_PER_VIDEO = 9, 2
    with pytest.raises(ValueError, match="SOLVER.IMS_PER_BATCH: found 9, .* processes, 3, .*CLIPS_PER_VIDEO, 2"):
        train_on(cfg, register(tiny))


def test_an_appearance_head_without_pairs_to_learn_from(cfg, tiny, register):
    cfg.MODEL.IFC.APPEARANCE.DIM = 8
    with pytest.raises(ValueError, match=r"^INPUT.CLIPS_PER_VIDEO: found 1, expected 2 .*MODEL.IFC.APPEARANCE.DIM"):
        train_on(cfg, register(tiny))


@pytest.mark.parametrize("num_classes", [1, 3])
def test_number_of_classes(cfg, tiny, register, register_coco, num_classes):
    cfg.MODEL.IFC.NUM_CLASSES = num_classes
    for name in (register(tiny), register_coco()):
        message = f"MODEL.IFC.NUM_CLASSES: found {num_classes}, expected 2, the classes of data set '{name}'"
        with pytest.raises(ValueError, match=message):
            train_on(cfg, name)
        with pytest.raises(ValueError, match=message):
            build_test_loader(cfg, name)


def test_number_of_classes_of_a_data_set_without_names(register):
    records = [{"file_name": "a", "annotations": [{"category_id": 4, "segmentation": []}]}]
    name = register(load=lambda: records)
    with pytest.raises(ValueError, match=f"NUM_CLASSES: found 4, but data set '{name}' has class 4"):
        load_records(name, 4, is_train=True)


def test_data_sets_with_different_classes(cfg, tiny, register):
    first = register(tiny, thing_classes=["early", "late"])
    second = register(
        load=lambda: load_records(first, 2, True), thing_classes=["late", "early"], evaluator_type="ytvis"
    )
    message = f"classes of '{second}' are .*, expected those of '{first}', which is trained on"
    with pytest.raises(ValueError, match=f"DATASETS.TRAIN: {message}"):
        train_on(cfg, first, second)
    cfg.DATASETS.TEST = [second]
    with pytest.raises(ValueError, match=f"DATASETS.TEST: {message}"):
        train_on(cfg, first)


def test_unknown_data_set(cfg):
    with pytest.raises(ValueError, match="data set 'ytvis_2020_train' is not registered, expected one of: .*coco_2017"):
        train_on(cfg, "ytvis_2020_train")
    with pytest.raises(ValueError, match="data set 'ytvis_2020_val' is not registered"):
        build_test_loader(cfg, "ytvis_2020_val")


def test_no_data_set(cfg):
    with pytest.raises(ValueError, match="DATASETS.TRAIN is empty"):
        train_on(cfg)


# Faulty data


@pytest.mark.parametrize("annotations", ["none", "empty", "crowds"])
def test_nothing_to_train_on(cfg, tiny, register, annotations):
    if annotations == "none":
        del tiny.content["annotations"]
    else:
        tiny.content["annotations"] = tiny.content["annotations"][2:3] if annotations == "crowds" else []
    with pytest.raises(ValueError, match=f"{re.escape(tiny.json_file)}: found no annotated instances"):
        train_on(cfg, register(tiny.write()))


def test_empty_data_set(cfg, register):
    name = register(load=lambda: [])
    for build in (lambda: train_on(cfg, name), lambda: build_test_loader(cfg, name)):
        with pytest.raises(ValueError, match=rf"found no videos or images, .*\(data set '{name}' is empty\)"):
            build()


def break_missing(path):
    path.unlink()
    return "found no such file"


def break_truncated(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return "found a PNG without its end"


def break_size(path):
    Image.new("RGB", (41, 24)).save(path)
    return "found 24 x 41, expected 24 x 40"


def break_content(path):
    path.write_text("not found")
    return "found no image"


BREAKS = [break_missing, break_truncated, break_size, break_content]


@pytest.mark.parametrize("break_file", BREAKS)
def test_faulty_frame_is_found_before_any_work(cfg, tiny, register, break_file):
    path, name = tiny.frame(1, 4), register(tiny)
    message = break_file(path)
    for build in (lambda: train_on(cfg, name), lambda: build_test_loader(cfg, name)):
        with pytest.raises(BadImageError, match=f"^{re.escape(str(path))}: {message}"):
            build()


@pytest.mark.parametrize("break_file", BREAKS)
def test_faulty_image_is_found_before_any_work(cfg, tiny, register_coco, break_file):
    path = tiny.frame(1, 1)
    message = break_file(path)
    with pytest.raises(BadImageError, match=f"^{re.escape(str(path))}: {message}"):
        train_on(cfg, register_coco())


def test_frame_checks_accept_whole_files(tmp_path):
    """PNG, JPEG, JPEG with bytes after its end, and a JPEG that its orientation turns upright."""
    pixels = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8))
    pixels.save(tmp_path / "a.png")
    pixels.save(tmp_path / "b.jpg")
    (tmp_path / "c.jpg").write_bytes((tmp_path / "b.jpg").read_bytes() + bytes(100))
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "d.jpg", exif=exif)
    names = [str(tmp_path / name) for name in ("a.png", "b.jpg", "c.jpg", "d.jpg")]
    check_frames([{"file_names": names, "height": 24, "width": 40}])
    for name in (names[0], names[3]):
        with pytest.raises(ValueError, match=re.escape(name)):
            check_frames([{"file_names": [name], "height": 40, "width": 24}])


def test_every_process_checks_its_share(cfg, tiny, register, monkeypatch):
    """Two videos, two processes: the second one finds the second video's fault."""
    name = register(tiny)
    tiny.frame(1, 0).unlink()
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    monkeypatch.setattr(comm, "get_rank", lambda: 0)
    build_test_loader(cfg, name)
    monkeypatch.setattr(comm, "get_rank", lambda: 1)
    with pytest.raises(BadImageError):
        build_test_loader(cfg, name)


# Faulty COCO jsons


def test_missing_coco_files(cfg, tiny, coco_json, register_coco):
    name = register_coco()
    Path(tiny.image_root).rename(tiny.root / "elsewhere")
    with pytest.raises(FileNotFoundError, match=f"{re.escape(tiny.image_root)}: image folder of data set '{name}'"):
        train_on(cfg, name)
    coco_json.unlink()
    with pytest.raises(FileNotFoundError, match=f"{re.escape(str(coco_json))}: annotation file of data set '{name}'"):
        build_test_loader(cfg, name)


def test_coco_json_cut_in_the_middle(cfg, coco_json, register_coco):
    text = coco_json.read_text()
    coco_json.write_text(text[: len(text) // 2])
    with pytest.raises(
        ValueError, match=rf"{re.escape(str(coco_json))}: not valid json, or cut off, at line 1, column \d+"
    ):
        train_on(cfg, register_coco())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["annotations"][0].update(category_id=3), "cannot be read: KeyError: Encountered category_id=3"),
        (lambda c: c["annotations"][1].update(id=1), "cannot be read: AssertionError: Annotation ids .* not unique"),
        (lambda c: c["images"].clear(), "found no videos or images"),
        (lambda c: c["annotations"][0].pop("id"), "cannot be read: KeyError: id"),
        (
            lambda c: c["annotations"][0].update(segmentation={"size": [24, 40], "counts": [-1, 961]}),
            "cannot be read: OverflowError",
        ),
    ],
)
def test_faulty_coco_json(cfg, coco_json, register_coco, change, message):
    change_json(coco_json, change)
    with pytest.raises(ValueError, match=f"{re.escape(str(coco_json))}: .*{message}"):
        train_on(cfg, register_coco())


@pytest.mark.parametrize(("key", "value"), [("height", None), ("width", "40"), ("height", 24.0), ("width", 0)])
def test_coco_images_without_a_size(cfg, tiny, coco_json, register_coco, key, value):
    change_json(coco_json, lambda content: content["images"][1].update({key: value}))
    found = "nothing" if value is None else repr(value)
    message = f"^{re.escape(str(tiny.frame(0, 1)))}: {key}: found {found}, expected a positive integer, of pixels$"
    for load in (train_on, build_test_loader):
        with pytest.raises(ValueError, match=message):
            load(cfg, register_coco())


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "found an annotation without segmentation, expected a mask"),
        ({"size": [40, 24], "counts": "PPPl0"}, r"segmentation.size: found \[40, 24\], expected \[24, 40\]"),
        ({"size": [24, 40], "counts": "0"}, "segmentation.counts: found runs that add up to 0, expected 960"),
    ],
)
def test_faulty_coco_masks(cfg, tiny, coco_json, register_coco, segmentation, message):
    change_json(coco_json, lambda content: content["annotations"][-1].update(segmentation=segmentation))
    with pytest.raises(ValueError, match=f"^{re.escape(str(tiny.frame(1, 1)))}: {message}"):
        train_on(cfg, register_coco())
