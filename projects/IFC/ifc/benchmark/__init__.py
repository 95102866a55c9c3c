# SPDX-License-Identifier: Apache-2.0
"""What tools/benchmark.py and tools/analyze_model.py measure: one module a subcommand."""
