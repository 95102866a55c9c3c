# SPDX-License-Identifier: Apache-2.0
"""Clips for training, videos and images for testing.

The tiny data set's frames show their own number in red (20 times it) and their instances in green.
"""

import collections
import copy
import itertools
import re

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ifc.data import CocoClipDatasetMapper, YTVISDatasetMapper, load_ytvis_json, mapper
from ifc.data.clip_masks import run_length_masks
from ifc.data.mapper import read_frame, sample_frames
from ifc.ytvis.images import BadImageError
from ifc.ytvis.masks import fill_polygons

NUM_CLASSES = 2


@pytest.fixture
def videos(tiny):
    return load_ytvis_json(tiny.json_file, tiny.image_root)


def fix_frames(monkeypatch, frames):
    """Let the mapper sample these frames."""
    monkeypatch.setattr(mapper, "sample_frames", lambda *arguments: list(frames))


def frame_number(image):
    return round(image[0].float().median().item() / 20)


# Sampling


@given(
    length=st.integers(1, 60), num_frames=st.integers(1, 7), frame_range=st.integers(0, 25), seed=st.integers(0, 999)
)
def test_sampled_frames_are_sorted_and_near_a_reference(length, num_frames, frame_range, seed):
    np.random.seed(seed)
    frames = sample_frames(length, num_frames, frame_range)
    assert len(frames) == num_frames
    assert frames == sorted(frames)
    assert frames[0] >= 0 and frames[-1] < length

    def can_be_reference(candidate):
        others = list(frames)
        others.remove(candidate)
        alone = length == 1 or frame_range == 0
        return all(abs(frame - candidate) <= frame_range and (alone or frame != candidate) for frame in others)

    assert any(can_be_reference(candidate) for candidate in frames)


def test_reference_is_uniform_and_the_others_too():
    np.random.seed(0)
    references = collections.Counter(sample_frames(10, 1, 3)[0] for _ in range(4000))
    assert set(references) == set(range(10))
    assert all(320 <= count <= 480 for count in references.values())
    pairs = collections.Counter(tuple(sample_frames(5, 2, 2)) for _ in range(6000))
    # A pair (a, b) comes up by reference a with 1/5 · 1/(neighbors of a), and the other way round.
    neighbors = [2, 3, 4, 3, 2]
    expected = {
        (a, b): 6000 / 5 * (1 / neighbors[a] + 1 / neighbors[b]) for a in range(5) for b in range(a + 1, min(a + 3, 5))
    }
    assert set(pairs) == set(expected)
    assert all(abs(pairs[pair] - count) < 5 * count**0.5 for pair, count in expected.items())


def test_other_frames_are_drawn_with_replacement():
    np.random.seed(0)
    draws = {tuple(sample_frames(2, 4, 20)) for _ in range(100)}
    assert draws == {(0, 1, 1, 1), (0, 0, 0, 1)}


def test_shuffle_leaves_frames_in_any_order():
    np.random.seed(0)
    clips = [sample_frames(30, 4, 20, shuffle=True) for _ in range(50)]
    assert sum(clip != sorted(clip) for clip in clips) > 30


def test_a_video_of_one_frame_repeats_it():
    assert sample_frames(1, 5, 20) == [0] * 5


# Training clips of videos


def test_clip_of_a_video(cfg, videos, monkeypatch):
    fix_frames(monkeypatch, [1, 2, 4])
    sample = YTVISDatasetMapper(cfg, is_train=True)(videos[0])
    assert [frame_number(image) for image in sample["image"]] == [1, 2, 4]
    assert all(image.dtype == torch.uint8 and image.shape == (3, 24, 40) for image in sample["image"])
    assert sample["file_names"] == [videos[0]["file_names"][t] for t in (1, 2, 4)]
    assert (sample["video_id"], sample["height"], sample["width"], sample["length"]) == (11, 24, 40, 6)
    # Row 0 moves through all frames; row 1 is on frame 1 alone; the crowd has no row.
    assert [instances.gt_ids.tolist() for instances in sample["instances"]] == [[0, 1], [0, -1], [0, -1]]
    assert [i.gt_classes.tolist() for i in sample["instances"]] == [[0, 1], [0, NUM_CLASSES], [0, NUM_CLASSES]]
    for image, instances in zip(sample["image"], sample["instances"], strict=True):
        assert instances.image_size == (24, 40)
        assert instances.gt_ids.dtype == instances.gt_classes.dtype == torch.int64
        assert instances.gt_masks.tensor.dtype == torch.bool
        assert torch.equal(instances.gt_masks.tensor.any(dim=0), image[1] > 100)
        assert isinstance(instances.gt_boxes, Boxes)
    assert sample["instances"][1].gt_masks.tensor[1].sum() == 0
    assert sample["instances"][2].gt_boxes.tensor.tolist() == [[16, 8, 24, 16], [0, 0, 0, 0]]


def test_an_instance_on_none_of_the_frames_has_no_row(cfg, videos, monkeypatch):
    fix_frames(monkeypatch, [2, 3, 3])
    sample = YTVISDatasetMapper(cfg, is_train=True)(videos[0])
    assert [instances.gt_ids.tolist() for instances in sample["instances"]] == [[0], [0], [0]]


def test_a_clip_without_instances(cfg, videos, monkeypatch):
    fix_frames(monkeypatch, [2, 3, 4])
    videos[0]["annotations"] = videos[0]["annotations"][1:]
    for instances in YTVISDatasetMapper(cfg, is_train=True)(videos[0])["instances"]:
        assert len(instances) == 0
        assert instances.gt_masks.tensor.shape == (0, 24, 40)
        assert instances.gt_boxes.tensor.shape == (0, 4)
        assert instances.gt_classes.dtype == torch.int64


def test_masks_follow_their_image_through_the_augmentations(cfg, videos):
    cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE = True, "relative_range", [0.6, 0.6]
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING = (24, 64), "range"
    cfg.INPUT.RANDOM_FLIP = "horizontal"
    cfg.INPUT.AUGMENTATIONS = ["brightness", "rotation"]
    np.random.seed(0)
    train_mapper = YTVISDatasetMapper(cfg, is_train=True)
    sizes = set()
    for _ in range(20):
        sample = train_mapper(videos[0])
        for image, instances in zip(sample["image"], sample["instances"], strict=True):
            sizes.add(tuple(image.shape))
            assert instances.image_size == image.shape[1:]
            shown, masks = image[1] > 120, instances.gt_masks.tensor.any(dim=0)
            assert (shown != masks).float().mean() < 0.05  # the edges, which the image blends
    assert len(sizes) > 20


def test_an_instance_that_the_crop_leaves_out_is_absent_on_that_frame(cfg, videos, monkeypatch):
    cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE = True, "absolute", [24, 20]
    fix_frames(monkeypatch, [0, 0, 0, 0])
    np.random.seed(1)
    sample = YTVISDatasetMapper(cfg, is_train=True)(videos[0])
    seen = set()
    for image, instances in zip(sample["image"], sample["instances"], strict=True):
        inside = instances.gt_masks.tensor.flatten(1).any(dim=1)
        assert torch.equal(inside.any(), (image[1] > 120).any())
        assert instances.gt_ids.tolist() == [row if present else -1 for row, present in enumerate(inside.tolist())]
        classes = [label if present else NUM_CLASSES for label, present in zip([0, 1], inside.tolist(), strict=True)]
        assert instances.gt_classes.tolist() == classes
        seen.add(tuple(inside.tolist()))
    assert len(seen) > 1


def test_by_clip_augmentations_hold_for_all_frames(cfg, videos, monkeypatch):
    fix_frames(monkeypatch, [3, 3, 3])
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING = (24, 90), "range_by_clip"
    cfg.INPUT.RANDOM_FLIP = "flip_by_clip"
    np.random.seed(0)
    train_mapper = YTVISDatasetMapper(cfg, is_train=True)
    clips = [train_mapper(videos[0])["image"] for _ in range(20)]
    for first, second, third in clips:
        assert torch.equal(first, second) and torch.equal(first, third)
    assert len({clip[0].shape for clip in clips}) > 5


def test_only_sampled_frames_are_read_each_once(cfg, videos, monkeypatch):
    """Other frames' files may be missing, their RLEs may not decode, and the record stays as it is."""
    fix_frames(monkeypatch, [2, 2, 4])
    for t in (0, 1, 3, 5):
        videos[0]["file_names"][t] = "missing.png"
        videos[0]["annotations"][0]["segmentations"][t] = {"size": [1, 1], "counts": "broken"}
    before = copy.deepcopy(videos[0])
    read, decoded = [], []
    monkeypatch.setattr(mapper, "read_frame", lambda name, *rest: read.append(name) or read_frame(name, *rest))
    monkeypatch.setattr(mapper, "run_length_masks", lambda *call: decoded.extend(call[0]) or run_length_masks(*call))
    sample = YTVISDatasetMapper(cfg, is_train=True)(videos[0])
    assert sorted(read) == [videos[0]["file_names"][t] for t in (2, 4)]
    segmentations = videos[0]["annotations"][0]["segmentations"]
    assert [segmentations.index(segmentation) for segmentation in decoded] == [2, 4]
    assert all(segmentation is segmentations[t] for segmentation, t in zip(decoded, (2, 4), strict=True))  # no copies
    assert videos[0] == before
    assert sample["image"][0].data_ptr() != sample["image"][1].data_ptr()


def test_the_same_seed_gives_the_same_clip(cfg, videos):
    cfg.INPUT.AUGMENTATIONS = ["rotation", "contrast"]
    cfg.INPUT.SAMPLING_FRAME_SHUFFLE = True
    clips = []
    for _ in range(2):
        np.random.seed(5)
        clips.append(YTVISDatasetMapper(cfg, is_train=True)(videos[0]))
    assert clips[0]["file_names"] == clips[1]["file_names"]
    assert all(torch.equal(*images) for images in zip(clips[0]["image"], clips[1]["image"], strict=True))


def test_config_reaches_the_sampling(cfg, videos, monkeypatch):
    cfg.INPUT.SAMPLING_FRAME_NUM, cfg.INPUT.SAMPLING_FRAME_RANGE, cfg.INPUT.SAMPLING_FRAME_SHUFFLE = 4, 7, True
    calls = []
    monkeypatch.setattr(mapper, "sample_frames", lambda *arguments: calls.append(arguments) or [0, 1, 2, 3])
    YTVISDatasetMapper(cfg, is_train=True)(videos[0])
    assert calls == [(6, 4, 7, True)]


def test_bgr_is_rgb_reversed(cfg, videos, monkeypatch):
    fix_frames(monkeypatch, [5, 5, 5])
    rgb = YTVISDatasetMapper(cfg, is_train=True)(videos[0])["image"][0]
    cfg.INPUT.FORMAT = "BGR"
    bgr = YTVISDatasetMapper(cfg, is_train=True)(videos[0])["image"][0]
    assert torch.equal(rgb.flip(0), bgr)
    assert not torch.equal(rgb, bgr)


# Videos for testing


def test_video_for_testing(cfg, videos):
    cfg.INPUT.MIN_SIZE_TEST = 48
    for record in videos:
        del record["annotations"]
    sample = YTVISDatasetMapper(cfg, is_train=False)(videos[1])
    assert [frame_number(image) for image in sample["image"]] == list(range(6))
    assert all(image.shape == (3, 48, 80) and image.dtype == torch.uint8 for image in sample["image"])
    assert (sample["height"], sample["width"], sample["length"], sample["video_id"]) == (24, 40, 6, 5)
    assert sample["file_names"] == videos[1]["file_names"]
    assert "instances" not in sample


def test_an_instance_has_one_identity_in_all_clips(cfg, videos, monkeypatch):
    """Whatever its row there. The crowd, which is no instance, does not count."""
    first = videos[0]
    first["annotations"].insert(0, first["annotations"].pop(1))  # the one that is on frames 0 and 1 alone
    of_clips = []
    for frames in ([0, 1, 2], [3, 4, 5]):
        fix_frames(monkeypatch, frames)
        of_clips.append(YTVISDatasetMapper(cfg, is_train=True)(first)["identities"])
    fix_frames(monkeypatch, [0, 0, 1])
    of_clips.append(YTVISDatasetMapper(cfg, is_train=True)(videos[1])["identities"])
    assert [len(identities) for identities in of_clips] == [2, 1, 1]
    assert of_clips[1][0] == of_clips[0][1]
    assert len(set(itertools.chain(*of_clips))) == 3


# Images


def test_pseudo_clip_of_an_image(cfg, image_record):
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING = (24, 90), "range"
    before = copy.deepcopy(image_record)
    np.random.seed(0)
    sample = CocoClipDatasetMapper(cfg, is_train=True)(image_record)
    assert image_record == before
    assert (sample["image_id"], sample["height"], sample["width"]) == (9, 24, 40)
    assert sample["file_names"] == [image_record["file_name"]] * 3
    assert len({image.shape for image in sample["image"]}) > 1  # augmented independently
    assert len(set(sample["identities"])) == 2
    assert CocoClipDatasetMapper(cfg, is_train=True)(image_record)["identities"] == sample["identities"]
    for image, instances in zip(sample["image"], sample["instances"], strict=True):
        assert instances.gt_ids.tolist() == [0, 1]
        assert instances.gt_classes.tolist() == [0, 1]
        assert instances.image_size == image.shape[1:]
        assert ((image[1] > 120) != instances.gt_masks.tensor.any(dim=0)).float().mean() < 0.05


def test_pseudo_clip_keeps_rows_of_what_the_crop_leaves_out(cfg, image_record):
    cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE = True, "absolute", [24, 20]
    cfg.INPUT.SAMPLING_FRAME_NUM = 8
    np.random.seed(0)
    sample = CocoClipDatasetMapper(cfg, is_train=True)(image_record)
    ids = {tuple(instances.gt_ids.tolist()) for instances in sample["instances"]}
    assert all(len(instances) == 2 for instances in sample["instances"])
    assert len(ids) > 1 and ids <= {(0, 1), (0, -1), (-1, 1), (-1, -1)}


def test_image_without_annotations(cfg, image_record):
    image_record["annotations"] = []
    sample = CocoClipDatasetMapper(cfg, is_train=True)(image_record)
    assert [len(instances) for instances in sample["instances"]] == [0, 0, 0]


def test_image_for_testing(cfg, image_record):
    cfg.INPUT.MIN_SIZE_TEST = 48
    sample = CocoClipDatasetMapper(cfg, is_train=False)(image_record)
    assert sample["image"].shape == (3, 48, 80) and sample["image"].dtype == torch.uint8
    assert {key: sample[key] for key in ("image_id", "height", "width", "file_name")} == {
        "image_id": 9,
        "height": 24,
        "width": 40,
        "file_name": image_record["file_name"],
    }
    assert set(sample) == {"image", "image_id", "height", "width", "file_name"}


# Frames


def test_reduced_decoding(cfg, tmp_path):
    """Frames are decoded at a quarter of their size where that is enough; the rest of a clip stays the same."""
    noise = np.random.default_rng(0).integers(0, 256, (15, 20, 3), dtype=np.uint8)
    path, reductions = str(tmp_path / "a.jpg"), []
    Image.fromarray(noise).resize((400, 300), Image.BICUBIC).save(path, quality=95)
    mask = fill_polygons([[40, 40, 200, 40, 200, 90, 40, 90]], (300, 400))
    box = {"category_id": 0, "iscrowd": 0, "segmentations": [mask]}
    record = {"video_id": 1, "file_names": [path], "height": 300, "width": 400, "length": 1, "annotations": [box]}
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING = (60, 75, 160), "choice_by_clip"
    clips = {}
    for cfg.INPUT.REDUCED_DECODE in (False, True):
        train_mapper = YTVISDatasetMapper(cfg, is_train=True)
        np.random.seed(0)
        clips[cfg.INPUT.REDUCED_DECODE] = [train_mapper(record) for _ in range(8)]
    assert {clip["image"][0].shape[1] for clip in clips[True]} == {60, 75, 160}
    for clip, expected in zip(clips[True], clips[False], strict=True):
        difference = (clip["image"][0].float() - expected["image"][0].float()).abs()
        reductions.append(0 if difference.max() <= 1 else 1)
        assert difference.mean() < 3
        assert torch.equal(clip["instances"][0].gt_masks.tensor, expected["instances"][0].gt_masks.tensor)
    assert {clip["image"][0].shape[1] for clip, reduced in zip(clips[True], reductions, strict=True) if reduced} == {
        60,
        75,
    }


def test_reduction_is_the_largest_that_needs_no_enlarging(cfg):
    for sizes, style, expected in (
        ((360,), "choice", 2),
        ((270,), "choice", 4),
        ((271, 100), "choice", 2),
        ((100,), "choice", 8),
        ((541,), "choice", 1),
        ((0,), "choice", 1),
        ((100, 300), "range", 2),
    ):
        cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING = sizes, style
        augmentation = YTVISDatasetMapper(cfg, is_train=True).augmentation
        assert augmentation.reduction(augmentation.for_clip(), (1080, 1920)) == expected
        assert augmentation.reduction(augmentation.for_clip(), (1920, 1080)) == expected


# Faulty frames


def test_missing_frame(cfg, tiny, videos):
    tiny.frame(1, 3).unlink()
    with pytest.raises(BadImageError, match=f"^{re.escape(str(tiny.frame(1, 3)))}: found no such file"):
        list(YTVISDatasetMapper(cfg, is_train=False)(videos[1])["image"])


def test_frame_of_another_size(cfg, tiny, videos):
    Image.new("RGB", (24, 40)).save(tiny.frame(1, 3))
    with pytest.raises(BadImageError, match=f"^{re.escape(str(tiny.frame(1, 3)))}: found 40 x 24, expected 24 x 40"):
        list(YTVISDatasetMapper(cfg, is_train=False)(videos[1])["image"])
