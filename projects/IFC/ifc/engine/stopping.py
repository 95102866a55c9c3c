# SPDX-License-Identifier: Apache-2.0
"""How a scheduler's warning ends a run: with a checkpoint, and a status that says that there is more to do."""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from detectron2.engine import HookBase
from detectron2.utils import comm

from ..data.loaders import STOP_SIGNALS
from .checkpoint_hook import Checkpoints

logger = logging.getLogger(__name__)

STOPPED = 75  # exit status of a run that was told to stop and can be resumed: EX_TEMPFAIL, "try again later"
ECHO = 5.0  # seconds in which a second signal is the first: a launcher passes on what all its processes may have got
PATIENCE = 25.0  # seconds after which a run that was told to stop ends where it is; schedulers often kill after 30


class StopOnSignal(HookBase):
    """Ends all processes with status `STOPPED` after the step in which one of them gets SIGTERM or SIGUSR1.

    The main process saves a checkpoint first. A second signal after `ECHO`, or a step that takes longer than
    `PATIENCE`, ends a process at once, as does any signal in an evaluation, before which there was a checkpoint.
    """

    def __init__(self, checkpoints: Checkpoints):
        self._checkpoints = checkpoints
        self._received: int | None = None
        self._since = 0.0
        self._is_at_once = False
        self._handlers: dict[int, Any] = {}

    def before_train(self) -> None:
        if threading.current_thread() is threading.main_thread():  # the only one that can handle signals
            self._handlers = {number: signal.signal(number, self._note) for number in STOP_SIGNALS}

    def after_train(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def after_step(self) -> None:
        if self.trainer.iter + 1 == self.trainer.max_iter or not any(comm.all_gather(self._received is not None)):
            return  # after the last step there is a checkpoint, and only the evaluation to come
        self._checkpoints.save()
        self._end(f"after iteration {self.trainer.iter}, and saved a checkpoint")

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """A block in which a signal ends the process without waiting for the step's end."""
        if any(comm.all_gather(self._received is not None)):
            self._end("before an evaluation")
        self._is_at_once = True
        try:
            yield
        finally:
            self._is_at_once = False

    def _note(self, number: int, _: FrameType | None) -> None:
        if self._received is not None:
            if time.monotonic() > self._since + ECHO:
                os._exit(STOPPED)
            return
        self._received, self._since = number, time.monotonic()
        if self._is_at_once:
            self._end("in an evaluation")
        timer = threading.Timer(PATIENCE, os._exit, (STOPPED,))
        timer.daemon = True
        timer.start()

    def _end(self, where: str) -> None:
        name = "another process's signal" if self._received is None else signal.Signals(self._received).name
        logger.warning(f"Stopped by {name} {where}; --resume continues")
        sys.exit(STOPPED)
