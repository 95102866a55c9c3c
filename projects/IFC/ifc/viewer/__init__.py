# SPDX-License-Identifier: Apache-2.0
"""What was found in a video as a page: it plays with its masks, tracks and scores in any browser, without a server."""

from .pages import write_pages

__all__ = ["write_pages"]
