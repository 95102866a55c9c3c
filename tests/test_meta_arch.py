# SPDX-License-Identifier: Apache-2.0
"""The wiring: what goes into the registered model and what comes out of it."""

import copy

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Instances

from ifc import add_ifc_config


def tiny_model(compile_mode="", depth=50, norm="FrozenBN", appearance=(), **changes):
    cfg = get_cfg()
    add_ifc_config(cfg)
    cfg.MODEL.META_ARCHITECTURE = "Ifc"
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    resnets, ifc = cfg.MODEL.RESNETS, cfg.MODEL.IFC
    resnets.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    resnets.DEPTH, cfg.SOLVER.COMPILE = depth, compile_mode
    resnets.STEM_OUT_CHANNELS, resnets.WIDTH_PER_GROUP, resnets.RES2_OUT_CHANNELS = 8, 8, 64 if depth == 18 else 16
    ifc.NUM_CLASSES, ifc.HIDDEN_DIM, ifc.NHEADS, ifc.DIM_FEEDFORWARD, ifc.NUM_OBJECT_QUERIES = 3, 32, 4, 64, 6
    ifc.DROPOUT, resnets.NORM = 0.0, norm
    ifc.APPEARANCE.merge_from_list(list(appearance))
    for key, value in changes.items():
        setattr(ifc, key, value)
    torch.manual_seed(0)
    return build_model(cfg)


def clip(num_frames: int, size: tuple[int, int], num_instances: int = 2, video: int = 0) -> dict:
    frames, instances = [], []
    for _ in range(num_frames):
        frames.append(torch.randint(256, (3, *size), dtype=torch.uint8))
        frame = Instances(size)
        frame.gt_classes, frame.gt_ids = torch.arange(num_instances) % 3, torch.arange(num_instances)
        frame.gt_masks = BitMasks(torch.rand(num_instances, *size) > 0.5)
        instances.append(frame)
    identities = [(video, instance) for instance in range(num_instances)]
    return {"image": frames, "instances": instances, "identities": identities}


def test_training_returns_weighted_losses_alone_and_reaches_every_parameter():
    model = tiny_model().train()
    losses = model([clip(2, (40, 50)), clip(2, (33, 64), num_instances=0)])
    sum(losses.values()).backward()
    assert all(name.startswith("loss_") for name in losses)
    assert len(losses) == 9  # three losses on three layers
    assert set(model.metrics) == {"class_error", "cardinality_error", "cardinality_error_0", "cardinality_error_1"}
    assert not any(metric.requires_grad for metric in model.metrics.values())
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


@pytest.mark.parametrize("videos", [(0, 0, 1), (0, 1, 2)])
def test_an_appearance_head_is_trained_with_all_else(videos):
    """Whether there are two clips of a video or not: what has no gradient would stop DistributedDataParallel."""
    model = tiny_model(appearance=["DIM", 8, "POOLED", True]).train()
    losses = model([clip(2, (40, 50), video=video) for video in videos])
    assert losses["loss_appearance"].item() > 0 if videos[1] == 0 else losses["loss_appearance"].item() == 0
    alone = torch.autograd.grad(losses["loss_appearance"], model.detr.query_embed.weight, retain_graph=True)
    assert alone[0].any() == (videos[1] == 0)
    sum(losses.values()).backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    assert all(p.grad.any() == (videos[1] == 0) for p in model.detr.appearance.parameters())


def test_an_appearance_head_alone_leaves_the_rest_as_it_is():
    """Also the statistics of batch norm, and the masks: there is nothing else to train, and so no other loss."""
    head = ["DIM", 8, "POOLED", True]
    model, whole = (tiny_model(norm="BN", appearance=[*head, "ONLY", only]).train() for only in (True, False))
    whole.load_state_dict(model.state_dict())
    before = copy.deepcopy(model.state_dict())
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained == [name for name in before if name.startswith("detr.appearance.")]
    batch = [clip(2, (40, 50)), clip(2, (40, 50))]
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
    first = model(batch)
    first["loss_appearance"].backward()
    optimizer.step()
    assert first.keys() == {"loss_appearance"} and model(batch)["loss_appearance"] < first["loss_appearance"]
    assert {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])} == {*trained}
    whole(batch)
    assert any(not torch.equal(value, before[name]) for name, value in whole.state_dict().items())  # which a test sees


def test_losses_of_parts_add_up_to_those_of_the_batch():
    """With different numbers of instances, and one that is absent from every frame."""
    model = tiny_model().train()
    batch = [clip(2, (32, 48), num_instances) for num_instances in (3, 1, 0, 2)]
    for frame in batch[0]["instances"]:
        frame.gt_ids[1] = -1
    counts = model.count_instances(batch)
    assert counts.tolist() == [2, 1, 0, 2] and counts.dtype == torch.int64
    whole, parts = model(batch), [model([one], counts) for one in batch]
    for name, loss in whole.items():
        torch.testing.assert_close(sum(part[name] for part in parts), loss)


def train(model, batch) -> list[torch.Tensor]:
    """Losses and gradients."""
    model.zero_grad()
    losses = model(batch)
    sum(losses.values()).backward()
    return [*losses.values(), *(p.grad for p in model.parameters() if p.requires_grad)]


@pytest.mark.parametrize("part", ["backbone", "encoder"])
def test_checkpointed_activations_take_less_memory_and_change_nothing(part):
    batch, kept, results = [clip(2, (40, 50))], [], []
    for parts in ([], [part]):
        model = tiny_model(CHECKPOINT_ACTIVATIONS=parts, DROPOUT=0.1).train()
        torch.manual_seed(1)
        bytes_kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, b=bytes_kept: b.append(x.nbytes) or x, lambda x: x):
            results.append(train(model, batch))
        kept.append(sum(bytes_kept))
    assert kept[1] < 0.9 * kept[0]
    assert all(map(torch.equal, *results))
    # A copy, such as the averaged weights, computes with its own weights.
    other = copy.deepcopy(model)
    torch.nn.init.zeros_(model.detr.transformer.encoder.enc_layers[0].linear2.weight)
    torch.nn.init.zeros_(model.detr.backbone[0]["backbone"].res4[0].conv2.weight)
    torch.manual_seed(1)
    assert all(map(torch.equal, train(other, batch), results[1]))


def test_compiled_network_learns_the_same_and_is_not_compiled_for_every_size(traced_graphs):
    small = {"depth": 18, "ENC_LAYERS": 1, "DEC_LAYERS": 1}
    compiled = tiny_model("default", **small).train()
    plain = tiny_model(**small).train()
    for first, second in [((40, 50), (33, 64)), ((72, 104), (40, 96)), ((104, 72), (50, 50))]:
        batch = [clip(2, first), clip(2, second)]
        for found, expected in zip(train(compiled, batch), train(plain, batch), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert len(traced_graphs) == 2  # without padding, and with it
    with torch.no_grad():
        assert compiled.eval()([{"image": batch[0]["image"], "height": 60, "width": 75}])["image_size"] == (60, 75)


def test_losses_are_computed_outside_autocast():
    """In half precision the matching's sums over a large frame's pixels overflow."""
    model = tiny_model(appearance=["DIM", 8, "POOLED", True]).train()
    seen = []
    model.criterion.register_forward_pre_hook(
        lambda _, args: seen.append((torch.is_autocast_enabled("cpu"), args[0].pixels.dtype, args[3].dtype))
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model([clip(2, (40, 50))])
    assert seen == [(False, torch.bfloat16, torch.float32)]
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_without_deep_supervision_only_the_last_layer_has_losses():
    model = tiny_model(DEEP_SUPERVISION=False).train()
    assert set(model([clip(2, (32, 32))])) == {"loss_ce", "loss_mask", "loss_dice"}


@pytest.mark.parametrize("training", [False, True])
def test_raw_output_is_of_the_padded_batch(training):
    model = tiny_model().train(training)
    with torch.no_grad():
        predictions, _ = model._predict_layers([clip(3, (40, 50)), clip(3, (33, 64))])
    assert len(predictions.pred_logits) == len(predictions.mask_weights) == (3 if training else 1)
    last = predictions.clip_prediction()
    assert last.pred_logits.shape == (2, 6, 4)
    assert last.pred_masks.shape == (2, 6, 3, 5, 8)


def test_clips_of_different_lengths_cannot_share_a_batch():
    with pytest.raises(ValueError, match=r"equally many frames, found \[2, 3\]"):
        tiny_model().train()([clip(2, (32, 32)), clip(3, (32, 32))])


def test_evaluation_on_a_video():
    result = tiny_model().eval()([{"image": clip(7, (40, 50))["image"], "height": 60, "width": 75}])
    assert result["image_size"] == (60, 75)
    assert len(result["pred_scores"]) == len(result["pred_labels"]) == len(result["pred_masks"]) > 0
    assert all(0 <= score <= 1 for score in result["pred_scores"])
    assert set(result["pred_labels"]) <= {0, 1, 2}
    for masks in result["pred_masks"]:
        assert len(masks) == 7
        assert all(rle is None or rle["size"] == [60, 75] for rle in masks)


def test_evaluation_on_images():
    inputs = [
        {"image": clip(1, size)["image"][0], "height": 2 * size[0], "width": 2 * size[1]}
        for size in [(40, 50), (33, 64)]
    ]
    results = tiny_model().eval()(inputs)
    for image, result in zip(inputs, results, strict=True):
        instances = result["instances"]
        assert instances.image_size == (image["height"], image["width"])
        assert instances.pred_masks.shape == (len(instances), *instances.image_size)
        assert instances.pred_masks.dtype == torch.bool


def test_evaluation_takes_one_video_at_a_time():
    with pytest.raises(ValueError, match="one video at a time, found 2"):
        tiny_model().eval()([clip(2, (32, 32))] * 2)


def test_an_empty_video_is_refused():
    with pytest.raises(ValueError, match="no frames"):
        tiny_model().eval()([{"image": [], "height": 8, "width": 8}])


def test_pixel_statistics_are_no_part_of_the_checkpoint():
    assert not [name for name in tiny_model().state_dict() if name.startswith("pixel_")]
