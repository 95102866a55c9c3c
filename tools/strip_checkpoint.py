#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keep a checkpoint's weights alone: what evaluation, the demo and finetuning read, and what one publishes.

A training checkpoint holds the optimizer's state too, which triples its size.

Example:
    python tools/strip_checkpoint.py output/model_final.pth model.pth --half
"""

import argparse
import os
import pickle
import sys
from collections.abc import Sequence

import torch

from ifc.engine.checkpoint import check_tensors
from ifc.ytvis.files import refuse_input, whole_file


def strip_checkpoint(source: str, target: str, half: bool = False) -> int:
    """Write the weights of `source` to `target`, whole or not at all.

    Args:
        half: store floating-point weights as float16. They are converted back where they are loaded.

    Returns:
        Size of `target` in bytes.

    Raises:
        OSError: `source` cannot be read, or `target` cannot be written or is `source`.
        ValueError: `source` is no checkpoint, or a weight does not fit into float16.
    """
    refuse_input(target, [source])
    try:
        checkpoint = torch.load(source, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise ValueError(f"{source}: expected a checkpoint of tensors, found a file that cannot be read") from error
    weights = checkpoint.get("model", checkpoint) if isinstance(checkpoint, dict) else None
    if not weights:
        raise ValueError(f"{source}: expected a checkpoint of tensors, found none by the names of a model's weights")
    try:
        check_tensors(weights)
    except TypeError as error:
        raise ValueError(f"{source}: expected a checkpoint of tensors: {error}") from error
    if half:
        weights = {name: _to_half(name, value, source) for name, value in weights.items()}
    try:
        with whole_file(target) as partial:
            torch.save({"model": dict(weights)}, partial)
    except RuntimeError as error:  # of torch, which does not tell why a write fell short
        raise OSError(f"{target}: cannot be written; is its folder there, and the disk not full?") from error
    return os.path.getsize(target)


def _to_half(name: str, value: torch.Tensor, source: str) -> torch.Tensor:
    if not value.is_floating_point():
        return value
    halved = value.half()
    if not torch.isfinite(halved).all():
        raise ValueError(f"{source}: {name} has values beyond float16's range; strip it without --half")
    return halved


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Keep a checkpoint's weights alone.")
    parser.add_argument("source", help="checkpoint of a training run")
    parser.add_argument("target", help="file to write")
    parser.add_argument("--half", action="store_true", help="store the weights as float16")
    args = parser.parse_args(arguments)
    try:
        size = strip_checkpoint(args.source, args.target, args.half)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{args.target}: {size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
