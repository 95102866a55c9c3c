# SPDX-License-Identifier: Apache-2.0
"""Videos from decoded frames to RLE: speed and memory, how busy the device is, and how often the host waits for it."""

import gc
import warnings
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from detectron2.config import CfgNode
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from ...engine import setup_config
from ..runs import measure
from ..shapes_data import INSTANCES, RENDERED_FRAMES, moving_shapes
from ..time_inference import scripted_model, segmentation
from .machine import matmul_peak
from .settings import NotAvailable, Parts, Rows, Settings
from .variants import VARIANTS, as_in

WAIT = "called a synchronizing CUDA operation"


def parts(settings: Settings) -> Parts:
    """Models, windows and variants, those first that the goals are set for. All float32 is without TF32."""
    device, bench = torch.device(settings.device), _Bench(settings)
    first, *others = settings.models
    short, whole = bench.windows
    fast = ("bfloat16", "float32")
    cases = [(first, window, name) for window in (whole, short) for name in fast]
    cases += [(first, whole, "TF32"), (first, whole, "bfloat16, CUDA graphs")]
    cases += [(model, window, name) for model in others for window in (whole, short) for name in fast]
    cases += [(first, short, name) for name in ("TF32", "bfloat16, CUDA graphs")]
    cases += [(model, whole, "bfloat16, CUDA graphs") for model in others]
    cases += [(first, whole, name) for name in ("bfloat16, compiled", "float32, CUDA graphs", "float32, compiled")]
    found: Parts = {}
    for model, window, name in cases:
        title = f"{model}, T={window}, {name}"
        found[title] = lambda title=title, case=(model, window, name): {title: bench.row(*case)}
        if len(found) == 4:
            found["several videos"] = lambda: bench.several_videos(first, whole)
            if device.type == "cuda":
                found["waits"] = lambda: bench.waits(first, short)
    return found


class _Bench:
    """One video of shapes, and what is measured on it."""

    def __init__(self, settings: Settings):
        self._device = torch.device(settings.device)
        self._models = settings.models
        size, output_size = ((64, 96), (90, 135)) if settings.is_toy else ((360, 640), (720, 1280))
        self.windows = (3, 6) if settings.is_toy else (5, 36)
        self._length = self.windows[1]
        self._args = Namespace(output_size=output_size, instances=3 if settings.is_toy else 12)
        frames = moving_shapes(self._length, size, INSTANCES, RENDERED_FRAMES)
        self._frames = [torch.from_numpy(frame.transpose(2, 0, 1).copy()) for frame in frames]
        self._rounds = 1 if settings.is_toy else 7
        self._peak = cache(lambda: matmul_peak(torch.bfloat16, self._device))
        self._flops = cache(self._counted_flops)

    def row(self, model_name: str, window: int, variant: str) -> dict[str, float | int]:
        """The numbers of one way to segment the video."""
        with as_in(VARIANTS[variant], self._device):
            model, segment = self._prepared(model_name, window, VARIANTS[variant].opts)
            column = measure(segment, "other", self._device, repeat=self._rounds, warmup=2)
            seconds, length = column["total"], self._length
            row = {"frames a second": length / seconds, "ms a frame": 1000 * seconds / length}
            memory = "GPU memory, peak MiB" if self._device.type == "cuda" else "host memory, peak MiB"
            row[memory] = column[memory]
            kernels = kernel_seconds(segment, self._device)
            row |= {"kernels, ms a frame": 1000 * kernels / length, "kernels' share of the time": kernels / seconds}
            speed = self._flops(model_name, window) / seconds
            row |= {"TFLOP/s": speed / 1e12, "share of the bfloat16 peak": speed / self._peak()}
            with counted_waits(self._device) as waits:
                segment()
            return row | ({"waits a frame": waits.total() / length} if self._device.type == "cuda" else {})

    def _counted_flops(self, model_name: str, window: int) -> float:
        """Of the video, two a multiply-add."""
        _, segment = self._prepared(model_name, window, [])
        with FlopCounterMode(display=False) as counter:
            segment()
        return float(counter.get_total_flops())

    def waits(self, model_name: str, window: int) -> Rows:
        """Where the host waits for the device."""
        _, segment = self._prepared(model_name, window, VARIANTS["bfloat16"].opts)
        segment()
        with counted_waits(self._device) as waits:
            segment()
        return {f"host waits in {place}": {"times a video": number} for place, number in waits.most_common(12)}

    def several_videos(self, model_name: str, window: int) -> Rows:
        """What videos bring that pass the network together, where they can."""
        model, _ = self._prepared(model_name, window, VARIANTS["bfloat16"].opts)
        height, width = self._args.output_size
        videos = [{"image": self._frames, "height": height, "width": width}] * 4
        try:
            model(videos)
        except ValueError as error:
            raise NotAvailable(str(error)) from error
        column = measure(lambda: model(videos), "other", self._device, repeat=self._rounds, warmup=1)
        return {
            f"{model_name}, T={window}, bfloat16, 4 videos at once": {
                "frames a second": 4 * self._length / column["total"]
            }
        }

    def _prepared(self, model_name: str, window: int, opts: list[str]) -> tuple[torch.nn.Module, Callable[[], int]]:
        on_top = ["MODEL.WEIGHTS", "", "MODEL.DEVICE", str(self._device), "INPUT.SAMPLING_FRAME_NUM", window]
        cfg: CfgNode = setup_config(self._models[model_name], [*on_top, *opts])
        gc.collect()  # or the last model is in this one's memory
        model = scripted_model(cfg, self._args.instances)
        return model, segmentation(model, cfg, self._args, self._read)

    def _read(self) -> list[Tensor]:
        return self._frames


def kernel_seconds(run: Callable[[], object], device: torch.device) -> float:
    """What a call keeps the device busy: a GPU's kernels and copies, torch's operators on a CPU."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities) as profiler:
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    if device.type == "cuda":
        events = [event for event in profiler.key_averages() if event.device_type == DeviceType.CUDA]
        return sum(event.self_device_time_total for event in events if not event.is_user_annotation) / 1e6
    return sum(event.self_cpu_time_total for event in profiler.key_averages()) / 1e6


@contextmanager
def counted_waits(device: torch.device) -> Iterator[Counter]:
    """Count where the host waits for the GPU, by file and line, while the block runs. A CPU is not waited for."""
    waits: Counter = Counter()
    if device.type != "cuda":
        yield waits
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield waits
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits.update(f"{Path(w.filename).name}:{w.lineno}" for w in caught if WAIT in str(w.message))
