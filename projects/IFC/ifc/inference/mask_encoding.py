# SPDX-License-Identifier: Apache-2.0
"""Mask logits → COCO's compressed RLE, without ever making the masks at their output size.

A run-length encoding needs the borders of a mask alone, and few places have one. Resizing interpolates between four
logits, the corners of a cell: where they have the same sign, so has all that lies between them. In the other cells the
edges above and below are resized to the output's width. From one to the other an output column is linear, so that it
has a border where their signs differ, and only there, in the row that follows from where the line crosses 0. All of
this happens on the logits' device, for all masks at once; only the borders go to the host.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from pycocotools import mask as coco_mask
from torch import Tensor

from ..regions import region
from ..ytvis.masks import Rle

# Cells are worked on in parts whose temporary tensors take about this much, lest masks of noise take all memory.
_PART_BYTES = 2**26
_BYTES_PER_COLUMN = 48  # of a cell

# Stands for infinity, which cannot be interpolated.
_HUGE = 1e30


@region("masks to RLE")
def encode_masks(frames: Sequence[Tensor], output_size: tuple[int, int]) -> list[list[Rle | None]]:
    """Resize the mask logits of frames bilinearly, threshold them at 0 and encode them.

    The host waits for the device a few times, however many frames and masks there are.

    Args:
        frames: mask logits of each frame, (n, h, w), of any floating dtype, on any device; n may differ from frame to
            frame, h and w may not. Computed with in float32. NaN is outside a mask.
        output_size: (height, width) of the masks.

    Returns:
        For each frame its n masks; None for an empty one. The bytes are those of `pycocotools.mask.encode`, the masks
        those of `F.interpolate(…, mode="bilinear", align_corners=False) > 0`, but for pixels where that is 0 up to
        rounding.
    """
    num_masks = sum(map(len, frames))
    if num_masks == 0:
        return [[] for _ in frames]
    with _one_thread():
        borders = _find_borders(torch.cat(tuple(frames)).float(), output_size).sort().values
    rles = iter(_compress(borders.cpu().numpy(), num_masks, output_size))
    return [list(islice(rles, len(frame))) for frame in frames]


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for torch's operations on the CPU: here they are many and short, so that several threads gain little,
    and wait for each other at every one of them where other programs run, too.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


def _find_borders(mask_logits: Tensor, output_size: tuple[int, int]) -> Tensor:
    """Where the masks of (n, h, w) logits begin and end.

    Returns:
        (k,) int64, in no order: i · (height · width + 1) + p where pixel p of mask i, counted down the columns, is the
        first of a run, or one past the last of one. Two that are equal cancel: no pixel lies between them.
    """
    height, width = output_size
    _, h, w = mask_logits.shape
    # The margin of zeros is outside a mask, so that a column begins and ends there, and its runs with it. F.interpolate
    # repeats the outermost logits instead: at the left and the right that is the same, as what goes to zero there does
    # so above and below alike.
    values = F.pad(mask_logits, (1, 1, 1, 1))  # (n, h + 2, w + 2)

    columns, rows = _sources(w, width), _sources(h, height).astype(np.float64)
    most_columns = int(np.bincount(np.floor(columns).astype(np.int64) + 1).max())  # of the output in one cell
    columns = np.append(columns, np.full(most_columns, np.inf, dtype=np.float32))
    rows, columns = (torch.from_numpy(sources).to(values.device, non_blocking=True) for sources in (rows, columns))

    parts = _mixed_cells(values).split(max(1, _PART_BYTES // (_BYTES_PER_COLUMN * most_columns)))
    return torch.cat([_borders_in_cells(values, cells, rows, columns, most_columns) for cells in parts])


def _sources(size: int, output_size: int) -> np.ndarray:
    """Where among `size` values F.interpolate reads each of `output_size`, as it rounds it: (output_size,) float32."""
    scale = np.float64(np.float32(size) / np.float32(output_size))
    return ((np.arange(output_size) + 0.5) * scale - 0.5).astype(np.float32)


def _mixed_cells(values: Tensor) -> Tensor:
    """The cells between (n, h + 2, w + 2) values that have corners inside and outside a mask.

    Returns:
        (m,) int64, indices to (n, h + 1, w + 1) flattened.
    """
    inside = (values > 0).view(torch.uint8)
    pairs = inside[:, :-1] + inside[:, 1:]
    corners = pairs[..., :-1] + pairs[..., 1:]  # inside, of each cell: 0 to 4
    return (corners & 3).flatten().nonzero()[:, 0]


def _borders_in_cells(values: Tensor, cells: Tensor, rows: Tensor, columns: Tensor, most_columns: int) -> Tensor:
    """The borders, as `_find_borders` returns them, in some of the cells.

    Args:
        values: (n, h + 2, w + 2), the logits in their margin.
        cells: (m,) int64, see `_mixed_cells`.
        rows: (height,) float64, ascending: where among the h logits each row of the output lies.
        columns: (width + most_columns,) float32, ascending: likewise for the columns; infinity past the last.
        most_columns: that a cell has.
    """
    _, padded_h, padded_w = values.shape
    height, width = len(rows), len(columns) - most_columns
    x = cells % (padded_w - 1)
    line = cells // (padded_w - 1)  # of cells, over all masks
    mask, y = line // (padded_h - 1), line % (padded_h - 1)
    corner = (line + mask) * padded_w + x  # upper left: each mask has one more line of values than of cells
    left = (x[:, None] - 1).float()  # the margin is at -1

    column = torch.searchsorted(columns, left) + torch.arange(most_columns, device=cells.device)
    source = columns[column]  # (m, most_columns)
    weight = source - left
    values = values.flatten()
    upper_left, upper_right, lower_left, lower_right = (
        values[corner + step, None].nan_to_num(nan=-_HUGE, posinf=_HUGE, neginf=-_HUGE)
        for step in (0, 1, padded_w, padded_w + 1)
    )
    upper, lower = torch.lerp(upper_left, upper_right, weight), torch.lerp(lower_left, lower_right, weight)
    found = (((upper > 0) != (lower > 0)) & (source < left + 1)).flatten().nonzero()[:, 0]

    upper, lower = upper.flatten()[found].double(), lower.flatten()[found].double()
    cell = found // most_columns
    crossing = y[cell] - 1 + upper / (upper - lower)
    # The first row that is inside where the line goes up, the first that is not where it goes down.
    row = torch.where(lower > 0, torch.searchsorted(rows, crossing, right=True), torch.searchsorted(rows, crossing))
    return mask[cell] * (height * width + 1) + column.flatten()[found] * height + row


def _compress(borders: np.ndarray, num_masks: int, output_size: tuple[int, int]) -> list[Rle | None]:
    """The masks that have these borders, see `_find_borders`, in ascending order."""
    height, width = output_size
    firsts = np.flatnonzero(np.diff(borders, prepend=-1))  # of those that are equal
    times = np.diff(firsts, append=len(borders))
    masks, pixels = np.divmod(borders[firsts[times % 2 == 1]], height * width + 1)
    is_pixel = pixels < height * width
    masks, pixels = masks[is_pixel], pixels[is_pixel]
    num_borders = np.bincount(masks, minlength=num_masks)
    ends = num_borders.cumsum()
    pixels = np.insert(pixels, ends, height * width)  # where each mask's last run ends
    starts = ends - num_borders + np.arange(num_masks)
    run_lengths = np.diff(pixels, prepend=0)
    run_lengths[starts] = pixels[starts]
    uncompressed = [{"size": output_size, "counts": counts} for counts in np.split(run_lengths, starts[1:])]
    return [
        {"size": [height, width], "counts": rle["counts"].decode("ascii")} if num else None
        for rle, num in zip(coco_mask.frPyObjects(uncompressed, height, width), num_borders, strict=True)
    ]
