# SPDX-License-Identifier: Apache-2.0
"""The program that tells YouTube-VIS 2022's long videos from the short ones."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def write(path, folders, annotated=False):
    size = {"height": 4, "width": 6}
    videos = [{"id": number, **size, "file_names": [f"{name}/0.jpg"]} for number, name in enumerate(folders, start=1)]
    content = {"videos": videos, "categories": [{"id": 1, "name": "person"}]}
    if annotated:
        content["annotations"] = [
            {"id": 9 + video["id"], "video_id": video["id"], "category_id": 1} for video in videos
        ]
    path.write_text(json.dumps(content))
    return path


def run(folder, long_json, short_json):
    command = [sys.executable, ROOT / "tools" / "long_videos.py", long_json, "--short", short_json]
    return subprocess.run([*command, "--output", folder / "out.json"], capture_output=True, text=True)


@pytest.mark.parametrize("annotated", [False, True])
def test_videos_that_the_short_split_lacks(tmp_path, annotated):
    long_json = write(tmp_path / "a.json", ["x", "y", "z", "w"], annotated)
    ended = run(tmp_path, long_json, write(tmp_path / "b.json", ["w", "q", "x"]))
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", f"{tmp_path}/out.json: 2 videos\n")
    written = json.loads((tmp_path / "out.json").read_text())
    assert [video["id"] for video in written["videos"]] == [2, 3]
    assert written["categories"] == [{"id": 1, "name": "person"}]
    assert [entry["video_id"] for entry in written.get("annotations", [])] == ([2, 3] if annotated else [])
    assert ("annotations" in written) == annotated


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["x"], "found all of its 1 videos in"),
        (["q"], "found none of its 1 videos in"),
        ([], "videos: found an empty list"),
    ],
)
def test_splits_that_do_not_belong_together(tmp_path, folders, message):
    ended = run(tmp_path, write(tmp_path / "a.json", folders), write(tmp_path / "b.json", ["x", "y"]))
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: {tmp_path}/a.json: {message}")
    assert not (tmp_path / "out.json").exists()


NO_VIDEO_ID = '{"videos": [{"id": 1, "file_names": ["x/0"]}, {"id": 2, "file_names": ["y/0"]}], "annotations": [{}]}'


@pytest.mark.parametrize("text", ["{", "[]", '{"videos": [{"id": 1, "file_names": []}]}', NO_VIDEO_ID])
def test_files_that_are_no_splits(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    ended = run(tmp_path, tmp_path / "a.json", write(tmp_path / "b.json", ["x"]))
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: {tmp_path}/a.json: ") and ended.stderr.count("\n") == 1


@pytest.mark.parametrize("is_long", [True, False])
def test_no_input_is_written_over(tmp_path, is_long):
    files = [write(tmp_path / ("out.json" if is_long else "a.json"), ["x", "y"])]
    files.append(write(tmp_path / ("b.json" if is_long else "out.json"), ["x"]))
    before = (tmp_path / "out.json").read_bytes()
    ended = run(tmp_path, *files)
    assert ended.returncode == 1
    assert "which is to be read" in ended.stderr and ended.stderr.count("\n") == 1
    assert (tmp_path / "out.json").read_bytes() == before
