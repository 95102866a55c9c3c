# SPDX-License-Identifier: Apache-2.0
"""One training step: data, losses, gradients, update, and the numbers that tell of them."""

import contextlib
import logging
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import TrainerBase
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..data.stream import UNREADABLE, ClipStream, derived_seed
from ..precision import fast_precision
from ..regions import region

logger = logging.getLogger(__name__)

LOG_PERIOD = 20  # steps between two reports of the writers, which have the numbers of the last step

Batch = list[dict[str, Any]]


@dataclass(frozen=True)
class StepSettings:
    """How a step is made.

    Attributes:
        seed: dropout follows from it, from the iteration and from the process.
        precision: of the network's products: "float32", "bfloat16", or "float16" with a loss scaler.
        accumulate: the number of parts in which a batch passes the network.
        clips_per_video: clips in a row that stay in one part.
        ema_decay: of the averaged weights; 0 for none.
        max_skipped: steps in a row that may be left out because their losses are not finite.
        max_unreadable: records that may be unreadable.
    """

    seed: int
    precision: str = "float32"
    accumulate: int = 1
    clips_per_video: int = 1
    ema_decay: float = 0.0
    max_skipped: int = 0
    max_unreadable: float = math.inf


def step_settings(cfg: CfgNode, stream: ClipStream) -> StepSettings:
    """How `cfg` wants a step on the clips of `stream` to be made."""
    precision, device = "float32", torch.device(cfg.MODEL.DEVICE)
    if cfg.SOLVER.AMP.ENABLED:
        precision = fast_precision(device)
        if precision == "float32" and device.type == "cuda":
            precision = "float16"
        elif precision == "float32":
            logger.warning(f"SOLVER.AMP.ENABLED: {device} has no fast bfloat16, so that float32 is used")
    return StepSettings(
        seed=stream.seed,
        precision=precision,
        accumulate=cfg.SOLVER.ACCUMULATE,
        clips_per_video=cfg.INPUT.CLIPS_PER_VIDEO,
        ema_decay=cfg.SOLVER.EMA_DECAY,
        max_skipped=cfg.SOLVER.MAX_SKIPPED_STEPS,
        max_unreadable=cfg.DATALOADER.MAX_UNREADABLE * len(stream.records),
    )


class NotFiniteError(FloatingPointError):
    """Losses or gradients are not finite.

    Attributes:
        iteration, batch, seed: of the step; the batch is what this process had of it, the seed its dropout's.
        is_own: whether the losses of this process are among them.
    """

    def __init__(self, message: str, iteration: int, batch: Batch, seed: int, is_own: bool):
        super().__init__(message)
        self.iteration, self.batch, self.seed, self.is_own = iteration, batch, seed, is_own


@dataclass(frozen=True)
class _Report:
    """A step's numbers on their way to the host: whether this process's losses are finite, then those of `names`."""

    iteration: int
    batch: Batch
    seed: int
    names: list[str]
    values: Tensor
    has_arrived: torch.cuda.Event | None


class TrainingStep(TrainerBase):
    """Takes the place of detectron2's SimpleTrainer and AMPTrainer.

    Every step's numbers come to the host in one copy, which is read in the next step, when the matching has waited for
    the device anyway; on the CPU and where the writers are about to report at once. A step whose gradients are not
    finite leaves the weights as they were, see `build_optimizer`.

    Args:
        model: an `Ifc`, or one in DistributedDataParallel.
        data_loader: endless batches.
        optimizer: from `build_optimizer`.
    """

    def __init__(
        self,
        model: nn.Module,
        data_loader: Iterable[Batch],
        optimizer: torch.optim.Optimizer,
        settings: StepSettings,
    ):
        super().__init__()
        model.train()
        self.model = model
        self.data_loader = data_loader
        self.optimizer = optimizer
        self.settings = settings
        self.seed = settings.seed  # a resumed training keeps its own
        self.network = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
        decay = settings.ema_decay
        self.ema = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None
        self._device = self.network.device
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=settings.precision == "float16")
        self._batches: Iterator[Batch] | None = None
        self._pending: _Report | None = None
        self._unreadable: dict[int, str] = {}  # record -> what was wrong with it, as far as this process has seen
        self._num_skipped = self._num_skipped_in_a_row = 0

    def run_step(self) -> None:
        """
        Raises:
            NotFiniteError: more steps in a row than allowed had losses that are not finite.
            OSError: more records than allowed cannot be read.
        """
        start = time.perf_counter()
        if self._batches is None:
            self._batches = iter(self.data_loader)
        batch = next(self._batches)
        data_time = time.perf_counter() - start
        self._note_unreadable(batch)
        seed = derived_seed(self.seed, self.iter, comm.get_rank())
        losses, metrics = self._backward(batch, seed)
        self.settle()
        with region("optimizer step"):
            self._scaler.step(self.optimizer)
            self._scaler.update()
            if self.ema is not None:
                self.ema.update_parameters(self.network)
        numbers = {"total_loss": sum(losses.values()), **losses, **metrics}
        numbers |= {
            "gradient_norm": self.optimizer.gradient_norm,
            "clipped": self.optimizer.gradient_norm > self.optimizer.max_norm,
        }
        on_host = {"data_time": data_time, "unreadable_samples": len(self._unreadable) * comm.get_world_size()}
        self._pending = self._report(batch, seed, numbers, on_host)
        if self._device.type == "cpu" or (self.iter + 1) % LOG_PERIOD == 0:
            self.settle()

    def _backward(self, batch: Batch, seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Losses and metrics of a batch, without their graph; the gradients are with the parameters."""
        self.optimizer.zero_grad()
        torch.manual_seed(seed)
        size = self.settings.clips_per_video
        num_videos = -(-len(batch) // size)
        num_parts = min(self.settings.accumulate, num_videos)
        whole_batch = self.network.count_instances(batch) if num_parts > 1 else None
        dtype = getattr(torch, self.settings.precision)
        losses, metrics = {}, {}
        for part in range(num_parts):
            clips = batch[size * (part * num_videos // num_parts) : size * ((part + 1) * num_videos // num_parts)]
            is_last = part == num_parts - 1 or self.network is self.model
            with contextlib.nullcontext() if is_last else self.model.no_sync():
                with torch.autocast(self._device.type, dtype=dtype, enabled=dtype != torch.float32):
                    part_losses = self.model(clips, whole_batch)
                with region("backward"):
                    self._scaler.scale(sum(part_losses.values())).backward()
            for name, loss in part_losses.items():
                losses[name] = losses.get(name, 0) + loss.detach()
            for name, metric in self.network.metrics.items():
                metrics[name] = metrics.get(name, 0) + metric / num_parts
        return losses, metrics

    def _report(self, batch: Batch, seed: int, numbers: dict[str, Tensor], on_host: dict[str, float]) -> _Report:
        """Start the copy of a step's numbers, averaged over the processes."""
        numbers = numbers | {name: torch.full((), number, device=self._device) for name, number in on_host.items()}
        values = torch.stack([number.float() for number in numbers.values()])
        is_finite = values[:1].isfinite().float()  # before the other processes' losses come in
        if comm.get_world_size() > 1:
            torch.distributed.all_reduce(values)
            values = values / comm.get_world_size()
        values, has_arrived = torch.cat([is_finite, values]), None
        if self._device.type == "cuda":
            values = torch.empty_like(values, device="cpu", pin_memory=True).copy_(values, non_blocking=True)
            has_arrived = torch.cuda.Event()
            has_arrived.record()
        return _Report(self.iter, batch, seed, list(numbers), values, has_arrived)

    def settle(self) -> None:
        """Read the last step's numbers, if they are not read yet. Errors are those of `run_step`."""
        report, self._pending = self._pending, None
        if report is None:
            return
        if report.has_arrived is not None:
            report.has_arrived.synchronize()
        is_own_finite, *values = report.values.tolist()
        numbers = dict(zip(report.names, values, strict=True))
        losses_fit, gradients_fit = math.isfinite(numbers["total_loss"]), math.isfinite(numbers["gradient_norm"])
        # A loss scaler meets gradients beyond float16's range now and then, and then leaves a step out by itself.
        if losses_fit and (gradients_fit or self.settings.precision == "float16"):
            self._num_skipped_in_a_row = 0
        else:
            self._num_skipped += 1
            self._num_skipped_in_a_row += 1
        storage = get_event_storage()
        now, storage.iter = storage.iter, report.iteration
        storage.put_scalars(**{name: number for name, number in numbers.items() if math.isfinite(number)})
        storage.put_scalar("skipped_steps", self._num_skipped, smoothing_hint=False)
        storage.iter = now
        if self._num_skipped_in_a_row > 0:
            found = ", ".join(name for name, number in numbers.items() if not math.isfinite(number))
            message = f"iteration {report.iteration}: found NaN or infinity in {found}, expected finite numbers"
            if self._num_skipped_in_a_row > self.settings.max_skipped:
                raise NotFiniteError(message, report.iteration, report.batch, report.seed, not is_own_finite)
            logger.warning(f"{message}: the step is left out, number {self._num_skipped_in_a_row} in a row")
        if numbers["unreadable_samples"] > self.settings.max_unreadable:
            found = f"found {numbers['unreadable_samples']:.0f} videos or images that cannot be read"
            expected = f"expected at most {math.floor(self.settings.max_unreadable)}"
            raise OSError(f"DATALOADER.MAX_UNREADABLE: {found}, {expected}: {'; '.join(self._unreadable.values())}")

    def _note_unreadable(self, batch: Batch) -> None:
        for record, message in [pair for clip in batch for pair in clip.pop(UNREADABLE, ())]:
            if record not in self._unreadable:
                logger.warning(f"{message}; the next video or image is trained on in its place")
                self._unreadable[record] = message

    def state_dict(self) -> dict[str, Any]:
        self.settle()
        state = super().state_dict() | {"optimizer": self.optimizer.state_dict(), "scaler": self._scaler.state_dict()}
        state |= {"seed": self.seed, "skipped_steps": self._num_skipped}
        return state if self.ema is None else state | {"ema": self.ema.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.optimizer.load_state_dict(state_dict["optimizer"])
        self._scaler.load_state_dict(state_dict["scaler"])
        self.seed, self._num_skipped = state_dict["seed"], state_dict["skipped_steps"]
        if ("ema" in state_dict) != (self.ema is not None):
            found = "averaged weights" if "ema" in state_dict else "no averaged weights"
            raise ValueError(f"found {found} with SOLVER.EMA_DECAY {self.settings.ema_decay}")
        if self.ema is not None:
            self.ema.load_state_dict(state_dict["ema"])
