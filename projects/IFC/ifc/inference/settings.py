# SPDX-License-Identifier: Apache-2.0
"""The settings of inference on videos."""

from dataclasses import dataclass

from detectron2.config import CfgNode

ASSOCIATIONS = ("mask", "mask+embedding")


@dataclass(frozen=True)
class AssociationSettings:
    """What tells the clip tracker which instance of a window is which track. A config's values of these names, under
    MODEL.IFC.TRACKER, are checked where it is read.

    Attributes:
        association: "mask": soft IoU on the frames that windows share, as published; nothing else counts.
            "mask+embedding": also the cosine of embeddings, which joins windows that share no frame, too.
        mask_weight, embedding_weight: of the two in the score of a pair.
        similarity: smallest similarity, see `TrackMemory`, of a pair whose masks cannot be compared.
        momentum: weight of the newest embedding in a track's average, above 0 and at most 1.
        exemplars: embeddings, least like each other, that are kept of a track besides the average.
        memory_frames: frames for which a track may be absent and return.
        memory_tracks: the most tracks that are absent and may return; those that ended last.
    """

    association: str = "mask"
    mask_weight: float = 1.0
    embedding_weight: float = 1.0
    similarity: float = 0.5
    momentum: float = 0.2
    exemplars: int = 0
    memory_frames: int = 0
    memory_tracks: int = 100

    @property
    def uses_embeddings(self) -> bool:
        return self.association != "mask"


@dataclass(frozen=True)
class InferenceSettings:
    """How inference on videos runs. A config's values of these names are checked where it is read.

    Attributes:
        window: T, frames of a window.
        clip_stride: frames between the starts of two windows, 1 to `window`.
        merge_on_cpu: keep the tracker's state on the CPU instead of the network's device.
        multi_cls_on: one track for every (instance, class) whose probability is above `apply_cls_thres`; otherwise one
            track for every instance, with its most probable class, whatever its probability.
        apply_cls_thres: see `multi_cls_on`.
        precision: one of `accelerated_network.PRECISIONS`.
        compile_mode: one of `accelerated_network.COMPILE_MODES`; "" for not compiling.
        frames_per_batch: frames that pass the backbone together; 0 for as many as the device has room for.
        windows_per_batch: the most windows that pass the network together; 0 for as many as the device has room for.
            Halved when the device runs out of memory.
        association: how the tracker joins windows.
    """

    window: int
    clip_stride: int = 1
    merge_on_cpu: bool = False
    multi_cls_on: bool = True
    apply_cls_thres: float = 0.01
    precision: str = "float32"
    compile_mode: str = ""
    frames_per_batch: int = 0
    windows_per_batch: int = 0
    association: AssociationSettings = AssociationSettings()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "InferenceSettings":
        """Those of a config."""
        ifc = cfg.MODEL.IFC
        return cls(
            window=cfg.INPUT.SAMPLING_FRAME_NUM,
            clip_stride=ifc.CLIP_STRIDE,
            merge_on_cpu=ifc.MERGE_ON_CPU,
            multi_cls_on=ifc.MULTI_CLS_ON,
            apply_cls_thres=ifc.APPLY_CLS_THRES,
            precision=ifc.PRECISION,
            compile_mode=ifc.COMPILE,
            frames_per_batch=ifc.FRAMES_PER_BATCH,
            windows_per_batch=ifc.WINDOWS_PER_BATCH,
            association=AssociationSettings(**{key.lower(): value for key, value in ifc.TRACKER.items()}),
        )
