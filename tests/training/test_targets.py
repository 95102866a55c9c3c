# SPDX-License-Identifier: Apache-2.0

import torch
from detectron2.structures import BitMasks, Instances

from ifc.training import batch_target
from ifc.training.targets import resize_masks

CPU = torch.device("cpu")


def frame(classes: list[int], ids: list[int], masks: torch.Tensor) -> Instances:
    instances = Instances(tuple(masks.shape[-2:]))
    instances.gt_classes, instances.gt_ids = torch.tensor(classes), torch.tensor(ids)
    instances.gt_masks = BitMasks(masks)
    return instances


def test_absent_instances_are_dropped_and_the_class_is_that_of_a_frame_with_the_instance():
    masks = torch.rand(2, 3, 8, 8) > 0.5
    clip = [frame([9, 9, 2], [-1, -1, 5], masks[0]), frame([4, 9, 2], [3, -1, 5], masks[1])]
    target = batch_target([clip], (8, 8), 1, 1, CPU)
    assert target.labels.tolist() == [4, 2]
    torch.testing.assert_close(target.masks, masks[:, [0, 2]].transpose(0, 1).float())


def test_masks_are_padded_to_the_largest_frame_and_resized_to_each_stride():
    small, large = torch.ones(1, 4, 6, dtype=torch.bool), torch.ones(1, 10, 7, dtype=torch.bool)
    clips = [[frame([0], [1], small)], [frame([1], [1], large)]]
    target = batch_target(clips, (10, 7), 4, 3, CPU)
    assert target.counts == [1, 1] and target.labels.tolist() == [0, 1]
    assert target.masks.shape == (2, 1, 3, 2)
    assert target.match_masks.shape == (2, 1, 4, 3)
    padded = torch.zeros(1, 1, 10, 7)
    padded[..., :4, :6] = 1
    torch.testing.assert_close(target.masks[:1], resize_masks(padded, 4))
    torch.testing.assert_close(target.masks[1:], torch.ones(1, 1, 3, 2))


def test_resized_masks_are_means_where_the_grid_falls_between_pixels():
    masks = torch.rand(1, 1, 4, 4).round()
    expected = (masks[..., ::2, ::2] + masks[..., 1::2, ::2] + masks[..., ::2, 1::2] + masks[..., 1::2, 1::2]) / 4
    torch.testing.assert_close(resize_masks(masks, 2), expected)


def test_a_clip_without_instances():
    empty = torch.zeros(0, 8, 12, dtype=torch.bool)
    target = batch_target([[frame([], [], empty)] * 3], (8, 12), 4, 2, CPU)
    assert target.labels.shape == (0,)
    assert target.masks.shape == (0, 3, 2, 3)
    assert target.match_masks.shape == (0, 3, 4, 6)


def test_an_instance_has_one_number_in_all_clips_and_an_absent_one_none():
    masks = torch.rand(3, 8, 8) > 0.5
    first = [frame([0, 9, 1], [0, -1, 2], masks), frame([0, 9, 9], [0, -1, -1], masks)]
    second = [frame([1, 0], [0, 1], masks[:2])]
    clips = [first, second * 2, [frame([], [], masks[:0])] * 2]
    target = batch_target(clips, (8, 8), 1, 1, CPU, [["a", "b", "c"], ["c", "b"], []])
    first, other, again, last = target.identities.tolist()
    assert first != other and other == again and last not in (first, other)
    assert target.identities.dtype == torch.int64
