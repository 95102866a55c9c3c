# SPDX-License-Identifier: Apache-2.0
"""Data sets and everything between their files and a training or test sample."""
