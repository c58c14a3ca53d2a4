"""The wish to stop a pipeline, from any thread or signal handler. Never stops anything itself."""

from __future__ import annotations

import math
import threading
import time

__all__ = ["LATE", "Stopping"]

LATE = "%s: not finished %g s after the stop; what was not written comes again at the next start"
"""What is logged of a pipeline's name and of the time that a stop may take."""

_NAP_S = 0.5
"""Longest uninterrupted wait, for the sake of signal handlers: see `shelf.py`."""


class Stopping:
    """The wish to stop, and how long it may take; set from any thread or signal handler."""

    def __init__(self) -> None:
        # Not an Event: its lock is not reentrant, so a signal handler that sets it can deadlock with its own thread.
        self._changed = threading.Condition()
        self._deadline: float | None = None

    def __bool__(self) -> bool:
        return self._deadline is not None

    def ask(self, timeout_s: float) -> None:
        """Stop, within `timeout_s` if possible; asking again changes nothing."""
        with self._changed:
            if self._deadline is None:
                self._deadline = time.monotonic() + timeout_s
            self._changed.notify_all()

    def clear(self) -> None:
        """Stopped: the next run starts without the wish."""
        self._deadline = None

    def wait(self, timeout_s: float) -> bool:
        """Pause; True as soon as a stop is asked for."""
        until = time.monotonic() + timeout_s
        with self._changed:
            while self._deadline is None and (left := until - time.monotonic()) > 0:
                self._changed.wait(min(left, _NAP_S))
        return bool(self)

    @property
    def left_s(self) -> float:
        """What is left of the time for finishing; without a wish to stop there is no end."""
        return math.inf if self._deadline is None else self._deadline - time.monotonic()

    @property
    def overdue(self) -> bool:
        """The time for finishing is over."""
        return self.left_s < 0
