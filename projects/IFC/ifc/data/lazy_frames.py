# SPDX-License-Identifier: Apache-2.0
"""A video's frames that are read when they are asked for."""

import os
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from ..video.read_ahead import read_ahead

READING_THREADS = min(4, os.cpu_count() or 1)


class LazyFrames(Sequence[Tensor]):
    """The frames of a test video, uint8 (3, h, w) each, as a list would have them, but in no memory.

    Iterating reads ahead, with several threads; each time all frames are read again.

    Args:
        file_names: the image file of each frame.
        read: reads one of them. A function that can be pickled, as loaders send samples from process to process.
    """

    def __init__(self, file_names: Sequence[str], read: Callable[[str], Tensor]):
        self._file_names = list(file_names)
        self._read = read

    def __len__(self) -> int:
        return len(self._file_names)

    def __getitem__(self, index: int | slice) -> "Tensor | LazyFrames":
        if isinstance(index, slice):
            return LazyFrames(self._file_names[index], self._read)
        return self._read(self._file_names[index])

    def __iter__(self) -> Iterator[Tensor]:
        return read_ahead(self._read, self._file_names, workers=READING_THREADS)
