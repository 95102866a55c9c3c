# SPDX-License-Identifier: Apache-2.0
"""Ending early without losing what was found."""

import logging
import signal
from collections.abc import Callable
from types import FrameType, TracebackType

logger = logging.getLogger(__name__)


class Interruption:
    """A context in which an interrupt (Ctrl-C) or SIGTERM is a request to finish, not the end. A second one is, as
    ever.

    Args:
        tell: called at the request.
    """

    def __init__(self, tell: Callable[[], object] = lambda: None) -> None:
        self.is_requested = False
        self._tell = tell

    def __enter__(self) -> "Interruption":
        self._previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number, handler in self._previous.items():
            if handler != signal.SIG_IGN:  # as it is for programs in the background
                signal.signal(number, self._request)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _request(self, signum: int, frame: FrameType | None) -> None:
        self.is_requested = True
        self._tell()
        signal.signal(signum, self._previous[signum])
        logger.warning("Interrupted: what was read so far is finished and written. Again to stop at once.")
