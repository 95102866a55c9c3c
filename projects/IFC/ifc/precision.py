# SPDX-License-Identifier: Apache-2.0
"""Which floating-point format a device computes fast in, and which it is told to compute in."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

logger = logging.getLogger(__name__)


@cache
def fast_precision(device: torch.device) -> str:
    """bfloat16 where the device multiplies matrices in it, float32 elsewhere. Says so in the log, once a device."""
    is_fast, reason = has_fast_bfloat16(device)
    logger.info(f"{device} is {'' if is_fast else 'not '}fast at bfloat16 ({reason})")
    return "bfloat16" if is_fast else "float32"


@contextmanager
def float32_products(tf32: bool = False) -> Iterator[None]:
    """While the block runs, GPUs multiply matrices and convolve float32 in float32; or in TF32, of which ten bits of a
    factor count, as cuDNN's convolutions do it otherwise. For all threads."""
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = tf32
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value


def has_fast_bfloat16(device: torch.device) -> tuple[bool, str]:
    """Whether the device multiplies matrices in bfloat16, and how that is known."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return major >= 8, f"compute capability {major}.{minor}"
    if device.type == "cpu":
        found = [name for name in ("amx_bf16", "avx512_bf16") if torch.cpu.get_capabilities().get(name)]
        return bool(found), ", ".join(found) or "neither amx_bf16 nor avx512_bf16"
    return False, "a kind of device that is not known"
