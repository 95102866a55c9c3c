#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keep a checkpoint's weights alone: what evaluation, the demo and finetuning read, and what one publishes.

A training checkpoint holds the optimizer's state too, which triples its size.

Example:
    python tools/strip_checkpoint.py output/model_final.pth model.pth --half
"""

from ifc.cli.program import command_line, one_clear_error


@one_clear_error()
def main() -> None:
    """Run the program."""
    parser = command_line(__doc__)
    parser.add_argument("source", help="checkpoint of a training run")
    parser.add_argument("target", help="file to write")
    parser.add_argument("--half", action="store_true", help="store the weights as float16")
    args = parser.parse_args()
    from ifc.engine.checkpoint import strip_checkpoint  # torch, which --help can do without

    size = strip_checkpoint(args.source, args.target, args.half)
    print(f"{args.target}: {size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
