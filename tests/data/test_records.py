# SPDX-License-Identifier: Apache-2.0
"""Packed records: the same content, unpacked piece by piece, shared by all processes."""

import copy
import pickle
from multiprocessing import current_process
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from detectron2.structures import BoxMode

from ifc.data import records
from ifc.data.records import PackedRecords

RLE = {"size": [2, 3], "counts": "06"}
RECORDS = [
    {
        "video_id": 7,
        "file_names": ["a/0.jpg", "a/1.jpg", "a/2.jpg"],
        "annotations": [
            {"id": 1, "category_id": 0, "segmentations": [RLE, None, [[1, 2, 3, 4, 5, 6]]], "bboxes": None},
            {"id": 2, "category_id": 3, "segmentations": [None, [], None], "bboxes": [None, [1, 2, 3.5, 4], None]},
        ],
    },
    {"video_id": 8, "file_names": ["b/0.jpg"], "annotations": []},
    {"video_id": 9, "file_names": ["c/0.jpg"]},
    {
        "image_id": 3,
        "annotations": [{"bbox": (0, 1, 2, 3), "bbox_mode": BoxMode.XYWH_ABS, "segmentation": {"counts": b"06"}}],
    },
]


def plain(packed):
    return [copy.deepcopy(packed[index]) for index in range(len(packed))]


def test_items_are_what_was_packed():
    before = copy.deepcopy(RECORDS)
    packed = PackedRecords(RECORDS)
    assert before == RECORDS
    assert plain(packed) == RECORDS
    assert packed.num_bytes() < 2000
    assert type(packed[3]["annotations"][0]["bbox_mode"]) is BoxMode
    with pytest.raises(IndexError):
        packed[4]
    assert len(PackedRecords([])) == 0


def test_items_are_made_anew():
    packed = PackedRecords(RECORDS)
    packed[0]["annotations"].pop()
    packed[0]["annotations"][0]["category_id"] = 5
    assert plain(packed) == RECORDS


def test_what_is_sent_to_another_process_is_a_handle():
    packed = PackedRecords(RECORDS)
    received = pickle.loads(ForkingPickler.dumps(packed))
    assert plain(received) == RECORDS
    packed._content[:] = 0  # the same bytes
    assert not received._content.any()


def test_a_handle_does_not_grow_with_the_records():
    handles = [len(ForkingPickler.dumps(PackedRecords(RECORDS * times))) for times in (1, 100)]
    assert handles[1] < handles[0] + 100 < 2000


def test_too_little_shared_memory(monkeypatch):
    def fail(*_):
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")

    for name, answer in (("get_world_size", 2), ("get_rank", 0), ("get_local_rank", 0), ("get_local_size", 2)):
        monkeypatch.setattr(records.comm, name, lambda answer=answer: answer)
    monkeypatch.setattr(records.ForkingPickler, "dumps", fail)
    with pytest.raises(OSError, match="^/dev/shm: found too little shared memory for 0 MB of annotations; .*No space"):
        records.pack_once(RECORDS)


def pack_in_rank(rank, folder, reports):
    from ifc.data.records import pack_once
    from ifc.engine.launch import process_group
    from ifc.engine.meeting import meet
    from ifc.engine.place import Place

    current_process().authkey = str(rank).encode()  # as little in common as processes have that torchrun starts
    place = Place(rank, 2, rank, 2, f"file://{folder}/meeting", "test")
    with process_group(place, meet(place), "cpu"):
        # What the second process packs, if it packs, is told from the first one's.
        packed = pack_once([{"from": rank, "annotations": []}, *RECORDS])
        reports.put((rank, packed[0]["from"], plain(packed)[1:] == RECORDS))
        torch.distributed.barrier()


def test_processes_of_a_machine_share_what_the_first_packs(tmp_path):
    context = torch.multiprocessing.get_context("spawn")
    reports = context.SimpleQueue()
    torch.multiprocessing.spawn(pack_in_rank, (str(tmp_path), reports), nprocs=2)
    assert sorted(reports.get() for _ in range(2)) == [(rank, 0, True) for rank in range(2)]
