# SPDX-License-Identifier: Apache-2.0
"""A trained model as a function: videos and images in, tracks and instances out."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.structures import Instances
from torch import Tensor

from .engine.checkpoint import WholeCheckpointer
from .engine.config_file import build_model, model_config, setup_config
from .engine.model_folder import Classes, save_model
from .inference import InferenceSettings, OnnxNetwork, SegmentedFrame, VideoInference, VideoPrediction
from .inference.encoding_stage import encode_behind
from .inference.image import infer_image
from .inference.segmented_frame import with_classes
from .inference.video import Released
from .meta_arch import Ifc
from .precision import fast_precision
from .video import open_frames
from .video.read_ahead import FRAMES_AHEAD, ReadablePart, read_ahead

READING_THREADS = 2  # beside the one that decodes: they resize
# Where a person looks at the result. An evaluation is in float32 unless it is asked otherwise: papers are.
SEGMENTER_DEFAULTS = ("MODEL.IFC.PRECISION", "auto")

Video = str | os.PathLike | Iterable[np.ndarray]
Size = tuple[int, int]  # height, width


class IncompleteVideoError(ValueError):
    """A video that could be read in part. The cause says what was wrong, and with which frame.

    Attributes:
        prediction: the tracks of the frames before that.
    """

    def __init__(self, prediction: VideoPrediction, cause: Exception):
        super().__init__(str(cause))
        self.prediction = prediction


class VideoSegmenter:
    """Segments and tracks the objects of videos with a trained model.

    Example:
        >>> segmenter = VideoSegmenter.from_config("projects/IFC/configs/base_ytvis.yaml", "model.pth")
        >>> for track in segmenter("cats.mp4").tracks:
        ...     print(track.instance_id, segmenter.classes.names[track.label], track.score)
        >>> for frame in segmenter.stream(camera):
        ...     print(frame.index, frame.masks)

    A video is the path of a video file or of a folder of frames, or any iterable of (H, W, 3) uint8 RGB arrays of one
    size. It is read once, from the beginning to the end and ahead of the network; what is kept of it is its masks. An
    array may be filled anew for the next frame, as cameras do.

    Args:
        cfg: a checked config, see `setup_config`; its MODEL.WEIGHTS is loaded.
        classes: names and ids of the labels; None for those of DATASETS.TEST[0].
        network: an exported network, in place of MODEL.WEIGHTS.

    Attributes:
        classes: names and ids of the labels.
        model: the `Ifc` model; None where the network is an exported one.
        inference: finds the instances of videos.
        cfg: the config.
        window: frames of a window.
        weights: their file.
        weights_hash: SHA-256 of the weights' file, in hexadecimal.

    Raises:
        OSError, ValueError: if the weights cannot be read or are not those of such a model.
    """

    def __init__(self, cfg: CfgNode, classes: Classes | None = None, network: OnnxNetwork | None = None):
        self.classes = classes or Classes.of_config(cfg)
        self.model: Ifc | None = None
        if network is not None:
            self.inference = VideoInference(network, InferenceSettings.from_config(cfg))
            self.weights, self.weights_hash = network.weights, network.weights_hash
        elif cfg.MODEL.WEIGHTS:
            self.model = build_model(cfg).eval()
            self.inference = self.model.inference
            self.weights: str = cfg.MODEL.WEIGHTS
            self.weights_hash = WholeCheckpointer(self.model).load_and_hash(self.weights)
        else:
            raise ValueError("MODEL.WEIGHTS: found nothing, expected a checkpoint; add MODEL.WEIGHTS model.pth")
        self.window: int = cfg.INPUT.SAMPLING_FRAME_NUM
        self.cfg = cfg
        self._resize = T.ResizeShortestEdge([cfg.INPUT.MIN_SIZE_TEST] * 2, cfg.INPUT.MAX_SIZE_TEST)
        self._is_bgr = cfg.INPUT.FORMAT == "BGR"

    @classmethod
    def from_config(
        cls, config_file: str | os.PathLike, weights: str | os.PathLike, opts: Sequence[Any] = ()
    ) -> "VideoSegmenter":
        """
        Args:
            config_file: a config of IFC.
            weights: a checkpoint of its model.
            opts: keys and values that win over the config's, such as ["MODEL.DEVICE", "cpu"]. MODEL.IFC.PRECISION is
                "auto" where neither says otherwise.

        Raises:
            OSError, ValueError: for a wrong config, key, value or checkpoint.
        """
        opts = ["MODEL.WEIGHTS", os.fspath(weights), *opts]
        return cls(setup_config(os.fspath(config_file), opts, program_defaults=SEGMENTER_DEFAULTS))

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Write config.json and model.safetensors into `folder`, which `ifc.load` reads: whole or not at all.

        Raises:
            OSError, ValueError: the folder cannot be written, or holds other files than those of a model.
        """
        if self.model is None:
            raise ValueError(
                f"{folder}: found an exported network, which cannot be saved, expected a model with weights"
            )
        save_model(folder, self.cfg, self.classes, self.model.state_dict())

    @property
    def settings(self) -> dict[str, Any]:
        """What results depend on besides the weights: `model_config` with the precision that the device gets."""
        settings = model_config(self.cfg)
        if settings["MODEL"]["IFC"]["PRECISION"] == "auto":
            settings["MODEL"]["IFC"]["PRECISION"] = fast_precision(self.inference.network.device)
        return settings

    def __call__(self, video: Video) -> VideoPrediction:
        """The tracks of a video, with masks of its frames' size.

        Raises:
            VideoReadError: if a file cannot be read at all.
            IncompleteVideoError: if reading ended with an error after some frames. It holds what was found in them.
            ValueError: if there is no frame, or the first one cannot be used.
        """
        frames, size = self._read(video)
        prediction = self.inference(frames, size)
        if frames.error is not None:
            raise IncompleteVideoError(prediction, frames.error) from frames.error
        return prediction

    def stream(
        self, video: Video, frames_at_once: int = 1, frames_ahead: int = FRAMES_AHEAD
    ) -> Iterator[SegmentedFrame]:
        """The frames of a video, each as soon as no later frame can change its masks: when the last window that holds
        it is past. Nothing is kept of the frames that were yielded.

        Args:
            video: a camera's frames, too: it is waited for.
            frames_at_once: frames that are waited for and computed together: 1 for the shortest delay, more for speed;
                0 for as many as the device has room for, `frames_ahead` at most.
            frames_ahead: the most that are read before the network takes them.

        Raises:
            VideoReadError, ValueError: as `__call__`. An error in the middle of the video is the reader's own, and
                comes after the last frame that could be read.
        """
        if frames_at_once < 0:
            raise ValueError(f"frames_at_once: found {frames_at_once}, expected at least 0")
        frames, size = self._read(video, frames_ahead)
        stream, classes = self.inference.stream(size), {}
        context = self.inference.settings, size, self.classes.names
        released = stream.advance_all(frames, frames_at_once, frames_ahead)

        def segmented(final: Released) -> list[SegmentedFrame]:
            return list(with_classes(stream.encode(final), classes, *context))

        in_turn = frames_at_once == 1  # a frame that is finished does not wait for the next one
        device = self.inference.network.device
        batches = map(segmented, released) if in_turn else encode_behind(segmented, released, device)
        yield from itertools.chain.from_iterable(batches)
        if frames.error is not None:
            raise frames.error

    def segment_image(self, image: np.ndarray) -> Instances:
        """The instances of an image, (H, W, 3) uint8 RGB: `pred_boxes`, `pred_masks` (N, H, W) bool, `scores` and
        `pred_classes`.

        Raises:
            ValueError: if it is another array.
        """
        self._require_rgb(image, "image")
        height, width = image.shape[:2]
        frame = self._to_input(image)
        if self.model is None:
            network, frame_size = self.inference.network, tuple(frame.shape[1:])
            prediction = network.predict_clips(network.encode_frames(frame[None]), 1)
            masks = prediction.pred_masks[0][:, 0]
            return infer_image(prediction.pred_logits[0], masks, frame_size, frame_size, (height, width))
        with torch.no_grad():
            (result,) = self.model([{"image": frame, "height": height, "width": width}])
        return result["instances"]

    def require_size(self, height: int, width: int, name: str) -> None:
        """
        Raises:
            ValueError: if nothing would be left of the shorter side of frames of this size when the longer one is
                resized to INPUT.MAX_SIZE_TEST. `name` says what has this size.
        """
        shorter, longer = sorted((height, width))
        if longer > 2 * self._resize.max_size * shorter:
            raise ValueError(
                f"{name}: found {height} x {width} pixels, expected a longer side of at most "
                f"{2 * self._resize.max_size} times the shorter one (twice INPUT.MAX_SIZE_TEST)"
            )

    def _require_rgb(self, frame: Any, name: str) -> None:
        expected = "an array (height, width, 3) of uint8"
        if not isinstance(frame, np.ndarray):
            raise ValueError(f"{name}: found a {type(frame).__name__}, expected {expected}")
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
            raise ValueError(f"{name}: found an array {frame.shape} of {frame.dtype}, expected {expected}")
        self.require_size(*frame.shape[:2], name)

    def _read(self, video: Video, ahead: int = FRAMES_AHEAD) -> tuple[ReadablePart[Tensor], Size]:
        """A video's frames as the network takes them, read ahead, and its (height, width)."""
        if isinstance(video, str | os.PathLike):
            source = open_frames(video)
            self.require_size(*source.size, str(video))
        else:
            source = self._copies(video)
        frames = read_ahead(
            lambda frame: (frame.shape[:2], self._to_input(frame)), source, ahead=ahead, workers=READING_THREADS
        )
        first = next(frames, None)
        if first is None:
            raise ValueError("the video has no frames, expected at least 1")
        return ReadablePart(_of_one_size(itertools.chain([first], frames))), first[0]

    def _copies(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The frames, checked, in memory of their own: who made them may use theirs again while these wait."""
        for index, frame in enumerate(frames):
            self._require_rgb(frame, f"frame {index}")
            yield frame.copy()

    def _to_input(self, frame: np.ndarray) -> Tensor:
        return to_input(frame, self._resize, self._is_bgr)


def to_input(frame: np.ndarray, resize: T.Augmentation, is_bgr: bool) -> Tensor:
    """(H, W, 3) uint8 RGB → uint8 (3, h, w), resized as the loader does it, channels in the order of the network."""
    resized = resize.get_transform(frame).apply_image(frame)
    if is_bgr:
        resized = resized[:, :, ::-1]
    return torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1)))


def _of_one_size(frames: Iterable[tuple[Size, Tensor]]) -> Iterator[Tensor]:
    expected = None
    for index, (size, frame) in enumerate(frames):
        expected = expected or size
        if size != expected:
            found, before = ("{} x {}".format(*x) for x in (size, expected))
            raise ValueError(f"frame {index}: found {found} pixels, expected the {before} of the frames before")
        yield frame
