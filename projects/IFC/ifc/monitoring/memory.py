# SPDX-License-Identifier: Apache-2.0
"""The memory that a process holds."""

import sys
from pathlib import Path

MIB = 2**20


def host_memory() -> tuple[int, int]:
    """The process's resident memory in bytes: now, and the most that it was.

    Linux tells both in /proc. Elsewhere both are getrusage's maximum, which on Linux would be too large: a process
    starts there with the maximum of the one that started it.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        sizes = {
            line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines if line.startswith(("VmRSS", "VmHWM"))
        }
        return sizes["VmRSS"], sizes["VmHWM"]
    except (OSError, KeyError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return peak, peak
