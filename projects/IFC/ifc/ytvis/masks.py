# SPDX-License-Identifier: Apache-2.0
"""Segmentations as a json has them, RLE of either kind or polygons, checked and brought to compressed RLE.

pycocotools reads beyond the end of a malformed mask and rasterizes what takes all memory, so nothing reaches it
unchecked; what comes from here may be handed to it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as mask_utils

from .rle import Runs, as_bytes, decode
from .values import brief, is_list

MAX_OUTLINE = 2**20  # pixels along a frame's polygons, of each of which rasterizing takes about 80 bytes
DECODED_CHARACTERS = 2**16  # of a track's masks decoded at once, each of which takes about 40 bytes

Rle = dict[str, Any]  # pycocotools' compressed mask: {"size": [height, width], "counts": str or bytes}


class MaskError(ValueError):
    """What is wrong with a segmentation.

    Attributes:
        kind: one of `faults.KINDS`.
        field: the place inside of the segmentation, such as ".counts" or "[0]"; may be empty.
        found, expected: in words.
    """

    def __init__(self, kind: str, field: str, found: str, expected: str) -> None:
        super().__init__(f"found {found}, expected {expected}")
        self.kind, self.field, self.found, self.expected = kind, field, found, expected


class CheckedMasks(NamedTuple):
    """The masks of N segmentations.

    Attributes:
        masks: (N,) None where the object is absent or the segmentation has an error.
        areas: (N,) int64, pixels; 0 where there is no mask.
        errors: by number.
    """

    masks: list[Rle | None]
    areas: np.ndarray
    errors: dict[int, MaskError]


def read_masks(segmentations: Sequence[Any], size: tuple[int, int], *, fill: bool = True) -> CheckedMasks:
    """The masks of the segmentations of a track, or of a frame, with all that is wrong with them.

    Args:
        segmentations: of frames of `size`, (height, width).
        fill: rasterize polygons; otherwise they are checked alone, and have no mask.
    """
    masks: list[Rle | None] = [None] * len(segmentations)
    areas = np.zeros(len(segmentations), dtype=np.int64)
    errors: dict[int, MaskError] = {}
    for index, segmentation in enumerate(segmentations):
        try:
            masks[index] = _to_rle(segmentation, size, fill)
        except MaskError as error:
            errors[index] = error
    for batch in _batches(masks):
        _check_runs(batch, masks, areas, errors, size)
    return CheckedMasks(masks, areas, dict(sorted(errors.items())))


def require_masks(
    segmentations: Sequence[Any], size: tuple[int, int], place: str, *, fill: bool = True
) -> list[Rle | None]:
    """The masks of segmentations without errors; the arguments are those of `read_masks`.

    Raises:
        ValueError: the first segmentation that is malformed or of another size. The message begins with `place`.
    """
    masks, _, errors = read_masks(segmentations, size, fill=fill)
    for error in errors.values():
        raise ValueError(f"{place}{error.field}: {error}")
    return masks


def to_segmentation(rle: Rle) -> dict[str, Any]:
    """A compressed RLE as it stands in a json."""
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def outline(polygons: Sequence[Sequence[float]]) -> float:
    """Length of closed polygons x, y, x, y, ..., in pixels along rows and columns."""
    length = 0.0
    for polygon in polygons:
        points = np.array(polygon, dtype=np.float64).reshape(-1, 2)
        length += float(np.abs(points - np.roll(points, 1, axis=0)).sum())
    return length


def fill_polygons(polygons: Sequence[Any], size: tuple[int, int]) -> Rle:
    """The union of polygons x, y, x, y, ... on a frame (height, width), filled as COCO fills them.

    They may leave the frame by its longer side, and are cut off there.

    Raises:
        MaskError: one is malformed or too far out of the frame, or the outline is longer than a real one's.
    """
    _check_polygons(polygons, size)
    return mask_utils.merge(mask_utils.frPyObjects([list(polygon) for polygon in polygons], *size))


def _check_polygons(polygons: Sequence[Any], size: tuple[int, int]) -> None:
    margin = max(size)
    for index, polygon in enumerate(polygons):
        if not is_list(polygon) or len(polygon) < 6 or len(polygon) % 2:
            raise MaskError("polygon", f"[{index}]", brief(polygon), "x, y, x, y, ... of 3 points or more")
        for value in polygon:
            if not isinstance(value, int | float) or not -margin <= value <= 2 * margin:
                expected = f"numbers of pixels between {-margin} and {2 * margin}"
                raise MaskError("polygon", f"[{index}]", f"{brief(value)} in a polygon", expected)
    length = outline(polygons)
    if length > MAX_OUTLINE:
        raise MaskError("polygon", "", f"an outline of {length:.0f} pixels", f"at most {MAX_OUTLINE}")


def _to_rle(segmentation: Any, size: tuple[int, int], fill: bool) -> Rle | None:
    """A segmentation of any kind as compressed RLE, whose runs are not checked yet."""
    if segmentation is None:
        return None
    if is_list(segmentation):
        if not segmentation:
            return None
        if fill:
            return fill_polygons(segmentation, size)
        return _check_polygons(segmentation, size)
    if not isinstance(segmentation, Mapping):
        raise MaskError("field", "", brief(segmentation), "an RLE, a list of polygons or null")
    found, counts, num_pixels = segmentation.get("size"), segmentation.get("counts"), size[0] * size[1]
    if not is_list(found) or list(found) != list(size):
        raise MaskError("rle", ".size", brief(found), f"{list(size)}, the frame's height and width")
    if isinstance(counts, str | bytes):
        if not counts:
            raise MaskError("rle", ".counts", "an empty string", "run lengths")
        return {"size": list(size), "counts": as_bytes(counts)}
    if not is_list(counts):
        raise MaskError("rle", ".counts", brief(counts), "a string or a list of run lengths")
    if set(map(type, counts)) != {int} or min(counts) < 0:
        wrong = next((length for length in counts if type(length) is not int or length < 0), counts)
        raise MaskError("rle", ".counts", brief(wrong), "runs of 0 or more pixels")
    if sum(counts) != num_pixels:
        found = f"runs that add up to {brief(sum(counts))}"
        raise MaskError("rle", ".counts", found, f"{num_pixels}, height times width")
    return _encode(np.array(counts), size)


def _batches(masks: Sequence[Rle | None]) -> Iterator[list[int]]:
    """The numbers of the masks that are there, as many at once as `DECODED_CHARACTERS` allow, but at least one."""
    batch, characters = [], 0
    for index, mask in enumerate(masks):
        if mask is None:
            continue
        length = len(mask["counts"])
        if batch and characters + length > DECODED_CHARACTERS:
            yield batch
            batch, characters = [], 0
        batch.append(index)
        characters += length
    if batch:
        yield batch


def _check_runs(
    batch: list[int],
    masks: list[Rle | None],
    areas: np.ndarray,
    errors: dict[int, MaskError],
    size: tuple[int, int],
) -> None:
    """Check the runs of some compressed masks; fill in their areas or what is wrong.

    Runs of length 0 inside a mask, at which pycocotools may stop intersecting early, are taken out.
    """
    num_pixels = size[0] * size[1]
    runs = decode([masks[index]["counts"] for index in batch])
    if runs is None or (runs.totals() != num_pixels).any():
        if len(batch) > 1:  # to find out which
            for index in batch:
                _check_runs([index], masks, areas, errors, size)
            return
        counts = masks[batch[0]]["counts"].decode(errors="backslashreplace")
        found = f"no RLE, {brief(counts)}" if runs is None else f"runs that add up to {runs.totals()[0]}"
        errors[batch[0]] = MaskError("rle", ".counts", found, f"{num_pixels}, height times width")
        masks[batch[0]] = None
        return
    areas[batch] = runs.areas()
    for place in np.flatnonzero(runs.have_empty()):
        masks[batch[place]] = _encode(_without_empty_runs(runs, place), size)


def _without_empty_runs(runs: Runs, place: int) -> np.ndarray:
    """The same mask with no run of length 0 but a first one: borders that coincide cancel in pairs."""
    run_lengths = runs.of(place)
    num_pixels = run_lengths.sum()
    borders, times = np.unique(np.cumsum(run_lengths[:-1]), return_counts=True)
    borders = borders[(times % 2 == 1) & (borders < num_pixels)]
    return np.diff(borders, prepend=0, append=num_pixels)


def _encode(run_lengths: np.ndarray, size: tuple[int, int]) -> Rle:
    """Compressed RLE of a mask's run lengths."""
    return mask_utils.frPyObjects({"size": list(size), "counts": run_lengths}, *size)
