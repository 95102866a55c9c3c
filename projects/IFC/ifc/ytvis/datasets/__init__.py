# SPDX-License-Identifier: Apache-2.0
"""Whole data sets: checking, splitting, making."""
