"""How long brokers are waited for: at most a time in silence, and not beyond a stop. Never waits itself."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Patience"]


class Patience:
    """Nobody waits any more once `over`: at once while the sink opens, later when the time for finishing has passed."""

    def __init__(self, silence_s: float, stopped: Callable[[], bool] | None) -> None:
        self.silence_s = silence_s
        """How long the brokers may acknowledge nothing."""
        self._stopped = stopped
        self._end: float | None = None

    def opened(self) -> None:
        """From now on there is something to finish."""
        self._stopped = None

    def end_at(self, instant: float) -> None:
        """The end of the time for that, on the monotonic clock; from any thread or signal handler."""
        self._end = instant

    def over(self) -> bool:
        """Whether to give up."""
        if self._stopped is not None and self._stopped():
            return True
        return self._end is not None and time.monotonic() > self._end
