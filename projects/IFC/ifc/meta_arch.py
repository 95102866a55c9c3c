# SPDX-License-Identifier: Apache-2.0
"""The registered meta-architecture: wires network, training and inference together."""

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from detectron2.structures import ImageList, Instances
from torch import Tensor, nn

# From the modules themselves: a package of these may be what is loading detectron2, and with it this module.
from .inference.accelerated_network import InferenceNetwork
from .inference.image import infer_image
from .inference.settings import InferenceSettings
from .inference.video import VideoInference
from .modeling.appearance import AppearanceHead
from .modeling.checkpointing import checkpoint_activations
from .modeling.network import IfcNetwork, LayerPredictions
from .modeling.normalization import FrameNormalizer, stacked
from .modeling.transformer import LayerSettings, Transformer
from .precision import float32_products
from .regions import region
from .training.criterion import ClipCriterion, ContrastSettings
from .training.matcher import HungarianMatcher
from .training.points import PointSettings
from .training.targets import batch_target, instances_of
from .video.read_ahead import ReadablePart


@META_ARCH_REGISTRY.register()
class Ifc(nn.Module):
    """Video instance segmentation with Inter-frame Communication Transformers (arXiv 2106.03299).

    State-dict names are those of the published checkpoints.
    """

    @configurable
    def __init__(
        self,
        *,
        network: IfcNetwork,
        normalize: FrameNormalizer,
        criterion: ClipCriterion,
        inference: VideoInference,
        mask_stride: int,
        match_stride: int,
        deep_supervision: bool,
        appearance_only: bool = False,
    ):
        """
        Args:
            network: see `IfcNetwork`.
            normalize: turns uint8 frames into the network's input.
            criterion: see `ClipCriterion`.
            inference: finds the instances of a video with that network and that normalization.
            mask_stride, match_stride: strides of the target masks in the losses and in the matching.
            deep_supervision: whether the earlier decoder layers have losses too.
            appearance_only: train the network's appearance head and leave all else, also statistics, as it is.
        """
        super().__init__()
        self.detr = network  # the checkpoints' name
        self.normalize = normalize
        self.criterion = criterion
        self.inference = inference
        self.mask_stride = mask_stride
        self.match_stride = match_stride
        self.deep_supervision = deep_supervision
        self.appearance_only = appearance_only
        if appearance_only:
            network.requires_grad_(False)
            network.appearance.requires_grad_(True)
        # Of the last losses, for the log: scalars on the device, see `ClipCriterion`.
        self.metrics: dict[str, Tensor] = {}

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        ifc = cfg.MODEL.IFC
        layers = LayerSettings(ifc.HIDDEN_DIM, ifc.NHEADS, ifc.DIM_FEEDFORWARD, ifc.DROPOUT, ifc.PRE_NORM)
        transformer = Transformer(
            layers, enc_layers=ifc.ENC_LAYERS, dec_layers=ifc.DEC_LAYERS, num_memory=ifc.NUM_MEMORY_BUS
        )
        head = ifc.APPEARANCE
        network = IfcNetwork(
            build_backbone(cfg),
            transformer,
            num_classes=ifc.NUM_CLASSES,
            num_queries=ifc.NUM_OBJECT_QUERIES,
            appearance=AppearanceHead(ifc.HIDDEN_DIM, head.DIM, head.POOLED, head.ALLOW_MISSING) if head.DIM else None,
        )
        for part in ifc.CHECKPOINT_ACTIVATIONS:
            checkpoint_activations(network, part)
        if cfg.SOLVER.COMPILE:
            network.compile(mode=cfg.SOLVER.COMPILE, dynamic=True)  # its `forward`, with which it is trained
        normalize = FrameNormalizer(cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD)
        criterion = ClipCriterion(
            ifc.NUM_CLASSES,
            HungarianMatcher(ifc.DICE_WEIGHT, ifc.NUM_POINTS),
            mask_weight=ifc.MASK_WEIGHT,
            dice_weight=ifc.DICE_WEIGHT,
            no_object_weight=ifc.NO_OBJECT_WEIGHT,
            points=PointSettings(ifc.NUM_POINTS, ifc.OVERSAMPLE_RATIO, ifc.IMPORTANCE_SAMPLE_RATIO),
            appearance=ContrastSettings(head.WEIGHT, head.TEMPERATURE),
        )
        settings = InferenceSettings.from_config(cfg)
        return {
            "network": network,
            "normalize": normalize,
            "criterion": criterion,
            "inference": VideoInference(InferenceNetwork(network, normalize, settings), settings),
            "mask_stride": ifc.MASK_STRIDE,
            "match_stride": ifc.MATCH_STRIDE,
            "deep_supervision": ifc.DEEP_SUPERVISION,
            "appearance_only": head.ONLY,
        }

    def train(self, mode: bool = True) -> "Ifc":
        """As torch's. Convolutions are trained in NHWC memory, that of their weights, which is faster on every device;
        in evaluation they round as those that the published numbers were made with."""
        self.detr.to(memory_format=torch.channels_last if mode else torch.contiguous_format)
        super().train(mode)
        if self.appearance_only:
            self.detr.eval()
        return self

    @property
    def device(self) -> torch.device:
        return self.normalize.mean.device

    def forward(
        self, batched_inputs: list[dict[str, Any]], whole_batch: Tensor | None = None
    ) -> dict[str, Any] | list[dict[str, Instances]]:
        """Losses in training; in evaluation the result for one video, or for each of several images.

        Args:
            batched_inputs: samples of the data loader. "image" is a list of T uint8 (3, h, w) frames for a clip or
                video, one such tensor for an image. "height" and "width" are the output size (default: the frame's
                own). In training "instances" has the T frames' annotations, see `training.batch_target`, and
                "identities", which an appearance head needs, what each row is known by in other clips.
            whole_batch: in training, `count_instances` of the batch that these clips are a part of, whose losses are
                the sums of its parts' losses; None if they are all of it.

        Returns:
            Training: name → weighted scalar loss.
            Evaluation, a video: {"image_size": (height, width), "pred_scores": one float a track, "pred_labels": one
            contiguous class a track, "pred_masks": for each track one compressed RLE (or None) a frame, at the output
            size; tracks of one instance share theirs}. If the video could be read in part only, the other frames
            have no masks, and "error" is what was raised at the first of them.
            Evaluation, images: [{"instances": Instances with pred_boxes, pred_masks (N, height, width) bool, scores,
            pred_classes}].
        """
        if self.training:
            return self._losses(batched_inputs, whole_batch)
        if isinstance(batched_inputs[0]["image"], Tensor):
            return self._infer_images(batched_inputs)
        if len(batched_inputs) != 1:
            raise ValueError(f"evaluation takes one video at a time, found {len(batched_inputs)}")
        return self._infer_video(batched_inputs[0])

    @staticmethod
    def count_instances(batched_inputs: list[dict[str, Any]]) -> Tensor:
        """int64 (B,) on the CPU: the number of instances of each training clip."""
        return torch.tensor([len(instances_of(clip["instances"])) for clip in batched_inputs])

    @region("forward")
    def _predict_layers(self, batched_inputs: list[dict[str, Any]]) -> tuple[LayerPredictions, ImageList]:
        num_frames = {len(clip["image"]) for clip in batched_inputs}
        if len(num_frames) > 1:
            raise ValueError(f"the clips of a batch must have equally many frames, found {sorted(num_frames)}")
        clips = [self.normalize(stacked(clip["image"], self.device)) for clip in batched_inputs]
        images = ImageList.from_tensors([frame for clip in clips for frame in clip])
        return self.detr(images.tensor, images.image_sizes, num_frames.pop()), images

    @region("losses")
    def _losses(self, batched_inputs: list[dict[str, Any]], whole_batch: Tensor | None) -> dict[str, Tensor]:
        predictions, images = self._predict_layers(batched_inputs)
        if not self.deep_supervision:
            predictions = predictions.last()
        clips, padded_size = [clip["instances"] for clip in batched_inputs], tuple(images.tensor.shape[-2:])
        has_embeddings = self.detr.appearance is not None
        identities = [clip["identities"] for clip in batched_inputs] if has_embeddings else None
        target = batch_target(clips, padded_size, self.mask_stride, self.match_stride, self.device, identities)
        # The sums of the dice coefficient run over more pixels than half precision can count.
        with torch.autocast(self.device.type, enabled=False):
            embeddings = None
            if has_embeddings:
                last = predictions.last().to(self.detr.query_embed.weight.dtype)
                embeddings = self.detr.embed(last, last.clip_prediction().pred_masks)
            losses, self.metrics = self.criterion(predictions, target, whole_batch, embeddings)
        return {"loss_appearance": losses["loss_appearance"]} if self.appearance_only else losses

    def _infer_video(self, video: dict[str, Any]) -> dict[str, Any]:
        frames = video["image"]
        output_size = (video["height"], video["width"]) if "height" in video else None
        readable = ReadablePart(frames)
        result = self.inference(readable, output_size, video.get("length"))
        output = {
            "image_size": result.image_size,
            "pred_scores": result.scores,
            "pred_labels": result.labels,
            "pred_masks": result.masks,
        }
        if readable.error is not None:
            output["error"] = readable.error
        return output

    @torch.no_grad()
    @float32_products()
    def _infer_images(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Instances]]:
        images = ImageList.from_tensors([self.normalize(image["image"]) for image in batched_inputs])
        features = self.detr.encode_frames(images.tensor, images.image_sizes)
        prediction = self.detr.predict_clips(features, num_frames=1)
        padded_size = tuple(images.tensor.shape[-2:])
        results = []
        for image, size, logits, masks in zip(
            batched_inputs, images.image_sizes, prediction.pred_logits, prediction.pred_masks, strict=True
        ):
            output_size = (image.get("height", size[0]), image.get("width", size[1]))
            results.append({"instances": infer_image(logits, masks[:, 0], padded_size, size, output_size)})
        return results
