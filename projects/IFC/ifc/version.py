# SPDX-License-Identifier: Apache-2.0
"""The version, which setup.py reads, and those of other packages."""

from importlib import metadata

__version__ = "0.1.0"


def package_version(package: str) -> str | None:
    """The installed version; None where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # a copy that is not installed
        return None
