# SPDX-License-Identifier: Apache-2.0
"""Dataset dicts as one block of bytes that processes share instead of copying.

Lists and dicts that forked workers read are copied page by page, because reading an object changes its reference count.
"""

import pickle
from collections.abc import Sequence
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import torch
from detectron2.utils import comm
from torch.utils.data import Dataset

Record = dict[str, Any]


class PackedRecords(Dataset):
    """A list of dataset dicts, of which a process holds no more than those it has asked for.

    An item is a dict like the one that was packed, made anew each time. Forked workers share the bytes; spawned ones,
    and whatever else `multiprocessing` sends an instance to, get torch's handle to them. The bytes are pickles that
    this program made itself; they never come from a file.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        pickles = [pickle.dumps(record, protocol=pickle.HIGHEST_PROTOCOL) for record in records]
        self._content = torch.frombuffer(bytearray().join([*pickles, b"."]), dtype=torch.uint8)  # never without a byte
        self._offsets = torch.from_numpy(np.cumsum([0, *map(len, pickles)]))  # where each record starts

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> Record:
        if not 0 <= index < len(self):
            raise IndexError(f"found index {index}, expected one below {len(self)}")
        start, end = self._offsets[index : index + 2].tolist()
        return pickle.loads(self._content[start:end].numpy())

    def num_bytes(self) -> int:
        """The size of all that is shared."""
        return self._content.nbytes + self._offsets.nbytes


def pack_once(records: Sequence[Record]) -> PackedRecords:
    """Pack records that all training processes have read alike, once for those of a machine.

    The first of them packs; the others get torch's handle to its bytes. Every process has to call this.

    Raises:
        OSError: there is too little shared memory.
    """
    if comm.get_world_size() == 1:
        return PackedRecords(records)
    rank = comm.get_rank()
    first = rank - comm.get_local_rank()
    packed, handles = None, {}
    if rank == first:
        packed = PackedRecords(records)
        others = range(first + 1, first + comm.get_local_size())
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
