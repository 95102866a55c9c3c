# SPDX-License-Identifier: Apache-2.0
"""The metrics in detectron2's loop."""

import detectron2.modeling  # noqa: F401 - first, so that ifc registers while nothing of it is half imported
