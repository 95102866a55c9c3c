# SPDX-License-Identifier: Apache-2.0
"""Data sets in YouTube-VIS's format as files: checking, splitting, converting. Needs neither torch nor a model."""
