# SPDX-License-Identifier: Apache-2.0
"""Smooth pseudo-clips: how far frames move, that masks move with their image, and what pasted objects hide."""

import copy
import math

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as mask_api

from ifc.data import CocoClipDatasetMapper, motion
from ifc.data.augmentation import ClipAugmentation
from ifc.data.clip_masks import run_length_masks
from ifc.data.motion import Motion, camera_path, object_path, smooth_path, warp

SIZE = (60, 80)
STILL = Motion(0, 0, 1)
seeds = st.integers(0, 999)


def augmentation_of(**options):
    return ClipAugmentation(**{"min_sizes": (45,), "max_size": 1000} | options)


def rectangles():
    """(3, 60, 80), uint8."""
    masks = np.zeros((3, *SIZE), dtype=np.uint8)
    masks[0, 10:30, 20:50] = masks[1, 25:58, 5:9] = masks[2, :, 60:] = 1
    return masks


def read(masks):
    return run_length_masks([mask_api.encode(np.asfortranarray(mask)) for mask in masks], masks.shape[1:])


def point(matrix, xy):
    return matrix[:, :2] @ xy + matrix[:, 2]


@given(seed=seeds, num_frames=st.integers(1, 9), extent=st.floats(0, 5))
def test_paths_are_smooth_and_bounded(seed, num_frames, extent):
    np.random.seed(seed)
    path = smooth_path(num_frames, extent, 2)
    assert path.shape == (num_frames, 2) and np.abs(path).max() <= extent / 2 + 1e-9
    np.testing.assert_allclose(np.diff(path, n=3, axis=0), 0, atol=1e-9)  # steps change evenly


@given(seed=seeds)
def test_frames_differ_by_no_more_than_asked(seed):
    np.random.seed(seed)
    motion = Motion(20, 0.25, 1.5)
    matrices = object_path(motion, np.array([30.0, 20.0]), 1.0, SIZE, 7)
    scales = np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2])))
    angles = np.arctan2(matrices[:, 1, 0], matrices[:, 1, 1])
    places = np.array([point(matrix, [30, 20]) for matrix in matrices])
    assert scales.max() / scales.min() <= 1.5 + 1e-9
    assert np.ptp(angles) <= math.radians(20) + 1e-9
    assert (np.ptp(places, axis=0) <= np.array([80, 60]) / 4 + 1e-9).all()
    assert np.ptp(scales) > 0 and np.ptp(angles) > 0 and np.ptp(places) > 0


@given(seed=seeds, crop=st.sampled_from([None, ("absolute", (20, 30))]), flip=st.sampled_from(["none", "vertical"]))
def test_camera_stays_within_the_image(seed, crop, flip):
    """It sees the resized crop at most, all of one size, and never the black around the image if it does not turn."""
    np.random.seed(seed)
    matrices, size = camera_path(augmentation_of(crop=crop, flip=flip), Motion(0, 0.5, 2), SIZE, 5)
    assert size == ((45, 60) if crop is None else (45, 68))
    frames, _ = warp(np.full((*SIZE, 3), 255, dtype=np.uint8), read(rectangles()), matrices, size)
    inner = np.s_[3:-3, 3:-3]  # without half a pixel of the image, where its edge is blended with the black
    assert all(frame.shape == (*size, 3) and frame[inner].min() == 255 for frame in frames)


def test_without_motion_frames_are_the_resized_image():
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    resize = T.ResizeTransform(*SIZE, 45, 60, Image.BILINEAR)
    for flip, step in (("none", {1}), ("flip_by_clip", {1, -1})):
        steps = set()
        for seed in range(8):
            np.random.seed(seed)
            matrices, size = camera_path(augmentation_of(flip=flip), STILL, SIZE, 3)
            frames, stacks = warp(image, read(rectangles()), matrices, size)
            sign = int(np.sign(matrices[0, 0, 0]))
            steps.add(sign)
            for frame, stack in zip(frames, stacks, strict=True):
                assert np.abs(frame.astype(int) - resize.apply_image(image)[:, ::sign]).max() <= 1
                for mask, before in zip(stack, rectangles(), strict=True):
                    np.testing.assert_array_equal(mask, resize.apply_segmentation(before)[:, ::sign])
        assert steps == step


@given(seed=seeds)
def test_masks_move_with_their_image(seed):
    """A pixel that shows an object alone is in its mask; one that shows nothing of it is not."""
    masks = rectangles()
    image = np.ascontiguousarray(np.moveaxis(255 * masks, 0, 2))
    np.random.seed(seed)
    matrices, size = camera_path(augmentation_of(flip="horizontal"), Motion(40, 0.5, 2), SIZE, 4)
    frames, stacks = warp(image, read(masks), matrices, size)
    for frame, stack in zip(frames, stacks, strict=True):
        shown = np.moveaxis(frame, 2, 0)
        assert stack[shown == 255].all() and not stack[shown == 0].any()
        assert set(np.unique(stack)) <= {0, 1}


# The mapper


@pytest.fixture
def smooth(cfg):
    cfg.INPUT.PSEUDO_CLIP = "smooth"
    return cfg


@pytest.fixture
def source(tiny, image_record):
    """A blue image with one object of class 1 in its middle."""
    path = tiny.root / "source.png"
    Image.new("RGB", (40, 24), (0, 0, 255)).save(path)
    box = {"category_id": 1, "iscrowd": 0, "segmentation": [[10, 6, 30, 6, 30, 18, 10, 18]]}
    return image_record | {"file_name": str(path), "annotations": [box]}


def clip_of(cfg, record, sources=(), seed=0):
    mapper = CocoClipDatasetMapper(cfg, is_train=True)
    mapper.sources = sources
    np.random.seed(seed)
    return mapper(record)


@pytest.mark.parametrize("num_frames", [1, 6])
def test_smooth_clip(smooth, image_record, num_frames):
    smooth.INPUT.SAMPLING_FRAME_NUM, smooth.INPUT.MIN_SIZE_TRAIN = num_frames, (48, 60)
    before = copy.deepcopy(image_record)
    sample = clip_of(smooth, image_record)
    assert image_record == before and sample["file_names"] == [image_record["file_name"]] * num_frames
    assert len({image.shape for image in sample["image"]}) == 1 and len(sample["image"]) == num_frames
    assert num_frames == 1 or not torch.equal(*sample["image"][:2])
    for image, instances in zip(sample["image"], sample["instances"], strict=True):
        assert instances.image_size == image.shape[1:] and len(instances) == 2
        assert ((image[1] > 120) != instances.gt_masks.tensor.any(dim=0)).float().mean() < 0.05


def test_smooth_clip_without_instances(smooth, image_record):
    image_record["annotations"] = []
    assert [instances.gt_masks.tensor.shape for instances in clip_of(smooth, image_record)["instances"]] == 3 * [
        (0, 24, 40)
    ]


def test_pasted_objects_hide_what_is_below(smooth, image_record, source):
    """The rest of the clip is as it would be without them."""
    smooth.INPUT.MIN_SIZE_TRAIN, smooth.INPUT.COPY_PASTE = (96,), 1.0
    plain = CocoClipDatasetMapper(smooth, is_train=True)
    plain.copy_paste = 0
    hidden = 0
    for seed in range(20):
        sample = clip_of(smooth, image_record, [source], seed)
        np.random.seed(seed)
        below = plain(image_record)
        for image, instances, old_image, old in zip(
            *(sample[key] for key in ("image", "instances")), below["image"], below["instances"], strict=True
        ):
            pasted, kept = instances.gt_masks.tensor[2], instances.gt_masks.tensor[:2]
            assert len(instances) == 3 and instances.gt_classes[2] == (1 if pasted.any() else 2)
            assert torch.equal(kept, old.gt_masks.tensor & ~pasted)
            hidden += int((old.gt_masks.tensor & pasted).sum())
            assert torch.equal(image[:, ~pasted], old_image[:, ~pasted])
            assert (image[2, pasted] > 120).all() and (image[1, pasted] < 20).all()  # blue, but for its edge
    assert hidden > 100


def test_what_is_covered_is_absent(smooth, image_record, source, monkeypatch):
    monkeypatch.setattr(motion, "PASTED_SCALES", (20, 20))
    smooth.INPUT.COPY_PASTE = 1.0
    for instances in clip_of(smooth, image_record, [source])["instances"]:
        assert instances.gt_ids.tolist() == [-1, -1, 2] and instances.gt_classes.tolist() == [2, 2, 1]
        assert instances.gt_masks.tensor[2].all()


def test_pasted_objects_are_those_of_their_image(smooth, image_record, source):
    smooth.INPUT.COPY_PASTE = 1.0
    own, pasted = (CocoClipDatasetMapper(smooth, is_train=True) for _ in range(2))
    own.copy_paste, pasted.sources = 0, [source]
    identities = pasted(image_record)["identities"]
    assert identities == own(image_record)["identities"] + own(source)["identities"] and len(set(identities)) == 3


def test_objects_are_pasted_as_often_as_asked(smooth, image_record, source):
    smooth.INPUT.COPY_PASTE = 0.3
    pasted = [len(clip_of(smooth, image_record, [source], seed)["instances"][0]) - 2 for seed in range(100)]
    assert set(pasted) == {0, 1} and 15 <= sum(pasted) <= 45
    source["annotations"] = []
    assert len(clip_of(smooth, image_record, [source])["instances"][0]) == 2


def test_the_same_seed_makes_the_same_clip(smooth, image_record, source):
    smooth.INPUT.COPY_PASTE, smooth.INPUT.AUGMENTATIONS = 0.5, ["brightness", "rotation"]
    for seed in range(4):
        first, second = (clip_of(smooth, image_record, [source, image_record], seed) for _ in range(2))
        assert all(map(torch.equal, first["image"], second["image"]))
