# SPDX-License-Identifier: Apache-2.0
"""metrics.json: what is read of it, and what a start leaves of an earlier one's."""

import json
import math
from pathlib import Path

import pytest

from ifc.monitoring.metrics_file import append_metrics, begin_metrics, read_metrics


def line(iteration: int, **numbers: float | None) -> str:
    return json.dumps({"iteration": iteration, **numbers}) + "\n"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "metrics.json"
    path.write_text("".join(lines))
    return path


def points(curves: dict, name: str) -> list[tuple[int, float]]:
    iterations, values = curves[name]
    return list(zip(iterations.tolist(), values.tolist(), strict=True))


def test_what_is_appended_is_read(tmp_path):
    append_metrics(tmp_path / "metrics.json", 19, {"total_loss": 2.5, "segm/APl": math.nan})
    append_metrics(tmp_path / "metrics.json", 39, {"total_loss": math.inf})
    curves = read_metrics(tmp_path)
    assert curves.keys() == {"total_loss", "segm/APl"}
    (first, second), (absent,) = (points(curves, name) for name in curves)
    assert first == (19, 2.5) and second[0] == 39 and math.isnan(second[1])
    assert absent[0] == 19 and math.isnan(absent[1])
    for text in (tmp_path / "metrics.json").read_text().splitlines():
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no json"))


def test_of_an_iteration_written_twice_the_later_counts(tmp_path):
    path = write(tmp_path, line(19, lr=1), line(39, lr=2), line(29, AP=5), line(19, lr=3), line(59, lr=4))
    assert points(read_metrics(path), "lr") == [(19, 3.0), (39, 2.0), (59, 4.0)]


@pytest.mark.parametrize("cut", ['{"iteration": 39, "lr"', "\x00\x00"])
def test_a_last_line_that_is_cut_off(tmp_path, cut):
    assert points(read_metrics(write(tmp_path, line(19, lr=1), cut)), "lr") == [(19, 1.0)]


@pytest.mark.parametrize(
    "broken",
    ["{", "", "[1]", '"iteration"', '{"lr": 1}', '{"iteration": 39, "lr": "high"}', '{"iteration": null}', "[" * 9999],
)
def test_a_broken_line_is_named(tmp_path, broken):
    path = write(tmp_path, line(19, lr=1), broken + "\n", line(59, lr=1))
    with pytest.raises(ValueError, match=f"^{path}: line 2: found .*, expected .*iteration"):
        read_metrics(path)


def test_files_without_lines(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"^{tmp_path / 'metrics.json'}: "):
        read_metrics(tmp_path)
    with pytest.raises(ValueError, match=f"^{tmp_path / 'metrics.json'}: found an empty file"):
        read_metrics(write(tmp_path))


def test_a_resumed_run_repeats_and_loses_no_line(tmp_path):
    """Resumed from iteration 40, where the run was killed at 63 while it wrote; and a line of another program's."""
    kept = [line(19, lr=1), "something else\n", line(33, AP=5), line(39, lr=2)]
    path = write(tmp_path, *kept, line(59, lr=3), '{"iteration": 63, "to')
    begin_metrics(path, 40)
    assert path.read_text() == "".join(kept)
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]


def test_a_new_run_sets_an_earlier_ones_file_aside(tmp_path):
    begin_metrics(tmp_path / "metrics.json", 0)
    assert not list(tmp_path.iterdir())
    path = write(tmp_path, line(19, lr=1))
    begin_metrics(path, 0)
    assert not path.exists()
    assert (tmp_path / "metrics.old.json").read_text() == line(19, lr=1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk that Linux has")
def test_a_full_disk_is_named(tmp_path):
    path = tmp_path / "metrics.json"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"No space left.*{path}"):
        append_metrics(path, 0, {"total_loss": 1.0})
