#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`ifc data convert` under another name."""

from ifc.cli.main import alias

main = alias("data", "convert")

if __name__ == "__main__":
    main()
