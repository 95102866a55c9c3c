# SPDX-License-Identifier: Apache-2.0
"""What is known of a run while it runs and afterwards. Nothing here loads torch."""
