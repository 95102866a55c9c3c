#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`ifc benchmark gpu-report` under another name."""

from ifc.cli.main import main

if __name__ == "__main__":
    main(command=["benchmark", "gpu-report"])
