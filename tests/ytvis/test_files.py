# SPDX-License-Identifier: Apache-2.0

import json

import pytest

from ifc.ytvis.files import read_list, whole_file, write_json, write_list


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as partial:
        partial.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError), whole_file(path) as partial:
        partial.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_named_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path, "."):
        with pytest.raises(IsADirectoryError, match="found a folder, expected the name of a file"), whole_file(path):
            raise AssertionError("the block must not run")


@pytest.mark.parametrize(("content", "error"), [({"b": object()}, TypeError), ([float("nan")], ValueError)])
def test_json_that_cannot_be_written_changes_nothing(tmp_path, content, error):
    path = tmp_path / "numbers.json"
    write_json(path, {"a": [1, None]}, indent=2)
    with pytest.raises(error):
        write_json(path, content)
    assert json.loads(path.read_text()) == {"a": [1, None]}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("entries", [[], [{"a": [1, None]}], [{"a": "]\n["}, 2, []]])
def test_a_list_is_read_as_it_was_written(tmp_path, entries):
    write_list(tmp_path / "list.json", entries)
    assert list(read_list(tmp_path / "list.json")) == json.loads((tmp_path / "list.json").read_text()) == entries


@pytest.mark.parametrize("text", ["", "[\n", '[\n{"a": 1},\n', '[{"a": 1}]\n', '[\n{"a": 1\n]\n', "{}\n"])
def test_a_list_that_is_cut_off_is_named(tmp_path, text):
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(ValueError, match=r"list\.json: "):
        list(read_list(tmp_path / "list.json"))
