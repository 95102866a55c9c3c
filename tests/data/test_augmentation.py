# SPDX-License-Identifier: Apache-2.0
"""Augmentations of a clip: what is drawn, when, and that masks follow their image exactly."""

import numpy as np
import pytest
from detectron2.data import transforms as T
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as mask_util

from ifc.data.augmentation import ClipAugmentation, FastResizeTransform, build_augmentation, transform_masks
from ifc.data.clip_masks import run_length_masks

FRAME = np.random.default_rng(0).integers(0, 256, size=(60, 80, 3), dtype=np.uint8)


def augment(augmentations, image=FRAME):
    frame = T.AugInput(image)
    transforms = augmentations(frame)
    return frame.image, transforms


def apply_to_clip(augmentation, num_frames=8):
    """(image, transforms) of `num_frames` frames that go through one clip's augmentations."""
    augmentations = augmentation.for_clip()
    return [augment(augmentations) for _ in range(num_frames)]


@st.composite
def transform_lists(draw):
    """(height, width), a run of transforms that starts there."""
    height = h = draw(st.integers(1, 40))
    width = w = draw(st.integers(1, 40))
    transforms = []
    for kind in draw(st.lists(st.sampled_from(["crop", "resize", "h", "v", "blend", "none", "rotate"]), max_size=5)):
        if kind == "crop":
            x0, y0 = draw(st.integers(0, w - 1)), draw(st.integers(0, h - 1))
            w, h = draw(st.integers(1, w - x0)), draw(st.integers(1, h - y0))
            transforms.append(T.CropTransform(x0, y0, w, h))
        elif kind == "resize":
            new_h, new_w = draw(st.integers(1, 90)), draw(st.integers(1, 90))
            transforms.append(T.ResizeTransform(h, w, new_h, new_w))
            h, w = new_h, new_w
        elif kind == "rotate":
            center = (w * draw(st.floats(0.4, 0.6)), h * draw(st.floats(0.4, 0.6)))
            transforms.append(T.RotationTransform(h, w, draw(st.floats(-15, 15)), expand=False, center=center))
        else:
            others = {"h": T.HFlipTransform(w), "v": T.VFlipTransform(h), "none": T.NoOpTransform()}
            transforms.append(others.get(kind) or T.BlendTransform(src_image=0, src_weight=0.1, dst_weight=0.9))
    return height, width, transforms


def read(masks):
    """(N, H, W) as `transform_masks` takes them."""
    return run_length_masks([mask_util.encode(np.asfortranarray(mask)) for mask in masks], masks.shape[1:])


@settings(max_examples=200)
@given(case=transform_lists(), num_masks=st.integers(0, 4), seed=st.integers(0, 99))
def test_a_stack_of_masks_equals_each_mask_alone(case, num_masks, seed):
    height, width, transforms = case
    masks = np.random.default_rng(seed).integers(0, 2, size=(num_masks, height, width), dtype=np.uint8)
    transformed = transform_masks(T.TransformList(transforms), read(masks))
    for mask, expected in zip(transformed, masks, strict=True):
        for transform in transforms:
            expected = transform.apply_segmentation(np.array(expected))
        np.testing.assert_array_equal(mask, expected)


def test_nested_transforms_and_no_masks():
    nested = T.TransformList([T.TransformList([T.CropTransform(2, 1, 6, 5)]), T.ResizeTransform(5, 6, 10, 12)])
    assert transform_masks(nested, read(np.zeros((0, 9, 9), dtype=np.uint8))).shape == (0, 10, 12)
    mask = np.random.default_rng(0).integers(0, 2, size=(9, 9), dtype=np.uint8)
    np.testing.assert_array_equal(transform_masks(nested, read(mask[None]))[0], nested.apply_segmentation(mask))


@settings(max_examples=60)
@given(
    size=st.tuples(*[st.integers(1, 90)] * 2),
    new_size=st.tuples(*[st.integers(1, 90)] * 2),
    flipped=st.booleans(),
    seed=st.integers(0, 99),
)
def test_fast_resize_is_pillows_to_rounding(size, new_size, flipped, seed):
    image = np.random.default_rng(seed).integers(0, 256, size=(*size, 3), dtype=np.uint8)
    image = image[:, ::-1] if flipped else image
    expected = T.ResizeTransform(*size, *new_size, Image.BILINEAR).apply_image(image)
    resize = FastResizeTransform(*size, *new_size, Image.BILINEAR)
    resized = resize.apply_image(image)
    assert resized.shape == expected.shape and resized.dtype == np.uint8
    assert np.abs(resized.astype(int) - expected).max() <= 1
    mask = image[..., 0] // 128
    np.testing.assert_array_equal(
        resize.apply_segmentation(mask), np.asarray(Image.fromarray(mask).resize(new_size[::-1], Image.NEAREST))
    )


@pytest.mark.parametrize("style", ["choice_by_clip", "range_by_clip"])
def test_resize_by_clip_draws_one_size_a_clip(style):
    augmentation = ClipAugmentation(min_sizes=(30, 50), max_size=1000, resize_style=style)
    np.random.seed(0)
    edges = set()
    for _ in range(40):
        clip = {image.shape for image, _ in apply_to_clip(augmentation)}
        assert len(clip) == 1
        edges.add(clip.pop()[0])
    assert edges == {30, 50} if style == "choice_by_clip" else len(edges) > 10
    assert all(30 <= edge <= 50 for edge in edges)


@pytest.mark.parametrize("style", ["choice", "range"])
def test_resize_otherwise_draws_a_size_for_each_frame(style):
    augmentation = ClipAugmentation(min_sizes=(30, 50), max_size=1000, resize_style=style)
    np.random.seed(0)
    edges = {image.shape[0] for image, _ in apply_to_clip(augmentation, num_frames=60)}
    assert edges == {30, 50} if style == "choice" else len(edges) > 10
    assert all(30 <= edge <= 50 for edge in edges)


def test_resize_by_clip_fixes_the_edge_not_the_scale():
    """Frames of different sizes get the same shortest edge."""
    np.random.seed(0)
    augmentations = ClipAugmentation(min_sizes=(30, 50), max_size=1000, resize_style="range_by_clip").for_clip()
    wide, tall = augment(augmentations, FRAME[:20])[0], augment(augmentations, FRAME[:, :25])[0]
    assert wide.shape[0] == tall.shape[1]


def test_longest_edge_is_limited():
    image, _ = augment(ClipAugmentation(min_sizes=(60,), max_size=40).for_clip())
    assert image.shape == (30, 40, 3)


def flips(clip):
    return [
        "".join(type(t).__name__[0] for t in transforms.transforms if "Flip" in type(t).__name__)
        for _, transforms in clip
    ]


@pytest.mark.parametrize(("flip", "letter"), [("horizontal", "H"), ("vertical", "V")])
def test_flip_is_drawn_for_each_frame(flip, letter):
    np.random.seed(0)
    drawn = flips(apply_to_clip(ClipAugmentation(min_sizes=(60,), max_size=100, flip=flip), num_frames=200))
    assert set(drawn) == {"", letter}
    assert 70 <= drawn.count(letter) <= 130


def test_flip_by_clip_flips_all_frames_or_none():
    augmentation = ClipAugmentation(min_sizes=(60,), max_size=100, flip="flip_by_clip")
    np.random.seed(0)
    clips = [set(flips(apply_to_clip(augmentation, num_frames=3))) for _ in range(200)]
    assert all(len(clip) == 1 for clip in clips)
    drawn = [clip.pop() for clip in clips]
    assert set(drawn) == {"", "H"}
    assert 70 <= drawn.count("H") <= 130


def test_nothing_asked_changes_nothing():
    image, _ = augment(ClipAugmentation(min_sizes=(0,), max_size=100).for_clip())
    np.testing.assert_array_equal(image, FRAME)


def test_order_and_ranges():
    """Crop, resize, flip, brightness, contrast, saturation, rotation, whatever order they are asked in."""
    augmentation = ClipAugmentation(
        min_sizes=(48,),
        max_size=200,
        flip="horizontal",
        crop=("absolute_range", (20, 40)),
        extra=["rotation", "saturation", "brightness", "contrast"],
    )
    np.random.seed(0)
    kinds = ["CropTransform", "ResizeTransform", "Flip", "Blend", "Blend", "Blend", "RotationTransform"]
    angles = []
    for image, transforms in apply_to_clip(augmentation, num_frames=100):
        crop, resize, flip, brightness, contrast, saturation, rotation = transforms.transforms
        names = [type(transform).__name__ for transform in transforms.transforms]
        assert all(
            kind in name or (kind == "Flip" and name == "NoOpTransform")
            for kind, name in zip(kinds, names, strict=True)
        )
        assert 20 <= crop.h <= 40 and 20 <= crop.w <= 40
        assert min(resize.new_h, resize.new_w) == 48
        assert np.isscalar(brightness.src_image) and brightness.src_image == 0
        assert np.isscalar(contrast.src_image) and contrast.src_image > 0
        assert saturation.src_image.shape == (*image.shape[:2], 1)
        for blend in (brightness, contrast, saturation):
            assert 0.9 <= blend.dst_weight <= 1.1
        assert -15 <= rotation.angle <= 15
        angles.append(rotation.angle)
        assert 0.4 <= rotation.center[0] / image.shape[1] <= 0.6
        assert 0.4 <= rotation.center[1] / image.shape[0] <= 0.6
    assert min(angles) < -10 and max(angles) > 10


def test_the_same_seed_draws_the_same():
    augmentation = ClipAugmentation(
        min_sizes=(30, 50),
        max_size=200,
        resize_style="range",
        flip="flip_by_clip",
        crop=("relative_range", (0.5, 0.5)),
        extra=["brightness", "rotation"],
    )
    clips = []
    for _ in range(2):
        np.random.seed(3)
        clips.append([image for image, _ in apply_to_clip(augmentation)])
    for first, second in zip(*clips, strict=True):
        np.testing.assert_array_equal(first, second)


def test_testing_only_resizes(cfg):
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.RANDOM_FLIP = "horizontal"
    cfg.INPUT.AUGMENTATIONS = ["rotation"]
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 90, 1000
    augmentation = build_augmentation(cfg, is_train=False)
    for image, transforms in apply_to_clip(augmentation):
        assert image.shape == (90, 120, 3)
        assert [type(transform) for transform in transforms.transforms] == [T.ResizeTransform]


def test_training_follows_the_config(cfg):
    cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE = True, "absolute", [20, 30]
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING = (40, 44), "range_by_clip"
    cfg.INPUT.RANDOM_FLIP = "flip_by_clip"
    cfg.INPUT.AUGMENTATIONS = ["contrast"]
    np.random.seed(1)
    for _, transforms in apply_to_clip(build_augmentation(cfg, is_train=True)):
        crop, resize, *rest = transforms.transforms
        assert (crop.h, crop.w) == (20, 30)
        assert 40 <= resize.new_h <= 44
        assert isinstance(rest[-1], T.BlendTransform)
