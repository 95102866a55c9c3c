# SPDX-License-Identifier: Apache-2.0
"""`python -m ifc`."""

from .cli.main import main

if __name__ == "__main__":
    main()
