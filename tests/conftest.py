# SPDX-License-Identifier: Apache-2.0
"""Settings that all tests share."""

from hypothesis import settings

# The same examples on every run, and no time limit for one: the machines that run the tests are small and shared.
settings.register_profile("ifc", deadline=None, derandomize=True)
settings.load_profile("ifc")
