# SPDX-License-Identifier: Apache-2.0
"""Lists of inputs, and inputs behind addresses."""

import fsspec
import pytest

from ifc.outputs import find_inputs, segment_videos


@pytest.fixture
def memory():
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/clips", recursive=True)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_list(folder, caplog):
    (folder / "videos").mkdir()
    for name in ("b.mp4", "c.mp4", "a.mp4", "videos/d.mp4"):
        (folder / name).touch()
    (folder / "list.txt").write_text("\ufeff# two of them\n\n  b.mp4 \r\nvideos\n[ac].mp4\nrtsp://host/a\n7", "utf-8")
    found = ["b.mp4", "videos/d.mp4", "a.mp4", "c.mp4", "rtsp://host/a", "7"]
    assert find_inputs(["@list.txt"]) == found and not caplog.records
    assert find_inputs([str(folder / "a.mp4"), "@list.txt"]) == [str(folder / "a.mp4"), *found[:2], *found[3:]]
    (folder / "@list.txt").touch()
    assert find_inputs(["./@list.txt"]) == ["./@list.txt"]


def test_doubles_and_what_is_missing_in_a_list_are_said_with_the_line(folder, caplog):
    for name in ("a.mp4", "b.mp4"):
        (folder / name).touch()
    (folder / "list.txt").write_text(f"a.mp4\nnowhere.mp4\nb.mp4\n./a.mp4\n{folder}/b.mp4\n")
    assert find_inputs(["@list.txt"]) == ["a.mp4", "nowhere.mp4", "b.mp4"]
    doubles, missing = (record.message for record in caplog.records)
    assert doubles.startswith("list.txt: line 4: ./a.mp4 ") and "1 more" in doubles
    assert missing.startswith("list.txt: line 2: nowhere.mp4 ") and "more" not in missing


@pytest.mark.parametrize(("content", "message"), [(b"\n# none\n", "no input"), (b"a\xff.mp4\n", "byte 1")])
def test_list_without_inputs_is_named(folder, content, message):
    (folder / "list.txt").write_bytes(content)
    with pytest.raises(ValueError, match=f"list.txt: .*{message}"):
        find_inputs(["@list.txt"])
    with pytest.raises(FileNotFoundError, match="nowhere.txt"):
        find_inputs(["@nowhere.txt"])


def test_addresses(folder, memory):
    for name in ("b10.mp4", "b2.MOV", "notes.txt", "a/c.mp4"):
        memory.pipe(f"/clips/{name}", b"x")
    videos = ["memory:///clips/b2.MOV", "memory:///clips/b10.mp4"]
    assert find_inputs(["memory://clips/"]) == find_inputs(["memory://clips/b*", "memory://clips/"]) == videos
    as_they_are = ["memory://clips/nothing*.mp4", "memory://clips/nothing/", "memory://clips/b10.mp4"]
    assert find_inputs(as_they_are) == as_they_are
    (folder / "a.mp4").touch()
    assert find_inputs([f"file://{folder}/*.mp4", "a.mp4"]) == [str(folder / "a.mp4")]


def test_video_behind_an_address_is_skipped_until_it_changes(files, segmenter, memory, tmp_path):
    memory.pipe("/clips/other.mp4", (files / "other.mp4").read_bytes())

    def run():
        (outcome,) = segment_videos(["memory://clips/other.mp4"], tmp_path / "out", segmenter)
        assert (outcome.status, outcome.error, outcome.folder) == ("finished", None, tmp_path / "out" / "other")
        return outcome

    assert [run().skipped, run().skipped] == [False, True]
    segment_videos([files / "other.mp4"], tmp_path / "local", segmenter)
    for name in ("objects.jsonl", "results.json", "overlay.mp4"):
        assert (tmp_path / "out/other" / name).read_bytes() == (tmp_path / "local/other" / name).read_bytes()
    memory.pipe("/clips/other.mp4", (files / "other.mp4").read_bytes())
    assert not run().skipped
