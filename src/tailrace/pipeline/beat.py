"""When an idle sink next has a heartbeat to write. Never writes one: the encoder does, with a batch that is due."""

from __future__ import annotations

import math
import time

from tailrace.contract import Beating, Sink

__all__ = ["Beat"]

_SLEWED = 1.001
"""The encoder asks the wall clock, which is slewed by up to 500 ppm against ours: what is early would be left out."""


class Beat:
    """Falls due at each interval, however much is written meanwhile; never for a sink without heartbeats."""

    def __init__(self, sink: Sink) -> None:
        interval_s = sink.beat_interval_s if isinstance(sink, Beating) else 0.0
        self._interval_s = interval_s * _SLEWED
        self._due_at = time.monotonic() + self._interval_s if interval_s else math.inf

    def left_s(self) -> float:
        """Seconds until it falls due; 0 when it has, infinite when it never does."""
        return max(0.0, self._due_at - time.monotonic())

    def wrote(self, began: float) -> None:
        """A batch was written whose writing began then, by the monotonic clock: a heartbeat that was due is in it."""
        if began >= self._due_at:
            self._due_at = time.monotonic() + self._interval_s
