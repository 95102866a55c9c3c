# SPDX-License-Identifier: Apache-2.0
"""Time and memory of each part, as `ifc benchmark` measures them, and what `ifc analyze` counts.

A subcommand of `ifc benchmark` is a module time_… of the same name, or a package.
"""
