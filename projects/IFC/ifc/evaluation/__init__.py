# SPDX-License-Identifier: Apache-2.0
"""The metrics in detectron2's loop."""
