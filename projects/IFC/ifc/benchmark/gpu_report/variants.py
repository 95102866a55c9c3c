# SPDX-License-Identifier: Apache-2.0
"""The ways of running a network that are compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from ...inference import CUDA_GRAPH_MODES
from ...precision import float32_products
from .settings import NotAvailable


@dataclass(frozen=True)
class Variant:
    """One way of inference.

    Attributes:
        precision, compile_mode: of MODEL.IFC.
    """

    precision: str = "float32"
    compile_mode: str = ""

    @property
    def opts(self) -> list[str]:
        """The config's keys and values."""
        return ["MODEL.IFC.PRECISION", self.precision, "MODEL.IFC.COMPILE", self.compile_mode]


GRAPHS = "reduce-overhead"
VARIANTS = {
    "float32": Variant(),
    "TF32": Variant("tf32"),
    "bfloat16": Variant("bfloat16"),
    "float32, CUDA graphs": Variant(compile_mode=GRAPHS),
    "float32, compiled": Variant(compile_mode="default"),
    "bfloat16, CUDA graphs": Variant("bfloat16", GRAPHS),
    "bfloat16, compiled": Variant("bfloat16", "default"),
}


@contextmanager
def as_in(variant: Variant, device: torch.device) -> Iterator[None]:
    """Have torch multiply float32 as `variant` wants it while the block runs.

    Raises:
        NotAvailable: the device has no such thing.
    """
    if device.type != "cuda":
        if variant.precision == "tf32":
            raise NotAvailable(f"TF32 on {device}")
        if variant.compile_mode in CUDA_GRAPH_MODES:
            raise NotAvailable(f"CUDA graphs on {device}")
        if variant.compile_mode:
            raise NotAvailable(f"compiling takes minutes on {device}")
    if variant.precision == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise NotAvailable(f"bfloat16 on {device}")
    with float32_products(tf32=variant.precision == "tf32"):
        yield
