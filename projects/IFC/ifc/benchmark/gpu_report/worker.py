# SPDX-License-Identifier: Apache-2.0
"""The process that runs a step: `python -m ….worker MODULE SETTINGS NAMES`, all but those of its parts.

It tells on the standard output what begins and ends, a line of json each. The first part that fails ends it, as what a
GPU's fault leaves behind would fail in all later ones; so does a part that is not done in time, wherever it hangs.
"""

import faulthandler
import json
import math
import os
import sys
import traceback
from importlib import import_module

from .settings import NotAvailable, Settings


def main() -> None:
    """Run the step that the command line names."""
    messages = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is none

    def tell(**message: object) -> None:
        print(json.dumps(message), file=messages, flush=True)

    module, settings, done = sys.argv[1], Settings(**json.loads(sys.argv[2])), json.loads(sys.argv[3])
    faulthandler.enable()
    faulthandler.dump_traceback_later(max(settings.seconds_left, 0.1), exit=True)
    name = "start"
    try:
        parts = import_module(module).parts(settings)
        tell(parts=list(parts))
        for name, measure in parts.items():
            if name not in done:
                tell(begins=name)
                try:
                    rows = {
                        row: {key: _in_json(cell) for key, cell in cells.items()} for row, cells in measure().items()
                    }
                    tell(ends=name, rows=rows)
                except NotAvailable as error:
                    tell(ends=name, problem=f"not available: {error}")
    except NotAvailable as error:
        tell(ends=name, problem=f"not available: {error}")
    except Exception as error:
        traceback.print_exc()
        tell(ends=name, problem=f"failed: {type(error).__name__}: {error}")
        sys.exit(1)


def _in_json(cell: float | int | str) -> float | int | str:
    """What json has no number for, as a word."""
    return str(cell) if isinstance(cell, float) and not math.isfinite(cell) else cell


if __name__ == "__main__":
    main()
