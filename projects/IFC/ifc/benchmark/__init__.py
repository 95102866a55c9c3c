# SPDX-License-Identifier: Apache-2.0
"""What tools/benchmark.py measures, a module `time_` … for each subcommand, and tools/analyze_model.py counts."""
