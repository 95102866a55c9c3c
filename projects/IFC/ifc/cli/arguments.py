# SPDX-License-Identifier: Apache-2.0
"""Options that several programs have. Nothing here loads torch: --help has to answer at once."""

import argparse
import os


def add_config_options(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """Add --config-file and, after all options, keys and values that win over the file's."""
    parser.add_argument("--config-file", default="", required=required, metavar="FILE", help="a config in YAML")
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="config keys and their values, put last"
    )


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add what detectron2's `default_argument_parser` has, which takes seconds to import.

    torchrun and srun say in the environment what the last four say otherwise.
    """
    # torch's C++ tells at length of a process that has ended, which the program says itself; read when it is loaded.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    add_config_options(parser)
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint in OUTPUT_DIR")
    parser.add_argument(
        "--eval-only", action="store_true", help="evaluate MODEL.WEIGHTS on DATASETS.TEST, do not train"
    )
    parser.add_argument(
        "--replay", metavar="FILE", help="make a step again that a training wrote because its losses were not finite"
    )
    parser.add_argument("--num-gpus", type=int, default=1, metavar="N", help="processes a machine (default 1)")
    parser.add_argument("--num-machines", type=int, default=1, metavar="N", help="machines in all (default 1)")
    parser.add_argument("--machine-rank", type=int, default=0, metavar="I", help="which of them this one is, from 0")
    # As detectron2: the same for every run of a user, so that processes that a run left behind are noticed.
    port = 2**15 + 2**14 + (os.getuid() if hasattr(os, "getuid") else 1) % 2**14
    parser.add_argument(
        "--dist-url",
        default=f"tcp://127.0.0.1:{port}",
        metavar="URL",
        help="where the processes meet: tcp://HOST:PORT of machine 0, or auto on one machine (default %(default)s)",
    )
