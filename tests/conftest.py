# SPDX-License-Identifier: Apache-2.0
"""Settings that all tests share."""

import os

from hypothesis import settings

# The same examples on every run, and no time limit for one: the machines that run the tests are small and shared.
settings.register_profile("ifc", deadline=None, derandomize=True)
settings.load_profile("ifc")

# The order in which torch sums depends on the number of threads, which by default is the machine's number of cores.
# Set before torch is imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
