# SPDX-License-Identifier: Apache-2.0
"""Loading and saving checkpoints. No file read here can run code."""

import glob
import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils.file_io import PathManager
from safetensors.torch import load_file
from torch import nn

from ..ytvis.files import file_hash, refuse_input, whole_file
from .array_pickle import NUMERIC_KINDS, load_array_pickle

CLASS_HEAD = "detr.class_embed.layers.1."  # the class head's last layer: the one with a row for every class
NUMBERED = "model_[0-9]*.pth"  # the checkpoints that a training wrote on its way
APPEARANCE_HEAD = "detr.appearance."
CLASS_WEIGHTS = "criterion.empty_weight"  # the criterion keeps its own, whatever a file says


class DamagedCheckpointError(ValueError):
    """A file is no whole checkpoint."""


class IfcCheckpointer(DetectionCheckpointer):
    """detectron2's checkpointer, which reads files without running code, names a broken file and writes whole files.

    Where a checkpoint has another number of classes, the class head's last layer starts fresh, and so does an
    appearance head where it has none, which one line says.
    `load` and `resume_or_load` raise OSError for a file that is missing or cannot be fetched, and ValueError for one
    that is no whole checkpoint or holds nothing of this model. Both messages name the file.
    """

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As detectron2's: read `path`, a file or URL; an empty one leaves the model as it is."""
        return super().load(self._fetch(path), *args, **kwargs)

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """As detectron2's, but a training's checkpoint that is missing or damaged is passed over, with a warning, for
        the one before it.

        Raises:
            DamagedCheckpointError: there is no whole one.
        """
        if not (resume and self.has_checkpoint()):
            return super().resume_or_load(path, resume=False)
        newest = self.get_checkpoint_file()
        others = sorted(glob.glob(os.path.join(glob.escape(self.save_dir), NUMBERED)), reverse=True)
        failure: Exception | None = None
        for candidate in dict.fromkeys([newest, *others]):
            try:
                return self.load(candidate)
            except (DamagedCheckpointError, FileNotFoundError) as error:
                self.logger.warning(f"{error}; the one before it is looked for")
                failure = failure or error
        raise failure

    def _fetch(self, path: str) -> str:
        """The local file for `path`."""
        try:
            local = self.path_manager.get_local_path(path) if "://" in path else path
        except (OSError, RuntimeError, ValueError) as error:  # no such host, model in detectron2's catalog or address
            raise OSError(f"checkpoint {path}: {error}") from error
        if local and not os.path.isfile(local):
            raise FileNotFoundError(f"checkpoint {path}: no such file")
        return local

    def _load_file(self, filename: str) -> dict[str, Any]:
        checkpoint = read_checkpoint(filename)
        self._filename = filename
        return checkpoint

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        weights = checkpoint["model"]
        for name in [name for name in weights if name.endswith(CLASS_WEIGHTS)]:
            del weights[name]  # or fvcore would warn that its shape is that of another number of classes
        incompatible = super()._load_model(checkpoint)
        parameters = {name for name, _ in self.model.named_parameters()}
        if parameters.issubset(incompatible.missing_keys):
            raise ValueError(
                f"checkpoint {self._filename}: expected a checkpoint of this model or of its backbone, found one "
                f"without a fitting value for any of its {len(parameters)} parameters"
            )
        unusable = [name for name, value in self.model.named_parameters() if not torch.isfinite(value).all()]
        if unusable:
            raise ValueError(
                f"checkpoint {self._filename}: expected finite weights, found NaN or infinity in {len(unusable)}, such "
                f"as {unusable[0]}: that training had diverged"
            )
        return incompatible

    def _log_incompatible_keys(self, incompatible: Any) -> None:
        fresh = _of_other_classes(incompatible)
        if fresh:
            _, found, wanted = fresh[0]
            self.logger.warning(
                f"The checkpoint has {found[0] - 1} classes and the model {wanted[0] - 1}: the class head's last "
                f"layer, {CLASS_HEAD[:-1]}, starts fresh."
            )
            names = {name for name, _, _ in fresh}
            incompatible = incompatible._replace(
                missing_keys=[name for name in incompatible.missing_keys if name not in names],
                incorrect_shapes=[misfit for misfit in incompatible.incorrect_shapes if misfit not in fresh],
            )
        if self._lacks_appearance_head(incompatible):
            head = f"{APPEARANCE_HEAD[:-1]} (MODEL.IFC.APPEARANCE.DIM)"
            self.logger.warning(f"The checkpoint has no appearance head: {head} starts fresh.")
            incompatible = _without_appearance_head(incompatible)
        super()._log_incompatible_keys(incompatible)

    def _lacks_appearance_head(self, incompatible: Any) -> bool:
        """Whether the model has one, and a checkpoint nothing of it."""
        own = {name for name, _ in self.model.named_parameters() if name.startswith(APPEARANCE_HEAD)}
        return bool(own) and own <= {*incompatible.missing_keys} - {name for name, *_ in incompatible.incorrect_shapes}

    def save(self, name: str, **kwargs: Any) -> None:
        """As detectron2's, but a file appears under its name only when it is whole, and `last_checkpoint` after it.

        Raises:
            OSError: the file cannot be written. What was there before stays.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        for unfinished in Path(self.save_dir).glob(".*.pth.*.part"):  # of a program that was killed while it saved
            unfinished.unlink()
        state = {key: checkpointable.state_dict() for key, checkpointable in self.checkpointables.items()}
        self.save_weights(name, self.model, **state, **kwargs)
        self.tag_last_checkpoint(f"{name}.pth")

    def save_weights(self, name: str, model: nn.Module, **kwargs: Any) -> None:
        """Write a model's weights and `kwargs` as a file that MODEL.WEIGHTS takes and --resume does not look for.

        Raises:
            OSError: as `save`.
        """
        if self.save_dir and self.save_to_disk:
            path = os.path.join(self.save_dir, f"{name}.pth")
            self.logger.info(f"Saving checkpoint to {path}")
            write_checkpoint({"model": model.state_dict(), **kwargs}, path)

    def remove(self, name: str) -> None:
        """Remove a checkpoint that `save` wrote, if it is still there."""
        if self.save_dir and self.save_to_disk:
            Path(self.save_dir, f"{name}.pth").unlink(missing_ok=True)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Note which file `--resume` reads."""
        with whole_file(os.path.join(self.save_dir, "last_checkpoint")) as partial:
            partial.write_text(last_filename_basename)


class WholeCheckpointer(IfcCheckpointer):
    """That of a model that is used as it is: what a file does not have, with which training may start, would make its
    results random. `load` raises ValueError for that, too, but removes an appearance head that may be missing.
    """

    def load_and_hash(self, path: str) -> str:
        """Load the weights; the SHA-256 of their file."""
        local = self._fetch(path)
        self.load(local)
        return file_hash(local)

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        incompatible = super()._load_model(checkpoint)
        if misfits := _of_other_classes(incompatible):
            _, found, wanted = misfits[0]
            raise ValueError(
                f"checkpoint {self._filename}: found weights of {found[0] - 1} classes, expected those of "
                f"{wanted[0] - 1}, the config's MODEL.IFC.NUM_CLASSES"
            )
        if self._lacks_appearance_head(incompatible):
            if not self.model.detr.appearance.is_optional:
                raise ValueError(
                    f"checkpoint {self._filename}: found weights without an appearance head, expected those of one, as "
                    "MODEL.IFC.APPEARANCE.DIM says, or MODEL.IFC.APPEARANCE.ALLOW_MISSING to do without"
                )
            self.logger.warning(f"{self._filename} has no appearance head: the decoder's states serve as embeddings.")
            self.model.detr.appearance = None
            incompatible = _without_appearance_head(incompatible)
        missing = [name for name in incompatible.missing_keys if name.startswith("detr.")]
        if missing:
            raise ValueError(
                f"{self._filename}: expected a checkpoint of this config's model, found one without fitting values for "
                f"{len(missing)} of its parameters, {missing[0]} the first"
            )
        return incompatible


def _of_other_classes(incompatible: Any) -> list[tuple[str, tuple, tuple]]:
    """(name, shape in the file, shape in the model) where only the number of classes differs."""
    return [
        misfit
        for misfit in incompatible.incorrect_shapes
        if misfit[0].startswith(CLASS_HEAD) and misfit[1][1:] == misfit[2][1:]
    ]


def _without_appearance_head(incompatible: Any) -> Any:
    others = [name for name in incompatible.missing_keys if not name.startswith(APPEARANCE_HEAD)]
    return incompatible._replace(missing_keys=others)


def strip_checkpoint(source: str, target: str, half: bool = False) -> int:
    """Write the weights of the checkpoint `source` alone to `target`, whole or not at all.

    Args:
        half: store floating-point weights as float16. They are converted back where they are loaded.

    Returns:
        Size of `target` in bytes.

    Raises:
        OSError: `source` cannot be read, or `target` cannot be written or is `source`.
        ValueError: `source` is no checkpoint, or a weight does not fit into float16.
    """
    refuse_input(target, [source])
    weights = {name: torch.as_tensor(value) for name, value in read_checkpoint(source)["model"].items()}
    if not weights:
        raise ValueError(f"checkpoint {source}: expected a model's weights, found none")
    for name, value in weights.items() if half else ():
        if value.is_floating_point():
            weights[name] = value.half()
            if not torch.isfinite(weights[name]).all():
                raise ValueError(f"{source}: {name} has values beyond float16's range; strip it without --half")
    write_checkpoint({"model": weights}, target)
    return os.path.getsize(target)


def write_checkpoint(data: dict[str, Any], path: str) -> None:
    try:
        with whole_file(path) as partial:
            torch.save(data, partial)
    except RuntimeError as error:  # of torch, which does not tell why a write fell short
        raise OSError(
            f"checkpoint {path}: cannot be written whole; is its folder there, and the disk not full?"
        ) from error


def read_checkpoint(filename: str) -> dict[str, Any]:
    """{"model": name → tensor or array, …}, checked; or DamagedCheckpointError, which names the file."""
    try:
        checkpoint = _load(filename)
        check_tensors(checkpoint["model"])
    except Exception as error:  # a damaged file can raise anything
        raise DamagedCheckpointError(
            f"checkpoint {filename} ({os.path.getsize(filename)} bytes): expected a whole file of tensors, found "
            f"one that cannot be read: {_reason(error)}"
        ) from error
    return checkpoint


def _load(filename: str) -> dict[str, Any]:
    """{"model": name → tensor or array, …} from a file of ours, of the original, of detectron2's zoo or of Caffe2."""
    if filename.endswith(".safetensors"):
        return {"model": load_file(filename)}
    with PathManager.open(filename, "rb") as file:
        if not filename.endswith(".pkl"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a file that is no checkpoint ends in an error of its own
                checkpoint = torch.load(file, map_location="cpu", weights_only=True)
            return checkpoint if "model" in checkpoint else {"model": checkpoint}
        checkpoint = load_array_pickle(file)
    if "model" in checkpoint and "__author__" in checkpoint:  # detectron2's model zoo
        return checkpoint
    weights = checkpoint.get("blobs", checkpoint)  # Caffe2: whole models have "blobs", backbones do not
    weights = {name: value for name, value in weights.items() if not name.endswith("_momentum")}
    return {"model": weights, "__author__": "Caffe2", "matching_heuristics": True}


def check_tensors(weights: Any) -> None:
    """Raise TypeError unless these are dense tensors or arrays of plain numbers by name."""
    if not isinstance(weights, dict):
        raise TypeError(f"found {type(weights).__name__} for the model, expected tensors by name")
    for name, value in weights.items():
        numeric = isinstance(value, np.ndarray) and value.dtype.kind in NUMERIC_KINDS
        if not isinstance(name, str) or not (numeric or isinstance(value, torch.Tensor)):
            raise TypeError(f"found {type(value).__name__} for {name!r}, expected a tensor")
        if isinstance(value, torch.Tensor) and (value.layout != torch.strided or value.is_quantized or value.is_meta):
            kind = "without values" if value.is_meta else f"of {value.dtype} in {value.layout} layout"
            raise TypeError(f"found a tensor {kind} for {name!r}, expected a dense one of plain numbers")


def _reason(error: Exception) -> str:
    """The line that matters. Torch's messages fill a page, and advise to read the file in a way that runs its code."""
    message = re.sub(r"\x1b\[\d*m", "", str(error))
    refers = re.search(r"GLOBAL (\S+)", message)
    if refers:
        return f"it refers to {refers[1]}; only tensors in containers are allowed"
    message = message.rpartition("WeightsUnpickler error:")[2].strip()
    first = message.partition("\n")[0].partition(". ")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
