# SPDX-License-Identifier: Apache-2.0
"""Files in YouTube-VIS's format and all that can be done with them. Needs NumPy and pycocotools, never torch."""
