# SPDX-License-Identifier: Apache-2.0
"""The folder of each input, in whatever order and by however many runs they are made."""

import itertools
import json
from pathlib import Path

import pytest

from ifc.outputs.naming import Folders, name_of

NAMES = ["a/clip.mp4", "b/clip.mp4", "clip_2.mp4", "c/clip.mov", "dogs.mp4", "a/dogs.part.mp4", "0"]
EXPECTED = ["clip", "clip_3", "clip_2", "clip_4", "dogs", "dogs.part_", "camera_0"]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("http://host/a/clip.mp4?key=1", "clip"),
        ("rtsp://host/", "host"),
        ("-", "stdin"),
        ("0", "camera_0"),
        (Path("0"), "0"),
        ("videos/cats.of.mine.mp4", "cats.of.mine"),
        ("videos/ . .mp4", "video"),
        ("ü" * 125 + ".mp4", "ü" * 100),
    ],
)
def test_names(name, folder):
    assert name_of(name) == folder


def chosen(inputs, output):
    folders = Folders(inputs, output)
    return [folders.of(each).relative_to(output).as_posix() for each in inputs]


def write_manifest(folder, input_):
    folder.mkdir()
    (folder / "video.json").write_text(json.dumps({"input": input_}))


@pytest.mark.parametrize("suffix", ["", ".part"])
def test_all_shares_find_the_same_whatever_is_done_already(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    subsets = itertools.chain.from_iterable(itertools.combinations(range(len(NAMES)), n) for n in range(len(NAMES) + 1))
    for number, done in enumerate(subsets):
        output = tmp_path / str(number + 100)
        output.mkdir()
        for index in done:
            recorded = NAMES[index] if NAMES[index] == "0" else str(tmp_path / NAMES[index])
            write_manifest(output / (EXPECTED[index] + suffix), recorded)
        (output / "clip_5.part").mkdir()  # of a run that was killed before it began
        assert chosen(NAMES, output) == EXPECTED


def test_others_are_passed_over_and_own_ones_kept(tmp_path):
    write_manifest(tmp_path / "clip", str(tmp_path / "elsewhere" / "clip.mp4"))
    write_manifest(tmp_path / "clip_7", str(tmp_path / "b" / "clip.mp4"))
    (tmp_path / "clip_2").mkdir()
    (tmp_path / "clip_2" / "thesis.txt").write_text("mine")
    (tmp_path / "clip_3").write_text("a file")
    (tmp_path / "clip_4.part").mkdir()
    (tmp_path / "clip_4.part" / "thesis.txt").write_text("mine")
    (tmp_path / "clip_5.part").mkdir()
    (tmp_path / "clip_5.part" / "objects.jsonl").write_text("of a run whose video.json a power cut took")
    inputs = [tmp_path / each / "clip.mp4" for each in "abc"]
    assert chosen(inputs, tmp_path) == ["clip_5", "clip_7", "clip_6"]
    assert Folders(inputs, tmp_path).unused(inputs[1]) == tmp_path / "clip_5"


def test_a_folder_that_other_inputs_got_meanwhile_is_refused(tmp_path):
    folders = Folders(["clip.mp4"], tmp_path)
    folder = folders.of("clip.mp4")
    folders.require_own(folder, "clip.mp4")
    write_manifest(folder, "/elsewhere/clip.mp4")
    with pytest.raises(OSError, match="/elsewhere/clip.mp4"):
        folders.require_own(folder, "clip.mp4")
