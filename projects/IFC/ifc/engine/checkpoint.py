# SPDX-License-Identifier: Apache-2.0
"""Loading and saving checkpoints. No file read here can run code."""

import contextlib
import logging
import os
import pickle
from collections.abc import Iterator
from typing import Any, BinaryIO

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils.file_io import PathManager

# What the pickles of detectron2's model zoo are made of: dicts of numpy arrays. Old and new names of the same functions.
_PICKLE_GLOBALS = {
    (module, name)
    for package in ("numpy.core", "numpy._core")
    for module, name in (
        (f"{package}.multiarray", "_reconstruct"),
        (f"{package}.multiarray", "scalar"),
        (f"{package}.numeric", "_frombuffer"),
    )
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("collections", "OrderedDict"), ("_codecs", "encode")}


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles arrays in containers and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PICKLE_GLOBALS:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}; only numpy arrays in dicts are allowed")
        return super().find_class(module, name)


def load_array_pickle(file: BinaryIO) -> Any:
    """Read a pickle that holds numpy arrays in dicts, lists and tuples.

    Raises:
        pickle.UnpicklingError: if it refers to anything else.
    """
    return _ArrayUnpickler(file, encoding="latin1").load()


class IfcCheckpointer(DetectionCheckpointer):
    """detectron2's checkpointer, which reads files without running code, names a broken file, writes whole files, and says
    in one line what of the class head stays fresh when the number of classes differs."""

    def _load_file(self, filename: str) -> dict[str, Any]:
        try:
            checkpoint = self._read(filename)
        except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            size = f" ({os.path.getsize(filename)} bytes)" if os.path.isfile(filename) else ""
            raise ValueError(
                f"MODEL.WEIGHTS {filename}{size}: expected a whole checkpoint of tensors, found a file that cannot be "
                f"read: {reason}"
            ) from error
        if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("model", {}), dict):
            raise ValueError(f"MODEL.WEIGHTS {filename}: expected a dict of tensors, found {type(checkpoint).__name__}")
        return checkpoint if "model" in checkpoint else {"model": checkpoint}

    def _read(self, filename: str) -> dict[str, Any]:
        with PathManager.open(filename, "rb") as file:
            if not filename.endswith(".pkl"):
                return torch.load(file, map_location="cpu", weights_only=True)
            data = load_array_pickle(file)
        if "model" in data and "__author__" in data:  # detectron2's model zoo
            return data
        weights = data.get("blobs", data)  # detectron 1 and Caffe2
        weights = {name: value for name, value in weights.items() if not name.endswith("_momentum")}
        return {"model": weights, "__author__": "Caffe2", "matching_heuristics": True}

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        self._drop_other_class_head(checkpoint["model"])
        return super()._load_model(checkpoint)

    def _drop_other_class_head(self, weights: dict[str, Any]) -> None:
        """A checkpoint for another number of classes starts everything but the class head's last layer."""
        own = self.model.state_dict()
        last_layer = [name for name in own if name.startswith("detr.class_embed.layers.1.")]
        other = [name for name in last_layer if name in weights and weights[name].shape != own[name].shape]
        if other:
            found, wanted = len(weights[other[0]]) - 1, len(own[other[0]]) - 1
            logging.getLogger(__name__).warning(
                f"The checkpoint has {found} classes and the model {wanted}: the class head's last layer starts fresh."
            )
            for name in (*last_layer, "criterion.empty_weight"):
                weights.pop(name, None)

    def save(self, name: str, **kwargs: Any) -> None:
        """As detectron2's, but a file appears under its name only when it is whole."""
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict(), **kwargs}
        data |= {key: checkpointable.state_dict() for key, checkpointable in self.checkpointables.items()}
        path = os.path.join(self.save_dir, f"{name}.pth")
        self.logger.info(f"Saving checkpoint to {path}")
        with _replacing(path) as partial:
            torch.save(data, partial)
        self.tag_last_checkpoint(os.path.basename(path))

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Note which file `--resume` reads."""
        with _replacing(os.path.join(self.save_dir, "last_checkpoint")) as partial, open(partial, "w") as file:
            file.write(last_filename_basename)


@contextlib.contextmanager
def _replacing(path: str) -> Iterator[str]:
    """A temporary name beside `path`, which becomes `path` if the block succeeds."""
    partial = f"{path}.partial"
    try:
        yield partial
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)
