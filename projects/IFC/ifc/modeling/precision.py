# SPDX-License-Identifier: Apache-2.0
"""Which floating-point format a device computes fast in."""

import logging
from functools import cache

import torch

logger = logging.getLogger(__name__)


@cache
def fast_precision(device: torch.device) -> str:
    """bfloat16 where the device multiplies matrices in it, float32 elsewhere. Says so in the log, once a device."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        is_fast, reason = major >= 8, f"compute capability {major}.{minor}"
    elif device.type == "cpu":
        found = [name for name in ("amx_bf16", "avx512_bf16") if torch.cpu.get_capabilities().get(name)]
        is_fast, reason = bool(found), ", ".join(found) or "neither amx_bf16 nor avx512_bf16"
    else:
        is_fast, reason = False, "a kind of device that is not known"
    logger.info(f"{device} is {'' if is_fast else 'not '}fast at bfloat16 ({reason})")
    return "bfloat16" if is_fast else "float32"
