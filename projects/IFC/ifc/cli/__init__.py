# SPDX-License-Identifier: Apache-2.0
"""The command `ifc`, and what programs have in common. Nothing here loads torch: --help has to answer at once."""
