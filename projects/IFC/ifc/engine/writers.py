# SPDX-License-Identifier: Apache-2.0
"""What a training tells while it runs: a line of progress, metrics.json, and TensorBoard."""

import datetime
import logging
import os
import re
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np
import torch
from detectron2.engine import HookBase, TrainerBase
from detectron2.engine.hooks import PeriodicWriter
from detectron2.utils.events import EventWriter, get_event_storage
from torch.utils.tensorboard import SummaryWriter

from ..monitoring.memory import MIB, host_memory
from ..monitoring.metrics_file import METRICS_FILE, append_metrics, begin_metrics
from .step import LOG_PERIOD

TOLERABLE_WAIT = 0.05  # part of a step's time that is not worth a word
MEANS = ("clipped",)  # 0 or 1 a step, of which a median would say nothing
COUNTS = ("skipped_steps", "unreadable_samples")  # which the line of progress shows once there are some
TENSORBOARD_GROUPS = (
    (r"(loss_\w+?|cardinality_error)_(\d+)", r"\1/layer_\2"),
    (r"loss_\w+|cardinality_error", r"\g<0>/last_layer"),
    (r"lr|lr_\w+", r"learning_rate/\g<0>"),
    (r"total_loss|class_error|gradient_norm|clipped|skipped_steps|unreadable_samples", r"training/\g<0>"),
    (r"time|data_time|peak_memory_mib", r"speed/\g<0>"),
)
"""Names of numbers, and what TensorBoard calls them: what stands before the stroke is the card that they are in."""


class LearningRates(HookBase):
    """Puts the learning rates of the backbone and of the rest, `lr_backbone` and `lr_rest`, as the step used them.

    (detectron2's `lr` is that of most parameters.) Has to come before detectron2's LRScheduler.
    """

    def after_step(self) -> None:
        rates = {f"lr_{group['name']}": group["lr"] for group in self.trainer.optimizer.param_groups}
        self.trainer.storage.put_scalars(**rates, smoothing_hint=False)


class WriteSteps(PeriodicWriter):
    """Has the numbers of steps written before the checkpoint from which a run that is killed goes on, so none are lost.

    Another PeriodicWriter has to come last, which adds those of an evaluation and closes the writers.
    """

    def after_train(self) -> None:
        pass


class ProgressPrinter(EventWriter):
    """Logs how far the training is: a line that fits a terminal."""

    def __init__(self, max_iter: int, device: str) -> None:
        self._max_iter, self._device = max_iter, torch.device(device)
        self._logger = logging.getLogger(__package__.partition(".")[0])
        self._last = -1

    def write(self) -> None:
        storage = get_event_storage()
        finished = storage.latest().get("lr", (0.0, -1))[1]  # put when a step is done
        if finished == self._last or finished != storage.iter:
            return
        self._last, done = storage.iter, storage.iter + 1
        peak = torch.cuda.max_memory_allocated(self._device) if self._device.type == "cuda" else host_memory()[1]
        storage.put_scalar("peak_memory_mib", peak / MIB, smoothing_hint=False)
        words = [f"{done}/{self._max_iter}"]
        known = storage.histories()
        if "time" in known:
            left = datetime.timedelta(seconds=int(known["time"].median(1000) * (self._max_iter - done)))
            time = known["time"].avg(LOG_PERIOD)
            words += [f"eta {left}", f"{time:.3g} s/step"]
            waiting = known["data_time"].avg(LOG_PERIOD) / time if "data_time" in known else 0
            if waiting > TOLERABLE_WAIT:
                words.append(f"{waiting:.0%} of it waiting for data")
        if "total_loss" in known:
            words.append(f"loss {known['total_loss'].median(LOG_PERIOD):.4g}")
        words.append(f"{peak / MIB:,.0f} MiB")
        for name in COUNTS:
            if name in known and known[name].latest() > 0:
                words.append(f"{name.replace('_', ' ')}: {known[name].latest():.0f}")
        self._logger.info("  ".join(words))


class NewNumbers(EventWriter):
    """Hands on what was put since it was last asked, by iteration. Noisy numbers are smoothed over the last steps."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}  # the iteration of each number that was handed on last

    def write(self) -> None:
        storage = get_event_storage()
        by_iteration = defaultdict(dict)
        for name, (value, iteration) in storage.latest_with_smoothing_hint(LOG_PERIOD).items():
            if iteration > self._last.get(name, -1):
                by_iteration[iteration][name] = storage.history(name).avg(LOG_PERIOD) if name in MEANS else value
                self._last[name] = iteration
        for iteration, numbers in sorted(by_iteration.items()):
            self.add(iteration, numbers)

    @abstractmethod
    def add(self, iteration: int, numbers: Mapping[str, float]) -> None:
        """Write some numbers of an iteration."""


class MetricsWriter(NewNumbers):
    """Writes metrics.json to the output folder of a trainer, which goes on where an earlier start's ends."""

    def __init__(self, folder: str, trainer: TrainerBase) -> None:
        super().__init__()
        self._path, self._trainer = os.path.join(folder, METRICS_FILE), trainer
        self._has_begun = False

    def add(self, iteration: int, numbers: Mapping[str, float]) -> None:
        if not self._has_begun:
            begin_metrics(self._path, self._trainer.start_iter)
            self._has_begun = True
        append_metrics(self._path, iteration, numbers)


class TensorBoardWriter(NewNumbers):
    """Writes TensorBoard's events to the output folder of a trainer, which replace those of later iterations there."""

    def __init__(self, folder: str, trainer: TrainerBase) -> None:
        super().__init__()
        self._folder, self._trainer = folder, trainer

    @cached_property
    def _events(self) -> SummaryWriter:
        return SummaryWriter(self._folder, purge_step=self._trainer.start_iter)

    def write(self) -> None:
        super().write()
        self._events.flush()

    def add(self, iteration: int, numbers: Mapping[str, float]) -> None:
        for name, number in numbers.items():
            self._events.add_scalar(tensorboard_name(name), number, iteration)

    def add_pictures(self, iteration: int, pictures: Iterable[tuple[str, np.ndarray]]) -> None:
        """Show named pictures, (H, W, 3) uint8."""
        for name, picture in pictures:
            self._events.add_image(name, picture, iteration, dataformats="HWC")

    def close(self) -> None:
        self._events.close()


def tensorboard_name(name: str) -> str:
    """What TensorBoard calls a number."""
    for pattern, group in TENSORBOARD_GROUPS:
        if match := re.fullmatch(pattern, name):
            return match.expand(group)
    return name
