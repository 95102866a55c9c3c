# SPDX-License-Identifier: Apache-2.0
"""The command line that splits a data set."""

import hashlib
import json

import pytest
from tools.commands import command
from ytvis.small import SmallDataset


@pytest.fixture
def split():
    """The program's `main`."""
    return command("data", "split")


@pytest.fixture
def source(tmp_path):
    """A json of two videos."""
    return SmallDataset(tmp_path).write()


def read(folder):
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in ("train", "val", "split")}


def test_split_and_the_same_again_from_its_list(split, source, tmp_path, capsys):
    split([str(source), "--output", str(tmp_path / "a"), "--val-videos", "1", "--seed", "4"])
    assert "without a track in train: " in capsys.readouterr().out
    made = read(tmp_path / "a")
    assert len(made["train"]["videos"]) == len(made["val"]["videos"]) == 1
    assert made["split"]["source_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (made["split"]["seed"], made["split"]["source"]) == (4, source.name)
    assert made["split"]["val"][0]["id"] == made["val"]["videos"][0]["id"]
    split([str(source), "--output", str(tmp_path / "b"), "--videos", str(tmp_path / "a/split.json")])
    again = read(tmp_path / "b")
    assert all(again[name] == made[name] for name in ("train", "val"))
    assert "made of another file" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("small.json --output out --val-fraction 1", "'--val-fraction': found '1'"),
        ("small.json --output out --val-videos 2", "found 2, expected 1 to 1 of 2 videos"),
        ("none.json --output out", "none.json"),
        ("small.json --output out --named ifc-dev-ovis", "found 2 videos, expected the 607 of OVIS"),
        ("small.json --output out --videos small.json", "small.json: train: found nothing"),
        ("small.json", "--output"),
    ],
)
def test_bad_options_end_with_one_clear_error(split, source, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_info:
        split(options.split())
    assert exit_info.value.code not in (0, None)
    assert message in f"{exit_info.value.code}{capsys.readouterr().err}"
    assert not (tmp_path / "out").exists()


def test_neither_a_split_nor_the_source_is_overwritten_unasked(split, source, tmp_path):
    options = [str(source), "--output", str(tmp_path / "a"), "--val-videos", "1"]
    split(options)
    for more, message in (
        (["--seed", "1"], "exists already"),
        (["--overwrite", "--output", str(tmp_path)], "train.json, which is to be read"),
    ):
        if "--overwrite" in more:
            source.rename(tmp_path / "train.json")
            options[0] = str(tmp_path / "train.json")
        with pytest.raises(SystemExit, match=message):
            split([*options, *more])
    split([*options, "--seed", "1", "--overwrite"])
    assert read(tmp_path / "a")["split"]["seed"] == 1


def test_split_is_replaced_as_a_whole_or_not_at_all(split, source, tmp_path, monkeypatch):
    options = [str(source), "--output", str(tmp_path / "a"), "--val-videos", "1"]
    split(options)
    before = read(tmp_path / "a")
    dumps = json.dumps

    def break_at_last_file(content, **options):
        if "source_sha256" in content:
            raise OSError("no space left on device")
        return dumps(content, **options)

    monkeypatch.setattr(json, "dumps", break_at_last_file)
    with pytest.raises(SystemExit, match="no space left on device"):
        split([*options, "--seed", "1", "--overwrite"])
    assert read(tmp_path / "a") == before
    assert len(list((tmp_path / "a").iterdir())) == 3


def test_number_that_json_does_not_know_is_one_error(split, source, tmp_path):
    source.write_text(source.read_text().replace("42,", "NaN,", 1))
    with pytest.raises(SystemExit, match="small.json: found a number that is not finite"):
        split([str(source), "--output", str(tmp_path / "a"), "--val-videos", "1"])
    assert not list((tmp_path / "a").iterdir())
