# SPDX-License-Identifier: Apache-2.0
"""Other formats of video segmentation to YTVIS's json, and back."""
