# SPDX-License-Identifier: Apache-2.0
"""Several processes."""

import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).parents[2] / "tools"

PROGRAM = f"""
import sys
import time

sys.path.append({str(TOOLS)!r})
from ifc.ytvis.parallel import map_videos

if __name__ == "__main__":
    results = map_videos(time.sleep, [0, 0, 60, 60], 2, None)
    next(results), next(results)
    print("both work", flush=True)
    next(results)
"""


def test_workers_end_with_a_program_that_is_killed(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    program = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE)
    assert program.stdout.readline() == b"both work\n"
    program.kill()
    program.communicate(timeout=30)  # returns when the last process that could write is gone
