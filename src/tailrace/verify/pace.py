"""Keeps the reads of one end to a rate. Every wait of a comparison is one of these, and ends at a stop."""

from __future__ import annotations

import threading
import time

from tailrace.error import Retryable

__all__ = ["Clock", "Pace"]


class Clock:
    """The time, and waits that end with `Retryable` once `stop` is set."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()

    def now(self) -> float:
        """Seconds, from some moment on."""
        return time.monotonic()

    def wait_until(self, moment: float) -> None:
        """Wait until it is `moment`."""
        self.wait(moment - self.now())

    def wait(self, seconds: float) -> None:
        """Wait so long."""
        if self._stop.wait(max(0.0, seconds)):
            raise Retryable("the comparison was stopped", hint="start it again: it begins anew")


class Pace:
    """Lets an end be read once all that was read of it before is paid for, at `rate` rows a second; None is no limit.

    How many rows a read meets is known only after it. So it is paid for afterwards, and the next one waits.
    """

    def __init__(self, rate: float | None, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._free_at = clock.now()

    def wait(self) -> None:
        """Wait until the next read may begin."""
        self._clock.wait_until(self._free_at)

    def spend(self, rows: int) -> None:
        """So many rows were read."""
        if self._rate is not None:
            self._free_at = max(self._free_at, self._clock.now()) + rows / self._rate
