# SPDX-License-Identifier: Apache-2.0
"""What programs have in common. Nothing here loads torch: --help has to answer at once."""
