# SPDX-License-Identifier: Apache-2.0
"""What several tests of the data set tools use."""

from pathlib import Path

import pytest
from ytvis.small import SmallDataset


@pytest.fixture
def small(tmp_path: Path) -> SmallDataset:
    """A data set without faults, in a folder of its own."""
    return SmallDataset(tmp_path)
