# SPDX-License-Identifier: Apache-2.0
"""Results as the challenges' servers take them: all faults at once, and the zip."""

import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..faults import FaultLog
from ..files import refuse_input, whole_file
from ..ground_truth import GroundTruth
from ..values import is_list
from .result_tracks import load_results, read_result
from .video_ap import MAX_RESULTS

RESULTS_FILE = "results.json"
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the same results give the same zip


class SubmissionError(ValueError):
    """Results that a server would refuse. `faults` names all of them, each with its place."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = list(faults)


def write_submission(results_file: str | os.PathLike, split: GroundTruth, zip_file: str | os.PathLike) -> list[str]:
    """Check results and write them, unchanged, as results.json at the root of a zip, whole or not at all.

    Args:
        split: the split's videos and categories.

    Returns:
        remarks: what is not wrong, but may not be meant.

    Raises:
        OSError: a file cannot be read or written.
        SubmissionError: the results have faults; nothing is written.
    """
    refuse_input(zip_file, [results_file, split.source])
    try:
        name, records = load_results(results_file)
    except ValueError as error:
        raise SubmissionError([str(error)]) from error
    faults = find_faults(name, records, split)
    if faults:
        raise SubmissionError(faults)
    entry = zipfile.ZipInfo(RESULTS_FILE, date_time=ZIP_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    with (
        whole_file(zip_file) as partial,
        open(results_file, "rb") as source,
        zipfile.ZipFile(partial, "w") as archive,
        archive.open(entry, "w", force_zip64=True) as target,
    ):
        shutil.copyfileobj(source, target)
    return find_remarks(records, split)


def find_faults(name: str, records: Sequence[Any], split: GroundTruth) -> list[str]:
    """All faults of a list of results, each with its place. Servers take compressed RLE alone.

    Args:
        name: the file, for messages.
    """
    log = FaultLog()
    for index, record in enumerate(records):
        own_log = FaultLog()
        read_result(index, record, split, own_log)
        log.faults += own_log.faults
        segmentations = record.get("segmentations") if isinstance(record, Mapping) else None
        for frame, mask in enumerate(segmentations if is_list(segmentations) else ()):
            if is_list(mask) or (isinstance(mask, Mapping) and is_list(mask.get("counts"))):
                found = "polygons" if is_list(mask) else "uncompressed RLE"
                log.add("rle", f"results[{index}].segmentations[{frame}]", found, "compressed RLE or null")
    return [f"{name}: {fault.text}" for fault in log.faults]


def find_remarks(records: Sequence[Mapping[str, Any]], split: GroundTruth) -> list[str]:
    """What is striking about results without faults."""
    counts = Counter((record["video_id"], record["category_id"]) for record in records)
    num_videos = len(split.videos)
    remarks = [
        (num_videos - len({video_id for video_id, _ in counts}), f"of {num_videos} videos have no result"),
        (sum(not any(record["segmentations"]) for record in records), "results have no mask on any frame"),
        (len(records) - len({_identity(record) for record in records}), "results are copies of another"),
        (
            sum(max(0, count - MAX_RESULTS[-1]) for count in counts.values()),
            f"results are beyond the best {MAX_RESULTS[-1]} of their video and category, which alone count",
        ),
        (sum(not 0 <= record["score"] <= 1 for record in records), "scores lie outside of 0 to 1"),
    ]
    return [f"{count} {remark}" for count, remark in remarks if count]


def _identity(record: Mapping[str, Any]) -> tuple:
    """What two results share that are one and the same."""
    masks = tuple(mask and mask["counts"] for mask in record["segmentations"])
    return record["video_id"], record["category_id"], record["score"], masks
