# SPDX-License-Identifier: Apache-2.0
"""Dataset dicts as one block of bytes that processes share instead of copying.

Lists and dicts that forked workers read are copied page by page, because reading an object changes its reference count.
"""

import os
import pickle
import socket
from collections.abc import Sequence
from multiprocessing import parent_process
from multiprocessing.reduction import ForkingPickler
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.utils import comm
from torch.utils.data import Dataset

from ..regions import region

Record = dict[str, Any]

FRAME_LISTS = ("segmentations", "bboxes")  # of an annotation in a video: an entry a frame


class PackedRecords(Dataset):
    """A list of dataset dicts, of which a process holds no more than those it has asked for.

    An item is a dict like the one that was packed, made anew each time. Its annotations' `FRAME_LISTS` are
    `PackedList`s, which unpack the entries that are asked for: a training clip uses a few frames of a video.

    Forked workers share the bytes; spawned ones, and whatever else `multiprocessing` sends an instance to, get torch's
    handle to them. The bytes are pickles that this program made itself; they never come from a file.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        heads: list[bytes] = []
        entries: list[bytes] = []
        for record in records:
            head = dict(record)
            if isinstance(record.get("annotations"), list):
                head["annotations"] = [_take_out(annotation, entries) for annotation in record["annotations"]]
            heads.append(_dumps(head))
        pieces = heads + entries
        self._num_records = len(heads)
        self._content = torch.frombuffer(bytearray().join([*pieces, b"."]), dtype=torch.uint8)  # never without a byte
        self._offsets = torch.from_numpy(np.cumsum([0, *map(len, pieces)]))  # where each piece starts

    def __len__(self) -> int:
        return self._num_records

    @region("record")
    def __getitem__(self, index: int) -> Record:
        if not 0 <= index < self._num_records:
            raise IndexError(f"found index {index}, expected one below {self._num_records}")
        record = self.unpack(index)
        for annotation in record.get("annotations") or []:
            for key in FRAME_LISTS:
                if isinstance(annotation.get(key), _TakenOut):
                    place = annotation[key]
                    annotation[key] = PackedList(self, self._num_records + place.first, place.length)
        return record

    def unpack(self, piece: int) -> Any:
        """A piece of the content: the records come first, then the entries of their lists."""
        start, end = self._offsets[piece : piece + 2].tolist()
        return pickle.loads(self._content[start:end].numpy()) if end > start else None

    def num_bytes(self) -> int:
        """The size of all that is shared."""
        return self._content.nbytes + self._offsets.nbytes


class PackedList(Sequence):
    """A list in a `PackedRecords`; only the entries that are asked for are unpacked. Copies of it are plain lists."""

    def __init__(self, packed: PackedRecords, first: int, length: int) -> None:
        self._packed = packed
        self._pieces = range(first, first + length)

    def __len__(self) -> int:
        return len(self._pieces)

    def __getitem__(self, index: int | slice) -> Any:
        pieces = self._pieces[index]
        if isinstance(pieces, range):
            return [self._packed.unpack(piece) for piece in pieces]
        return self._packed.unpack(pieces)

    def __reduce__(self) -> tuple:
        return list, (list(self),)


class _TakenOut(NamedTuple):
    """What is packed in place of a list: the number of its first entry, among all entries, and its length."""

    first: int
    length: int


def _take_out(annotation: dict[str, Any], entries: list[bytes]) -> dict[str, Any]:
    """A copy of `annotation` without its `FRAME_LISTS`, whose entries go to the end of `entries`."""
    annotation = dict(annotation)
    for key in FRAME_LISTS:
        values = annotation.get(key)
        if isinstance(values, list):
            annotation[key] = _TakenOut(len(entries), len(values))
            entries += [b"" if value is None else _dumps(value) for value in values]
    return annotation


def _dumps(value: Any) -> bytes:
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


def pack_once(records: Sequence[Record]) -> PackedRecords:
    """Pack records that all training processes have read alike, once for those that one launcher started on a machine.

    The first of them packs; the others get torch's handle to its bytes. Every process has to call this.

    Raises:
        OSError: there is too little shared memory.
    """
    if comm.get_world_size() == 1:
        return PackedRecords(records)
    # Handles pass between processes of one parent only: they share the key that multiprocessing asks for.
    parent = parent_process()
    family = (socket.gethostname(), os.getpid() if parent is None else parent.pid)
    families = comm.all_gather(family)
    rank, first = comm.get_rank(), families.index(family)
    packed, handles = None, {}
    if rank == first:
        packed = PackedRecords(records)
        others = [other for other, its_family in enumerate(families) if its_family == family and other != first]
        try:
            handles = {other: bytes(ForkingPickler.dumps(packed)) for other in others}  # each can be used once
        except RuntimeError as error:
            size = f"{packed.num_bytes() / 1e6:.0f} MB of annotations"
            advice = "a container gets more by docker run --shm-size or --ipc=host"
            raise OSError(f"/dev/shm: found too little shared memory for {size}; {advice} ({error})") from error
    gathered = comm.all_gather(handles)
    if packed is None:
        packed = pickle.loads(gathered[first][rank])
    comm.synchronize()  # the handles are served by the process that made them
    return packed
