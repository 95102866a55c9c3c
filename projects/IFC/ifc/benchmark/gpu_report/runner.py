# SPDX-License-Identifier: Apache-2.0
"""Runs the steps of a report one after the other, each in a process of its own, and writes after everything it learns.

Whatever happens to a step's process, the report says what was measured until then, and the other steps go on; so does
the step itself, in a new process, without the part that failed.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...ytvis.files import whole_file, write_json
from .markdown import markdown
from .settings import Settings

SHORTEST = 5.0  # seconds below which no process is begun: loading torch takes as long
LEAST = 40.0  # that a step gets where there are so many left, however small its share
GRACE = 10.0  # after which a process is killed that did not end itself
NO_TIME = "left out: no time"


@dataclass(frozen=True)
class Step:
    """A step of the report.

    Attributes:
        name: its key in the json.
        title: its heading.
        module: that of its `parts`.
        share: of the time that is left, in relation to the shares of the steps that follow.
    """

    name: str
    title: str
    module: str
    share: float


STEPS = [
    Step(name, title, f"{__package__}.{name}", share)
    for name, title, share in (
        ("machine", "The machine", 3),
        ("golden", "The golden numbers", 14),
        ("gpu_tests", "The tests that need a GPU", 10),
        ("inference", "Inference, from decoded frames to RLE", 32),
        ("stream", "A long video", 8),
        ("training", "A training iteration", 22),
        ("shapes", "The shapes model, trained", 15),
    )
]


def make_report(
    steps: Sequence[Step], settings: Settings, minutes: float, output: Path, command: str, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run the steps within `minutes`, and write `output`/report.json and report.md after each of their parts.

    Raises:
        OSError: if they cannot be written.
    """
    begun = time.time()
    report: dict[str, Any] = {
        "command": command,
        "begun": time.strftime("%Y-%m-%d %H:%M", time.gmtime(begun)) + " UTC",
        "minutes": minutes,
        "device": settings.device,
        "steps": {
            step.name: {"title": step.title, "status": "not begun", "rows": {}, "problems": {}} for step in steps
        },
    }

    def write() -> None:
        write_json(output / "report.json", report, indent=2)
        with whole_file(output / "report.md") as path:
            path.write_text(markdown(report), encoding="utf-8")

    write()
    for number, step in enumerate(steps):
        start, left = time.time(), begun + 60 * minutes - time.time()
        share = step.share / sum(each.share for each in steps[number:])
        entry = report["steps"][step.name]
        if left < SHORTEST:
            entry["status"] = NO_TIME
        else:
            deadline = start + min(left, max(share * left, LEAST))
            _StepRun(step, replace(settings, deadline=deadline), entry, output / "log.txt", write).run()
            entry["seconds"] = round(time.time() - start, 1)
        write()
        say(f"{time.time() - begun:.0f} s: {number + 1} of {len(steps)}, {step.name}: {entry['status']}")
    return report


class _StepRun:
    """A step on its way.

    Args:
        entry: that of the report, which is brought up to date.
        log: takes what the processes print.
        changed: is called when the entry has.
    """

    def __init__(self, step: Step, settings: Settings, entry: dict[str, Any], log: Path, changed: Callable[[], None]):
        self._step, self._settings, self._entry, self._log, self._changed = step, settings, entry, log, changed
        self._parts: list[str] | None = None
        self._ended: list[str] = []
        self._open = "start"  # what has begun last

    def run(self) -> None:
        """One process after the other, until all parts have ended or there is no time."""
        self._entry["status"] = "running"
        self._changed()
        while self._settings.seconds_left > SHORTEST:
            before = len(self._ended)
            self._run_process()
            if self._parts is None or not self._missing() or len(self._ended) == before:
                break
        problems = self._entry["problems"]
        problems |= {name: NO_TIME for name in self._missing()}
        is_whole = all(text.startswith("not available") for text in problems.values())
        self._entry["status"] = "done" if is_whole else "done in part"
        if not self._entry["rows"]:
            self._entry["status"] = next(iter(problems.values()), NO_TIME)

    def _missing(self) -> list[str]:
        return [name for name in self._parts or () if name not in self._ended]

    def _run_process(self) -> None:
        with open(self._log, "ab") as log, tempfile.TemporaryDirectory() as folder:
            settings = asdict(replace(self._settings, folder=folder))
            words = [self._step.module, json.dumps(settings), json.dumps(self._ended)]
            process = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.worker", *words],
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
            timer = threading.Timer(self._settings.seconds_left + GRACE, _kill, [process])
            timer.start()
            try:
                self._open, is_open = "start", True
                for line in process.stdout:
                    if line.endswith(b"\n"):  # else the process was killed while it wrote
                        is_open = self._take(json.loads(line))
                        self._changed()
            finally:
                timer.cancel()
                _kill(process)  # and what it started
                status = process.wait()
        if is_open:
            late = self._settings.seconds_left < 1
            how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
            self._end(
                self._open, "failed: " + ("not done in time" if late else f"ended with {how}: {self._last_words()}")
            )
            self._changed()

    def _take(self, message: dict[str, Any]) -> bool:
        """Note what a process tells. Returns whether its end would be too early."""
        if "parts" in message:
            self._parts = message["parts"]
            return len(self._ended) < len(self._parts)
        if "begins" in message:
            self._open = message["begins"]
            return True
        self._entry["rows"] |= message.get("rows", {})
        self._end(message["ends"], message.get("problem"))
        return False

    def _end(self, name: str, problem: str | None) -> None:
        self._ended.append(name)
        if problem is not None:
            self._entry["problems"][name] = " ".join(problem.split())[:500]

    def _last_words(self) -> str:
        """The last line that the process printed."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _kill(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
