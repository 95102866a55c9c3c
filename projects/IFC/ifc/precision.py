# SPDX-License-Identifier: Apache-2.0
"""Which floating-point format a device computes fast in."""

import logging
from functools import cache

import torch

logger = logging.getLogger(__name__)


@cache
def fast_precision(device: torch.device) -> str:
    """bfloat16 where the device multiplies matrices in it, float32 elsewhere. Says so in the log, once a device."""
    is_fast, reason = has_fast_bfloat16(device)
    logger.info(f"{device} is {'' if is_fast else 'not '}fast at bfloat16 ({reason})")
    return "bfloat16" if is_fast else "float32"


def has_fast_bfloat16(device: torch.device) -> tuple[bool, str]:
    """Whether the device multiplies matrices in bfloat16, and how that is known."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return major >= 8, f"compute capability {major}.{minor}"
    if device.type == "cpu":
        found = [name for name in ("amx_bf16", "avx512_bf16") if torch.cpu.get_capabilities().get(name)]
        return bool(found), ", ".join(found) or "neither amx_bf16 nor avx512_bf16"
    return False, "a kind of device that is not known"
