# SPDX-License-Identifier: Apache-2.0
"""HTML pages about data sets and results."""
