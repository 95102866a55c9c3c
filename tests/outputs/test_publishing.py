# SPDX-License-Identifier: Apache-2.0
"""Results take the place of earlier ones such that a kill at any moment loses neither."""

import itertools
import json
import os
import shutil
from pathlib import Path

import pytest

from ifc.outputs import publishing

KNOWN = {
    **{"input": "/clip.mp4", "input_bytes": 1, "input_mtime": 2.5, "weights_sha256": "0"},
    **{"categories": [], "settings": {}, "attempts": 1},
}


class KilledError(BaseException):
    pass


@pytest.fixture
def kill_before(monkeypatch):
    """kill_before(n): the n-th change of a folder from now on, from 0, is not done any more, nor what follows."""
    left = [-1]

    def or_killed(change):
        def changed(*args, **options):
            if left[0] == 0:
                raise KilledError
            left[0] -= 1
            return change(*args, **options)

        return changed

    for module, name in ((os, "rename"), (shutil, "rmtree"), (Path, "unlink"), (Path, "rmdir"), (Path, "mkdir")):
        monkeypatch.setattr(module, name, or_killed(getattr(module, name)))

    def kill_before(n):
        left[0] = n

    return kill_before


def content_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def end(folder, text, status="finished"):
    """A run that ended: NAME.part with video.json."""
    publishing.begin(folder, KNOWN)
    part = publishing.part_of(folder)
    write(part, objects_jsonl=text, masks__0=text, video_json=json.dumps(KNOWN | {"status": status, "note": text}))
    return content_of(part)


def test_killed_anywhere_the_next_run_finishes_it(tmp_path, kill_before):
    for n in itertools.count():
        folder = tmp_path / str(n) / "clip"
        folder.parent.mkdir()
        end(folder, "old")
        publishing.publish(folder)
        write(folder, boxes_csv="old", notes_txt="mine", notes__more="mine", _overlay_mp4_7_part="of a killed run")
        new = end(folder, "new")
        kill_before(n)
        try:
            publishing.publish(folder)
        except KilledError:
            kill_before(-1)
            publishing.recover(folder)
            is_over = False
        else:
            kill_before(-1)
            is_over = True
        assert content_of(folder) == new | {"notes.txt": "mine", "notes/more": "mine"}
        assert os.listdir(folder.parent) == ["clip"]
        if is_over:
            break
    assert n > 6


@pytest.mark.parametrize(("old", "new"), [("finished", "broken"), ("broken", "interrupted"), ("broken", "finished")])
def test_what_is_finished_is_not_replaced_by_what_is_not(tmp_path, old, new):
    folder = tmp_path / "clip"
    contents = []
    for status in (old, new):
        contents.append(end(folder, status, status))
        publishing.publish(folder)
        publishing.recover(folder)
        publishing.discard_killed(folder)
    if old == "finished":
        assert content_of(folder) == contents[0] and content_of(publishing.part_of(folder)) == contents[1]
    else:
        assert content_of(folder) == contents[1] and os.listdir(tmp_path) == ["clip"]


def test_until_it_is_published_the_earlier_result_is_whole(tmp_path):
    folder = tmp_path / "clip"
    end(folder, "old")
    publishing.publish(folder)
    old = content_of(folder)
    publishing.begin(folder, KNOWN)
    publishing.recover(folder)  # there is nothing to publish
    assert content_of(folder) == old
    assert (
        publishing.num_crashes(folder, KNOWN) == 1 and publishing.num_crashes(folder, KNOWN | {"input_bytes": 2}) == 0
    )
    publishing.discard_killed(folder)
    assert content_of(folder) == old and os.listdir(tmp_path) == ["clip"]
