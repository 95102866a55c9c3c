# SPDX-License-Identifier: Apache-2.0
"""A page on which videos are uploaded, segmented and looked at."""

from .server import serve
from .uploads import Limits

__all__ = ["Limits", "serve"]
