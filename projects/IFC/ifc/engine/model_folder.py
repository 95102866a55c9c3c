# SPDX-License-Identifier: Apache-2.0
"""A trained model as a folder that is complete in itself: config.json beside the weights. Nothing in it can run code.

config.json holds {"format_version", "program", "classes": [{"id", "name"}, ...], "config": {"MODEL", "INPUT"}}, see
`model_config`. The weights are model.safetensors, under the names of a checkpoint, or in exported networks.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ..data.loaders import class_names
from ..version import __version__
from ..ytvis.files import read_json, whole_folder, write_json
from ..ytvis.values import expect
from .config_file import model_config, setup_config

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
# What `ifc export` writes in place of the weights: the frame network and the clip network.
ONNX_FILES = ("frame_network.onnx", "clip_network.onnx")
TORCH_FILES = ("frame_network.pt2", "clip_network.pt2")
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Classes:
    """The classes of the data set that a model was trained for.

    Attributes:
        names: name of each contiguous class.
        ids: the data set's own category id of each.
    """

    names: list[str]
    ids: list[int]

    @classmethod
    def of_config(cls, cfg: CfgNode) -> "Classes":
        """The classes of ``DATASETS.TEST[0]``.

        Raises:
            OSError, ValueError: if that data set is not known or has another number of classes than the model.
        """
        if not cfg.DATASETS.TEST:
            raise ValueError("DATASETS.TEST: found no data set, expected the one whose class names are the labels")
        name = cfg.DATASETS.TEST[0]
        names = class_names(name)
        if names is None:
            raise ValueError(f"DATASETS.TEST: found {name!r}, expected a data set with class names (thing_classes)")
        if len(names) != cfg.MODEL.IFC.NUM_CLASSES:
            raise ValueError(
                f"MODEL.IFC.NUM_CLASSES: found {cfg.MODEL.IFC.NUM_CLASSES}, expected the {len(names)} classes of {name}"
            )
        to_contiguous = MetadataCatalog.get(name).get("thing_dataset_id_to_contiguous_id")
        # A COCO data set of one's own gets this table when its json is read, for which there is no need here.
        ids = sorted(to_contiguous, key=to_contiguous.get) if to_contiguous else list(range(len(names)))
        return cls(list(names), ids)


@contextmanager
def new_model_folder(folder: str | os.PathLike, cfg: CfgNode, classes: Classes) -> Iterator[Path]:
    """A folder with config.json for the block to put weights into. It becomes `folder`, whole or not at all; one that
    holds a model is replaced.

    Raises:
        OSError, ValueError: the folder cannot be written, or holds other files.
    """
    folder = Path(folder)
    found = set(os.listdir(folder)) if folder.exists() else set()
    if others := sorted(found - {CONFIG_FILE, WEIGHTS_FILE, *ONNX_FILES, *TORCH_FILES}):
        raise ValueError(f"{folder}: found {others[0]!r} in it, expected a new folder or that of a model")
    config = model_config(cfg)
    timm = config["MODEL"]["TIMM"]
    timm["ARGUMENTS"] = [pair for pair in timm["ARGUMENTS"] if not _names_a_file(pair[0])]
    content = {
        "format_version": FORMAT_VERSION,
        "program": f"detectron2-ifc {__version__}",
        "classes": [{"id": id_, "name": name} for id_, name in zip(classes.ids, classes.names, strict=True)],
        "config": config,
    }
    with whole_folder(folder, replace=True) as partial:
        write_json(partial / CONFIG_FILE, content, indent=2)
        yield partial


def save_model(folder: str | os.PathLike, cfg: CfgNode, classes: Classes, weights: Mapping[str, Tensor]) -> None:
    """Write the folder of a model whose state is `weights`, see `new_model_folder`."""
    # What does not begin so belongs to the losses.
    kept = {name: value.detach().cpu().contiguous() for name, value in weights.items() if name.startswith("detr.")}
    with new_model_folder(folder, cfg, classes) as partial:
        try:
            save_file(kept, partial / WEIGHTS_FILE)
        except SafetensorError as error:
            raise OSError(f"{folder}: {WEIGHTS_FILE} cannot be written whole: {error}") from error


def read_model_config(
    path: str | os.PathLike, opts: Sequence[Any], program_defaults: Sequence[str] = ()
) -> tuple[CfgNode, Classes]:
    """The config in a config.json, see `setup_config`, and the classes in it.

    Raises:
        OSError, ValueError: it cannot be read, or is not such a file. The message names it, and the key.
    """
    content = read_json(path)
    found = content.get("format_version") if isinstance(content, dict) else content
    expected = f"{FORMAT_VERSION}, the only one that this version of the program knows"
    expect(found == FORMAT_VERSION, f"{path}: format_version", found, expected)
    config, classes = content.get("config"), _read_classes(f"{path}: classes", content.get("classes"))
    found = sorted(config) if isinstance(config, dict) else config
    expect(found == ["INPUT", "MODEL"], f"{path}: config", found, "an object with INPUT and MODEL")
    try:
        cfg = setup_config(config, opts, program_defaults=program_defaults)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    names = [pair[0] for pair in cfg.MODEL.TIMM.ARGUMENTS]
    expect(not any(map(_names_a_file, names)), f"{path}: MODEL.TIMM.ARGUMENTS", names, "none that names a file")
    expected = f"the {cfg.MODEL.IFC.NUM_CLASSES} of MODEL.IFC.NUM_CLASSES"
    expect(len(classes.ids) == cfg.MODEL.IFC.NUM_CLASSES, f"{path}: classes", len(classes.ids), expected)
    return cfg, classes


def _read_classes(place: str, entries: Any) -> Classes:
    expect(isinstance(entries, list), place, entries, "a list of ids and names")
    for index, entry in enumerate(entries):
        found = (entry.get("id"), entry.get("name")) if isinstance(entry, dict) else ()
        expect(list(map(type, found)) == [int, str], f"{place}[{index}]", entry, '{"id": 1, "name": "cat"}')
    classes = Classes([entry["name"] for entry in entries], [entry["id"] for entry in entries])
    expect(len(set(classes.ids)) == len(classes.ids), f"{place}: id", classes.ids, "each only once")
    return classes


def _names_a_file(argument: Any) -> bool:
    """Whether an argument of timm.create_model names a file that it would load, or where it would look for one."""
    return str(argument).startswith(("pretrained", "checkpoint", "cache"))
