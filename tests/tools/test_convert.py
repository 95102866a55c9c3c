# SPDX-License-Identifier: Apache-2.0
"""The command line of the converters."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from tools.commands import command
from ytvis.label_maps import random_map, read_maps, write_frames, write_maps


@pytest.fixture
def convert(monkeypatch, tmp_path):
    """The program's `main`, run in a folder with data sets of three formats."""
    monkeypatch.chdir(tmp_path)
    for root in ("vos/JPEGImages", "images"):
        write_frames(Path(root, "0001"), ["0", "1"])
    write_maps(Path("vos/Annotations/0001"), {"0": random_map(0, (1, 2))})
    write_maps(Path("instances/0001"), {stem: random_map(1, (1001, 2002), np.uint16) for stem in "01"})
    box = '<box frame="0" outside="0" xtl="1" ytl="1" xbr="5" ybr="5"/>'
    Path("0001.xml").write_text(
        f'<annotations><meta><task/></meta><track label="cat">{box}</track></annotations>', encoding="utf-8"
    )
    value = {"sequence": [{"frame": 1, "x": 0, "y": 0, "width": 50, "height": 50}], "labels": ["cat"]}
    results = [{"type": "videorectangle", "value": value}]
    Path("studio.json").write_text(json.dumps([{"data": {"video": "0001.mp4"}, "annotations": [{"result": results}]}]))
    return command("data", "convert")


@pytest.mark.parametrize("command", ["png-to-ytvis", "davis-to-ytvis", "youtube-vos-to-ytvis", "mose-to-ytvis"])
def test_indexed_png(convert, capsys, command):
    convert([command, "vos", "--output", "new/a.json", "--workers", "1"])
    out = capsys.readouterr().out
    assert "1 frames without annotation have null masks" in out and f"relative to {Path('vos/JPEGImages')}" in out
    convert(["ytvis-to-png", "new/a.json", "--output", "back"])
    assert read_maps(Path("back/Annotations")) == read_maps(Path("vos/Annotations"))


def test_options_of_indexed_png(convert, capsys):
    Path("list.txt").write_text("0001\n")
    options = "--list list.txt --void 2 --only-annotated --workers 1 --output a.json"
    convert(["png-to-ytvis", "vos", *options.split()])
    content = json.loads(Path("a.json").read_text())
    assert [entry["object_id"] for entry in content["annotations"]] == [1]
    assert content["videos"][0]["length"] == 1
    assert "1 frames without annotation were left out" in capsys.readouterr().out


def test_list_is_read_line_by_line(convert):
    for kind in ("Annotations", "JPEGImages"):
        Path(f"vos/{kind}/0001").rename(f"vos/{kind}/a video")
    Path("list.txt").write_bytes(b"\xef\xbb\xbfa video\r\n\r\n")
    convert(["png-to-ytvis", "vos", "--list", "list.txt", "--workers", "1", "--output", "a.json"])
    assert json.loads(Path("a.json").read_text())["videos"][0]["file_names"][0].startswith("a video/")


@pytest.mark.parametrize(
    "options",
    [
        "png-to-ytvis vos --output vos/meta.json",
        "png-to-ytvis vos --meta own.json --output own.json",
        "cvat-to-ytvis 0001.xml --frames images --output images/../0001.xml",
        "label-studio-to-ytvis studio.json --frames images --output studio.json",
    ],
)
def test_source_is_not_overwritten(convert, options):
    for path in ("vos/meta.json", "own.json"):
        Path(path).write_text(json.dumps({"videos": {"0001": {"objects": {"1": {}, "2": {}}}}}))
    target = Path(options.split()[-1])
    before = target.read_bytes()
    with pytest.raises(SystemExit, match=f"{target.name}, which is to be read"):
        convert(options.split())
    assert target.read_bytes() == before


def test_mots(convert):
    names = ["--categories", "1=bus", "2=human"]
    convert(["mots-png-to-ytvis", "instances", "images", "--output", "a.json", *names, "--workers", "1"])
    convert(["ytvis-to-mots-txt", "a.json", "--output", "texts"])
    convert(["mots-txt-to-ytvis", "texts", "images", "--output", "b.json", *names, "--workers", "1"])
    convert(["ytvis-to-mots-png", "b.json", "--output", "back"])
    assert read_maps(Path("back")) == read_maps(Path("instances"))
    contents = [json.loads(Path(name).read_text()) for name in ("a.json", "b.json")]
    assert [category["name"] for category in contents[0]["categories"]] == ["bus", "human"]
    assert contents[0]["annotations"] == contents[1]["annotations"]


@pytest.mark.parametrize("command", [["cvat-to-ytvis", "0001.xml"], ["label-studio-to-ytvis", "studio.json"]])
def test_annotation_programs(convert, capsys, command):
    convert([*command, "--frames", "images", "--output", "a.json"])
    assert "1 videos, 1 tracks, 1 categories" in capsys.readouterr().out
    assert json.loads(Path("a.json").read_text())["categories"] == [{"id": 1, "name": "cat"}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "COMMAND"),
        ("png-to-ytvis vos", "--output"),
        ("png-to-ytvis nothing --output o", "nothing/Annotations: found no such folder"),
        ("png-to-ytvis vos --list none.txt --output o", "none.txt"),
        ("png-to-ytvis vos --list 0001.xml --output o", "expected one for each video that is listed"),
        ("png-to-ytvis vos --meta none.json --output o", "none.json"),
        ("png-to-ytvis vos --workers 0 --output o", "'--workers': found '0'"),
        ("mots-png-to-ytvis vos images --workers 1 --output o", "found no such folder"),
        ("mots-png-to-ytvis instances images --categories 10=x --output o", "--categories: found '10=x', expected a"),
        ("mots-png-to-ytvis instances images --categories x --output o", "--categories: found 'x', expected N=NAME"),
        ("mots-png-to-ytvis instances images --categories 1=a 1=b --output o", "--categories: found '1=b', expected N"),
        ("mots-txt-to-ytvis images images --output o", "images: found no text"),
        ("cvat-to-ytvis none.xml --frames images --output o", "none.xml"),
        ("cvat-to-ytvis studio.json --frames images --output o", "studio.json: found no valid XML"),
        ("label-studio-to-ytvis 0001.xml --frames images --output o", "0001.xml: not valid json"),
        ("ytvis-to-png studio.json --output o", "studio.json: top level: found"),
        ("ytvis-to-png none.json --output o", "none.json"),
    ],
)
def test_bad_options_end_with_one_clear_error(convert, capsys, options, message):
    before = sorted(os.walk("."))
    with pytest.raises(SystemExit) as exit_info:
        convert(options.split())
    assert exit_info.value.code not in (0, None)
    assert message in f"{exit_info.value.code}{capsys.readouterr().err}"
    assert sorted(os.walk(".")) == before
