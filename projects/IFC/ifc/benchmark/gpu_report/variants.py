# SPDX-License-Identifier: Apache-2.0
"""The ways of running a network that are compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from ...inference import CUDA_GRAPH_MODES
from .settings import NotAvailable


@dataclass(frozen=True)
class Variant:
    """One way of inference.

    Attributes:
        precision, compile_mode: of MODEL.IFC.
        tf32: whether products of float32 are made in TF32.
    """

    precision: str = "float32"
    compile_mode: str = ""
    tf32: bool = False

    @property
    def opts(self) -> list[str]:
        """The config's keys and values."""
        return ["MODEL.IFC.PRECISION", self.precision, "MODEL.IFC.COMPILE", self.compile_mode]


GRAPHS = "reduce-overhead"
VARIANTS = {
    "float32": Variant(),
    "TF32": Variant(tf32=True),
    "bfloat16": Variant("bfloat16"),
    "float32, CUDA graphs": Variant(compile_mode=GRAPHS),
    "float32, compiled": Variant(compile_mode="default"),
    "bfloat16, CUDA graphs": Variant("bfloat16", GRAPHS),
    "bfloat16, compiled": Variant("bfloat16", "default"),
}


@contextmanager
def as_in(variant: Variant, device: torch.device) -> Iterator[None]:
    """Have torch multiply as `variant` wants it while the block runs.

    Raises:
        NotAvailable: the device has no such thing.
    """
    if device.type != "cuda":
        if variant.tf32:
            raise NotAvailable(f"TF32 on {device}")
        if variant.compile_mode in CUDA_GRAPH_MODES:
            raise NotAvailable(f"CUDA graphs on {device}")
        if variant.compile_mode:
            raise NotAvailable(f"compiling takes minutes on {device}")
    if variant.precision == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise NotAvailable(f"bfloat16 on {device}")
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = variant.tf32
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value
