# SPDX-License-Identifier: Apache-2.0
"""The report on a device: every step runs, on a CPU in toy sizes, and nothing that fails costs what was done."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from tools.commands import command

from ifc.benchmark.gpu_report import gpu_tests, runner
from ifc.benchmark.gpu_report.inference import WAIT, counted_waits
from ifc.benchmark.gpu_report.runner import NO_TIME, STEPS, Step, make_report
from ifc.benchmark.gpu_report.settings import PACKAGE, Settings

FAKES = {
    "good": """
        print("libraries print, too")
        return {"part": lambda: {"one": {"number": 1.5, "word": "a|b"}, "two": {"number": 7}, "other": {"share": 0.25}}}
    """,
    "broken": """
        def fail():
            raise RuntimeError("CUDA error: an illegal\\nmemory access")
        def lack():
            raise NotAvailable("no graphs here")
        return {
            "first": lambda: {"first": {"n": 1.0}},
            "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
            "error": fail,
            "lack": lack,
            "last": lambda: {"last": {"n": float("nan")}},
        }
    """,
    "hanging": """
        quick, never = {"quick": {"process": os.getpid()}}, {"never": {"n": 1}}
        return {"quick": lambda: quick, "hang": lambda: time.sleep(1000), "never": lambda: never}
    """,
    "missing": "raise NotAvailable('no such folder')",
}


@pytest.fixture
def steps(tmp_path, monkeypatch) -> list[Step]:
    """Steps that go wrong in each way, which begin without torch."""
    for name, body in FAKES.items():
        lines = ["import os, signal, time", f"from {gpu_tests.__package__}.settings import NotAvailable"]
        lines += ["def parts(settings):", body.strip("\n") if "\n" in body else f"    {body}"]
        (tmp_path / f"fake_{name}.py").write_text("\n".join(lines).replace("\n        ", "\n    "))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(PACKAGE.parent)]))
    monkeypatch.setattr(runner, "SHORTEST", 0.2)
    monkeypatch.setattr(runner, "LEAST", 5.0)
    shares = {"hanging": 1e-6}  # the others have more than they need, also on a busy machine
    return [Step(name, name.capitalize(), f"fake_{name}", shares.get(name, 1)) for name in FAKES]


def tables(markdown: str) -> dict[str, dict[str, dict[str, str]]]:
    """The cells of all tables, by section, row and column."""
    found, section, header = {}, "", []
    for line in markdown.splitlines():
        cells = [cell.strip().replace("\0", "|") for cell in line.replace("\\|", "\0").strip("|").split("|")]
        if line.startswith("### "):
            section = line[4:].split(" (")[0]
        if not line.startswith("|"):
            header = []
        elif not header:
            header = cells
        elif not set(line) <= set("|:- "):
            found.setdefault(section, {})[cells[0]] = dict(zip(header[1:], cells[1:], strict=True))
    return found


def assert_agree(output: Path) -> dict:
    """The Markdown of a report has what its json has; returns that."""
    report, markdown = json.loads((output / "report.json").read_text()), (output / "report.md").read_text()
    found = tables(markdown)
    for step in report["steps"].values():
        assert f"### {step['title']}" in markdown
        assert step["status"] == "done" or f"({step['status']})" in markdown
        for name, row in step["rows"].items():
            for key, value in row.items():
                cell = found[step["title"]][name][key]
                assert cell == value or float(cell.replace(",", "")) == pytest.approx(value, rel=1e-3)
        assert all(f"- {name}: " in markdown for name in step["problems"])
    return report


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    """The folder of a whole report."""
    folder = tmp_path_factory.mktemp("report")
    command("benchmark", "gpu-report")(["--device", "cpu", "--minutes", "100", "--output", str(folder)])
    return folder


def test_every_step_has_its_numbers(output):
    steps = assert_agree(output)["steps"]
    assert {name: step["status"] for name, step in steps.items()} == {step.name: "done" for step in STEPS}
    machine, golden, inference, training = (
        steps[name]["rows"] for name in ("machine", "golden", "inference", "training")
    )
    assert torch.__version__ in machine["versions"]["found"]
    assert machine["products in bfloat16"]["TFLOP/s"] > 0 < machine["copies on the device"]["GB/s"]
    assert golden["float32"]["class logits differ by"] < 1e-3 and golden["float32"]["least IoU"] > 0.999
    assert golden["bfloat16"]["class logits differ by"] > 1e-3
    assert steps["gpu_tests"]["rows"]["marked gpu"]["tests"] > 10
    for window in (3, 6):
        for precision in ("float32", "bfloat16"):
            row = inference[f"toy model, T={window}, {precision}"]
            assert all(value > 0 for value in row.values())
            assert row["frames a second"] == pytest.approx(1000 / row["ms a frame"])
    assert "one video" in steps["inference"]["problems"]["several videos"]
    *parts, ratios = steps["stream"]["rows"].values()
    assert len(parts) == 4 and all(part["masks a frame"] == 3 for part in parts)
    assert ratios["ms a frame"] == pytest.approx(parts[-1]["ms a frame"] / parts[0]["ms a frame"])
    for name in ("float32", "bfloat16", "bfloat16, 3136 points"):
        for clips in (1, 4):
            row = training[f"{name}, batch of {clips}"]
            assert row["clips a second"] == pytest.approx(1000 * clips / row["ms an iteration"])
            assert 0 < row["of which waiting for data"] < 1
    assert steps["shapes"]["rows"]["at the end"]["iterations"] == 3
    assert any(row.get("loss", 0) > 0 for row in steps["shapes"]["rows"].values())


def test_what_a_cpu_lacks_is_said(output):
    steps = assert_agree(output)["steps"]
    for name in ("golden", "inference"):
        lacking = {part for part, text in steps[name]["problems"].items() if text.startswith("not available")}
        assert {word for part in lacking for word in ("TF32", "compiled", "CUDA graphs") if word in part} == {
            "TF32", "compiled", "CUDA graphs"
        }  # fmt: skip
    assert sorted(path.name for path in output.iterdir()) == ["log.txt", "report.json", "report.md"]


def test_what_fails_is_noted_and_the_rest_goes_on(steps, tmp_path):
    said = []
    make_report(steps, Settings("cpu", "", ""), 10, tmp_path, "a command", said.append)
    report = assert_agree(tmp_path)
    good, broken, hanging, missing = report["steps"].values()
    assert good["status"] == "done" and good["rows"]["one"] == {"number": 1.5, "word": "a|b"}
    assert broken["rows"] == {"first": {"n": 1.0}, "last": {"n": "nan"}} and broken["status"] == "done in part"
    assert "SIGSEGV" in broken["problems"]["crash"] and "no graphs here" in broken["problems"]["lack"]
    assert "RuntimeError: CUDA error: an illegal memory access" in broken["problems"]["error"]
    assert list(hanging["rows"]) == ["quick"] and list(hanging["problems"]) == ["hang", "never"]
    assert hanging["problems"]["never"] == NO_TIME and hanging["status"] == "done in part"
    assert "no such folder" in missing["status"] and not missing["rows"]
    assert "fake_hanging.py" in (tmp_path / "log.txt").read_text()  # where it hung
    assert len(said) == len(steps) and "a command" in (tmp_path / "report.md").read_text()


def test_without_time_nothing_is_begun(steps, tmp_path):
    make_report(steps, Settings("cpu", "", ""), 0, tmp_path, "", lambda text: None)
    assert {step["status"] for step in assert_agree(tmp_path)["steps"].values()} == {NO_TIME}


def test_a_kill_leaves_a_whole_report(steps, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    code = f"""
        from {runner.__name__} import Step, Settings, make_report
        from pathlib import Path
        steps = [Step(name, name, f"fake_{{name}}", 1) for name in ("good", "hanging")]
        make_report(steps, Settings("cpu", "", ""), 2, Path({str(tmp_path)!r}), "", print)
        """
    process = subprocess.Popen([sys.executable, "-c", "\n".join(line.strip() for line in code.splitlines())])
    end = time.monotonic() + 60
    while time.monotonic() < end:
        path = tmp_path / "report.json"
        if path.is_file() and json.loads(path.read_text())["steps"]["hanging"]["rows"]:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    good, hanging = assert_agree(tmp_path)["steps"].values()
    assert good["status"] == "done" and hanging["status"] == "running"
    os.killpg(hanging["rows"]["quick"]["process"], signal.SIGKILL)


def test_failing_tests_are_named(tmp_path):
    folder = tmp_path / "checkout" / gpu_tests.FOLDER
    folder.mkdir(parents=True)
    lines = ["import pytest", "pytestmark = pytest.mark.gpu", "def test_good(): pass", "def test_bad(): assert 1 == 2"]
    (folder / "test_some.py").write_text("\n".join([*lines, "@pytest.mark.skip", "def test_left_out(): pass"]))
    rows = gpu_tests.run_tests(Settings("cpu", str(tmp_path / "checkout"), "", str(tmp_path), time.time() + 60))
    counts = rows.pop("marked gpu")
    seconds = counts["seconds"]
    assert counts == {"tests": 3, "failures": 1, "errors": 0, "skipped": 1, "seconds": seconds, "end": "all run"}
    ((name, row),) = rows.items()
    assert "test_bad" in name and "AssertionError" in row["failed"]


def test_waits_are_counted_by_their_place(monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    with counted_waits(torch.device("cuda")) as waits:
        for _ in range(3):
            warnings.warn(WAIT, stacklevel=1)
        warnings.warn("another", stacklevel=1)
    assert modes == ["warn", "default"] and list(waits.values()) == [3]
    assert all(place.startswith(Path(__file__).name) for place in waits)


def test_no_gpu_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as end:
        command("benchmark", "gpu-report")(["--output", str(tmp_path / "report")])
    assert str(end.value.code).startswith("error: --device: found 'cuda'")
    assert not (tmp_path / "report").exists()
