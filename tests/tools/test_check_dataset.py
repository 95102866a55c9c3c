# SPDX-License-Identifier: Apache-2.0
"""The command line of the checker."""

import json

import pytest
from tools.bare_python import run_tool
from tools.commands import command
from ytvis.small import SmallDataset


@pytest.fixture
def check():
    """The program's `main`, which returns where the exit status is 0."""
    return command("data", "check")


@pytest.fixture
def small(tmp_path):
    return SmallDataset(tmp_path)


def test_good_data_set_ends_with_0(check, small, capsys):
    check([str(small.write()), str(small.image_root), "--decode", "--workers", "1"])
    assert capsys.readouterr().out == "no faults in 5 frames, 3 annotations\n"


def test_faults_are_counted_listed_and_written(check, small, tmp_path, capsys):
    small.content["annotations"][0]["areas"][0] = 39
    small.content["videos"][1]["file_names"][1] = "gone.jpg"
    options = ["--report", str(tmp_path / "report"), "--json", str(tmp_path / "faults.json"), "--workers", "1"]
    with pytest.raises(SystemExit) as end:
        check([str(small.write()), str(small.image_root), *options])
    assert end.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["1", "area", "disagrees", "with", "the", "mask"]
    assert lines[2] == (
        "area: video 5, annotation 10, frame 0: annotations[0].areas[0]: found 39, expected 42 ± 2, the mask's pixels"
    )
    assert lines[3].startswith("missing frame: video 2, frame 1: videos[1].file_names[1]: found no such file")
    assert lines[4] == "2 faults in 5 frames, 3 annotations"
    assert lines[5] == "training and evaluation refuse it for 1 of them"
    written = json.loads((tmp_path / "faults.json").read_text())
    assert written["counts"] == {"area": 1, "missing frame": 1}
    assert [(fault["frame"], fault["is_refused"]) for fault in written["faults"]] == [(0, False), (1, True)]
    assert (tmp_path / "report/index.html").read_text().endswith("</html>")
    check([str(small.path), str(small.image_root), "--no-frames", "--area-tolerance", "0.1", "--workers", "1"])


def test_data_set_is_not_overwritten_by_its_faults(check, small):
    before = small.write().read_bytes()
    with pytest.raises(SystemExit, match="^error: .*, which is to be read"):
        check([str(small.path), str(small.image_root), "--json", str(small.path), "--workers", "1"])
    assert small.path.read_bytes() == before


def test_program_without_torch_in_two_processes(small, tmp_path):
    small.content["annotations"][2]["bboxes"][1] = None
    small.content["annotations"][0]["category_id"] = "\ud800"
    result = run_tool("check_dataset.py", tmp_path, small.write(), small.image_root, "--workers", "2")
    assert result.returncode == 1, result.stderr
    assert "annotations[2].bboxes[1]: found nothing" in result.stdout and "'\\ud800'" in result.stdout
    assert "2/2" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("small.json", "IMAGE_ROOT"),
        ("small.json frames --workers 0", "'--workers': found '0'"),
        ("small.json frames --box-tolerance=-1", "'--box-tolerance': found '-1'"),
        ("small.json frames --area-tolerance nan", "'--area-tolerance': found 'nan'"),
        ("small.json frames --json no/folder.json", "'--json': found 'no/folder.json'"),
    ],
)
def test_options_that_make_no_sense(check, small, monkeypatch, capsys, options, message):
    monkeypatch.chdir(small.write().parent)
    with pytest.raises(SystemExit) as exit_info:
        check(options.split())
    assert exit_info.value.code == 2
    assert message in capsys.readouterr().err
