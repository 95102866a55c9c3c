# SPDX-License-Identifier: Apache-2.0
"""Data sets that the configuration names: DATASETS.VIDEO_JSON."""

from collections.abc import Sequence
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from .dataset_dicts import register_ytvis_instances


def register_video_json(entries: Sequence[Any]) -> None:
    """Register `cfg.DATASETS.VIDEO_JSON` in this process, as often as it is called.

    Args:
        entries: [name, json file, folder of the frames] of each data set.

    Raises:
        ValueError: an entry that is none, or a name that stands for other files already.
    """
    expected = "expected [name, json file, folder of the frames]"
    for index, entry in enumerate(entries):
        place = f"DATASETS.VIDEO_JSON[{index}]"
        is_entry = isinstance(entry, list | tuple) and len(entry) == 3
        if not is_entry or not all(isinstance(word, str) and word for word in entry):
            raise ValueError(f"{place}: found {entry!r}, {expected}")
        name, *paths = entry
        if name not in DatasetCatalog:
            register_ytvis_instances(name, {}, *paths)
        metadata = MetadataCatalog.get(name)
        registered = [metadata.get("json_file"), metadata.get("image_root")]
        if registered != paths:
            raise ValueError(
                f"{place}: found {entry!r}, but '{name}' is registered with {registered}; choose another name"
            )
