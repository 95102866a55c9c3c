# SPDX-License-Identifier: Apache-2.0
"""What the report was made with, and how fast it multiplies and copies."""

import shutil
import subprocess
from collections.abc import Callable

import detectron2
import numpy
import torch
import torchvision

from ...monitoring.memory import MIB
from ...version import __version__
from ..measuring import machine, timed
from ..runs import synchronize
from .settings import Parts, Rows, Settings
from .variants import VARIANTS, as_in

SMI_FIELDS = (
    "driver_version clocks.sm clocks.max.sm clocks.mem clocks.max.mem power.limit temperature.gpu mig.mode.current"
)


def parts(settings: Settings) -> Parts:
    """The machine in words; products of large matrices; copies."""
    device = torch.device(settings.device)
    products = {"bfloat16": torch.bfloat16, "TF32": torch.float32, "float32": torch.float32}

    def product_row(name: str) -> Rows:
        with as_in(VARIANTS[name], device):
            return {f"products in {name}": {"TFLOP/s": matmul_peak(products[name], device) / 1e12}}

    return {
        "words": lambda: {name: {"found": text} for name, text in describe(device).items()},
        **{name: lambda name=name: product_row(name) for name in products},
        "copies": lambda: copy_rates(device),
    }


def describe(device: torch.device) -> dict[str, str]:
    """The device, the versions and the clocks."""
    versions = f"IFC {__version__}, torch {torch.__version__}, torchvision {torchvision.__version__}"
    words = {"device": f"the processor, {device}", "machine": machine()}
    if device.type != "cuda":
        return words | {"versions": f"{versions}, NumPy {numpy.__version__}"}
    gpu = torch.cuda.get_device_properties(device)
    words = {
        "device": gpu.name,
        "machine": machine(),
        "versions": f"{versions}, NumPy {numpy.__version__}, detectron2 {detectron2.__version__}, "
        f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}",
        "compute capability": f"{gpu.major}.{gpu.minor}",
        "multiprocessors": str(gpu.multi_processor_count),
        "memory": f"{gpu.total_memory / MIB:,.0f} MiB",
    }
    return words | _nvidia_smi(torch.cuda.current_device() if device.index is None else device.index)


def _nvidia_smi(index: int) -> dict[str, str]:
    """What the driver says of itself and of a GPU's clocks, where it has its program."""
    if shutil.which("nvidia-smi") is None:
        return {"nvidia-smi": "not available"}
    query = ["nvidia-smi", f"--id={index}", f"--query-gpu={SMI_FIELDS.replace(' ', ',')}", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=20)
    values = [value.strip() for value in done.stdout.split(",")]
    if done.returncode or len(values) != len(SMI_FIELDS.split()):
        return {"nvidia-smi": f"not available: {(done.stdout + done.stderr).strip()}"}
    return dict(zip(SMI_FIELDS.split(), values, strict=True))


def matmul_peak(dtype: torch.dtype, device: torch.device) -> float:
    """FLOP/s (two a multiply-add) of the product of two large square matrices."""
    size = 8192 if device.type == "cuda" else 256
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / _seconds(lambda: one @ other, device)


def copy_rates(device: torch.device) -> Rows:
    """Bytes a second: each byte of a copy on the device is read and written."""
    is_gpu = device.type == "cuda"
    source = torch.zeros(2**30 if is_gpu else 2**22, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    rows = {"copies on the device": {"GB/s": 2 * len(source) / _seconds(lambda: target.copy_(source), device) / 1e9}}
    if is_gpu:
        host = torch.zeros(2**28, dtype=torch.uint8, pin_memory=True)
        part = source[: len(host)]
        for name, one, other in (("from pinned memory", part, host), ("to pinned memory", host, part)):
            seconds = _seconds(lambda one=one, other=other: one.copy_(other, non_blocking=True), device)
            rows[f"copies {name}"] = {"GB/s": len(host) / seconds / 1e9}
    return rows


def _seconds(run: Callable[[], object], device: torch.device, calls: int = 10, rounds: int = 3) -> float:
    """Of a call: the fastest of some rounds, after one call that does not count."""

    def round_of_calls() -> None:
        for _ in range(calls):
            run()
        synchronize(device)

    run()
    synchronize(device)
    return min(timed(round_of_calls)[1] for _ in range(rounds)) / calls
