# SPDX-License-Identifier: Apache-2.0
"""An exported network as inference on videos runs it: by ONNX Runtime, on the CPU, in float32.

What is around the network, tracker and mask encoding, works on torch's tensors, which share the memory of its arrays.
"""

import os

import torch
from torch import Tensor

from ..modeling.network import ClipPrediction, FrameFeatures
from ..regions import region
from ..ytvis.files import file_hash

FRAME_INPUTS, FRAME_OUTPUTS = ["frames"], ["cells", "memory", "lateral4", "lateral3"]
CLIP_INPUTS, CLIP_OUTPUTS = FRAME_OUTPUTS, ["pred_logits", "pred_masks"]
EMBEDDINGS = "embeddings"  # the clip network's third output, which those lack that were exported before there was one


class OnnxNetwork:
    """What `InferenceNetwork` is of an `IfcNetwork`, of the two networks that `ifc.export` writes.

    Args:
        frame_network, clip_network: the files.

    Attributes:
        weights: the first of them.
        has_embeddings: whether predictions have them.
        weights_hash: the SHA-256 of both, one after the other.

    Raises:
        ImportError, OSError, ValueError: see `OnnxFunction`.
    """

    is_compiled = False
    device = torch.device("cpu")

    def __init__(self, frame_network: str | os.PathLike, clip_network: str | os.PathLike):
        self._frame_network = OnnxFunction(frame_network, FRAME_INPUTS, FRAME_OUTPUTS)
        self._clip_network = OnnxFunction(clip_network, CLIP_INPUTS, CLIP_OUTPUTS, EMBEDDINGS)
        self.has_embeddings = EMBEDDINGS in self._clip_network.outputs
        self.weights = os.fspath(frame_network)
        self.weights_hash = file_hash(frame_network, clip_network)

    def prepare(self) -> None:
        """As `InferenceNetwork.prepare`: here weights do not change."""

    @region("backbone")
    def encode_frames(self, frames: Tensor) -> FrameFeatures:
        """See `InferenceNetwork.encode_frames`."""
        cells, memory, lateral4, lateral3 = self._frame_network(frames)
        tokens = torch.cat([cells.flatten(1, 2), memory], dim=1)
        return FrameFeatures(tokens, None, None, lateral4, lateral3, tuple(cells.shape[1:3]))

    @region("clip network")
    def predict_clips(self, features: FrameFeatures, num_frames: int) -> ClipPrediction:
        """See `IfcNetwork.predict_clips`."""
        height, width = features.grid_size
        cells, memory = features.tokens.tensor_split([height * width], dim=1)
        cells = cells.unflatten(1, features.grid_size)
        inputs = (x.unflatten(0, (-1, num_frames)) for x in (cells, memory, features.lateral4, features.lateral3))
        return ClipPrediction(*self._clip_network(*inputs))


class OnnxFunction:
    """The network in a file as a function of tensors, with as many threads as torch has.

    Args:
        path: the file.
        inputs, outputs: the names that the network's must have.
        optional: the name of one more output that it may have.

    Attributes:
        outputs: the names of those that it has.

    Raises:
        ImportError: without onnxruntime.
        OSError, ValueError: the file is missing, damaged, or has another network. The message names it.
    """

    def __init__(self, path: str | os.PathLike, inputs: list[str], outputs: list[str], optional: str = ""):
        path = os.fspath(path)
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(f"{path}: needs onnxruntime: pip install 'detectron2-ifc[onnx]' ({error})") from error
        if not os.path.isfile(path):
            raise FileNotFoundError(f"{path}: no such file")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # one kind for each of ONNX Runtime's states
            raise ValueError(f"{path}: expected a network in ONNX's format, found another file: {error}") from error
        found = [[value.name for value in values()] for values in (self._session.get_inputs, self._session.get_outputs)]
        if found not in ([inputs, outputs], [inputs, [*outputs, optional]]):
            raise ValueError(f"{path}: found inputs and outputs {found}, expected {[inputs, outputs]}")
        self._inputs, self.outputs = found

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        arrays = {name: tensor.numpy() for name, tensor in zip(self._inputs, inputs, strict=True)}
        return [torch.from_numpy(array) for array in self._session.run(None, arrays)]
